package pool

import (
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/upstream"
)

// A Lease is the right to send one request to one worker.
type Lease struct {
	m           *member
	requestIdle time.Duration
}

// Upstream is the client to the worker.
func (l *Lease) Upstream() *upstream.Client { return l.m.client }

// Absolute says which form of request line the worker wants.
func (l *Lease) Absolute() bool { return l.m.absolute }

// RequestIdle bounds the wait for the first byte of the answer.
func (l *Lease) RequestIdle() time.Duration { return l.requestIdle }

// ExecutionID is the worker's.
func (l *Lease) ExecutionID() string { return l.m.w.ID }

// suspectPatience is how long a worker whose connection broke may take to be
// seen to end. The kernel closes a dying process's sockets some milliseconds
// before it reports its end.
const suspectPatience = 250 * time.Millisecond

// Suspect is called before Release when the worker broke off: it waits a
// moment for its end to be known. Meanwhile nobody's request goes to a process
// that is about to be gone.
func (l *Lease) Suspect() {
	l.m.suspect(1)
	defer l.m.suspect(-1)
	timer := time.NewTimer(suspectPatience)
	defer timer.Stop()
	select {
	case <-l.m.w.Done():
	case <-timer.C:
	}
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
func (l *Lease) Release() { l.m.release() }

// take counts a request; the group's lock is held.
func (m *member) take() {
	m.inFlight++
	m.served++
}

func (m *member) release() {
	g := m.g
	g.mu.Lock()
	defer g.mu.Unlock()
	m.inFlight--
	if m.inFlight == 0 {
		m.idleSince = time.Now()
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
