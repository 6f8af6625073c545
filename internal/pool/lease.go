package pool

import (
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/upstream"
	"github.com/selvedge-dev/selvedge/internal/worker"
)

// A Lease is the right to send one request to one worker.
type Lease struct {
	m *member

	// The rest is guarded by the group's lock. The links are to the member's
	// leases that were given out before and after this one.
	links[Lease]
	bill bill
}

// Upstream is the client to the worker.
func (l *Lease) Upstream() *upstream.Client { return l.m.client }

// Absolute says which form of request line the worker wants.
func (l *Lease) Absolute() bool { return l.m.absolute }

// RequestIdle bounds the wait for the first byte of the answer.
func (l *Lease) RequestIdle() time.Duration { return l.m.ward.limits.RequestIdle }

// ExecutionID is the worker's.
func (l *Lease) ExecutionID() string { return l.m.w.ID }

// suspectPatience is how long a worker whose connection broke may take to be
// seen to end. The kernel closes a dying process's sockets some milliseconds
// before it reports its end.
const suspectPatience = 250 * time.Millisecond

// Suspect is called before Release when the worker broke off: it waits a
// moment for its end to be known. Meanwhile nobody's request goes to a process
// that is about to be gone. It returns a *function.LimitError if that is why,
// else nil.
func (l *Lease) Suspect() error {
	if err := l.m.limitError(); err != nil {
		return err
	}
	l.m.suspect(1)
	defer l.m.suspect(-1)
	timer := time.NewTimer(suspectPatience)
	defer timer.Stop()
	select {
	case <-l.m.w.Done():
	case <-timer.C:
		if l.m.w.State() == worker.Exited { // and its end is being tidied up
			<-l.m.w.Done()
		}
	}
	return l.m.limitError()
}

func (m *member) suspect(by int) {
	g := m.g
	g.mu.Lock()
	defer g.mu.Unlock()
	m.suspects += by
	if m.suspects == 0 {
		g.handOver() // it lives, and may be what others wait for
	}
}

// Release gives the worker back. It must be called exactly once.
func (l *Lease) Release() {
	m := l.m
	g := m.g
	g.mu.Lock()
	defer g.mu.Unlock()
	m.leases.remove(l)
	m.inFlight--
	if m.inFlight == 0 {
		m.idleSince = g.p.clock.now()
	}
	if m.retiring == "" && g.fn != nil && g.fn.Policy == function.OneShot {
		g.retire(m, ReasonIdle)
	}
	switch {
	case m.retiring != "" && m.inFlight == 0:
		g.finish(m)
	case g.queue.length > 0:
		g.handOver()
	}
	if g.queue.length > 0 {
		g.scale()
	}
}

// take counts a request and returns the right to it; the group's lock is held.
func (m *member) take() *Lease {
	l := &Lease{m: m}
	m.leases.push(l)
	m.inFlight++
	m.served++
	return l
}
