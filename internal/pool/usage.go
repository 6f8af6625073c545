package pool

import (
	"time"

	"github.com/selvedge-dev/selvedge/internal/worker"
)

// A Usage is what one function has of the pool now.
type Usage struct {
	Slug string
	// Starting, Serving and Retiring count workers. A retiring one takes no
	// more requests and finishes those it has.
	Starting, Serving, Retiring int
	// InFlight are the requests that workers have, Queued those that wait for
	// one.
	InFlight, Queued int
	// CPU is the processor time that the workers there are have used.
	CPU time.Duration
	// Memory is what they hold for themselves, in bytes.
	Memory int64
}

// Usage measures every function, those among them that were removed and have
// workers left. A slug can come twice: removed, and there again.
func (p *Pool) Usage() []Usage {
	groups := p.all()
	all := make([]Usage, 0, len(groups))
	for _, g := range groups {
		all = append(all, g.usage())
	}
	return all
}

// Prestarted is how many processes wait for a function to be.
func (p *Pool) Prestarted() int { return p.warm.count() }

func (g *group) usage() Usage {
	u := Usage{Slug: g.slug}
	for _, w := range g.tally(&u) { // not under the lock: it takes a while
		cpu, _ := w.CPU()
		memory, _ := w.Memory()
		u.CPU += cpu
		u.Memory += memory
	}
	return u
}

// tally counts what is under the group's lock, and returns the workers.
func (g *group) tally(u *Usage) []*worker.Worker {
	g.mu.Lock()
	defer g.mu.Unlock()
	u.Starting = len(g.launches)
	u.Queued = g.queue.length
	workers := make([]*worker.Worker, 0, len(g.members))
	for _, m := range g.members {
		if g.serves(m) {
			u.Serving++
		} else {
			u.Retiring++
		}
		u.InFlight += m.inFlight
		workers = append(workers, m.w)
	}
	return workers
}
