package pool

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
)

const (
	// startBytes is what a worker that is being started counts for: a small
	// function uses as much once it serves.
	startBytes = 32 << 20
	// evictAt is the share of the budget from which idle workers go, and
	// evictTo the share at which that ends.
	evictAt, evictTo = 0.9, 0.8
	// warnEvery is how often it is said that memory is short.
	warnEvery = time.Minute
)

// A budget is the memory of all workers together. Where it is short, idle
// workers go first, those with the most bytes times seconds of idleness before
// the others; only when there are none, starts wait. Requests that nobody can
// be started for wait in their queues, and are refused by their bounds.
type budget struct {
	limit   int64
	used    atomic.Int64 // as the guard last found it
	waiting atomic.Bool  // a start had to wait
	warned  time.Time    // the guard's alone
}

// room reports whether one more worker may be started.
func (p *Pool) room() bool {
	b := &p.budget
	used := b.used.Load() + p.active.Load()*startBytes
	if b.limit == 0 || used == 0 || used+startBytes <= b.limit {
		return true
	}
	b.waiting.Store(true)
	return false
}

// guardBudget makes room where it is short, and has those who wait for it look
// again.
func (p *Pool) guardBudget(groups []*group, used int64, now time.Time) {
	b := &p.budget
	b.used.Store(used)
	if b.limit == 0 {
		return
	}
	waited := b.waiting.Swap(false)
	starting := p.active.Load() * startBytes
	if excess := used + starting; float64(excess) > evictAt*float64(b.limit) || waited {
		excess -= int64(evictTo * float64(b.limit))
		if waited {
			excess = max(excess, startBytes)
		}
		freed := p.evict(groups, excess, now)
		b.used.Add(-freed)
		if freed == 0 && now.Sub(b.warned) >= warnEvery {
			b.warned = now
			p.opts.Log.Warn("memory is short: all workers are busy, so none is started until one ends",
				"used_mb", used>>20, "limit_mb", b.limit>>20)
		}
	}
	if waited {
		for _, g := range groups {
			g.again()
		}
	}
}

// evict retires idle workers until bytes are freed, and returns how many are.
func (p *Pool) evict(groups []*group, bytes int64, now time.Time) (freed int64) {
	type candidate struct {
		m     *member
		bytes int64
		cost  float64
	}
	var all []candidate
	for _, g := range groups {
		g.mu.Lock()
		for _, m := range g.members {
			if g.idle(m) {
				// The guard, which is the caller, is the one that writes it.
				held := m.ward.memory.bytes + m.ward.bare
				all = append(all, candidate{m, held, float64(held) * now.Sub(m.idleSince).Seconds()})
			}
		}
		g.mu.Unlock()
	}
	slices.SortFunc(all, func(a, b candidate) int { return cmp.Compare(b.cost, a.cost) })
	for _, c := range all {
		if freed >= bytes {
			break
		}
		g := c.m.g
		g.mu.Lock()
		if g.idle(c.m) { // still
			c.m.detail = "it was idle, and others need its memory"
			g.retire(c.m, ReasonIdle)
			freed += c.bytes
		}
		g.mu.Unlock()
	}
	return freed
}

// idle reports whether nobody would miss the member now. The lock is held.
func (g *group) idle(m *member) bool {
	return g.serves(m) && m.inFlight == 0 && g.queue.length == 0 && !m.w.Waiting() &&
		(g.fn == nil || g.fn.Policy != function.OneShot) && g.slug != g.p.opts.Inspect
}

// again looks once more whether workers can be started.
func (g *group) again() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.scale()
}
