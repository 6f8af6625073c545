package pool

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/upstream"
	"github.com/selvedge-dev/selvedge/internal/worker"
)

// A group is one function and its workers.
type group struct {
	p    *Pool
	slug string

	mu sync.Mutex
	// fn is nil for a function that cannot be run; broken says why.
	fn     *function.Function
	broken error
	// generation counts changes; workers of an earlier one only finish.
	generation int
	// ctx ends with the generation, by cancel.
	ctx      context.Context
	cancel   context.CancelFunc
	members  []*member
	launches []*launch // of all generations
	starting int       // of this generation
	waiters  []*waiter
	// wanted is set when a worker is to be started without a request.
	wanted bool
	// checked counts how often the workers were found to be up to date, and
	// bundle names what they ran the last time.
	checked int
	bundle  string
	retry   backoff
	closed  error
}

// A member is a worker and what the group knows of it.
type member struct {
	g          *group
	w          *worker.Worker
	generation int
	bundle     string
	// client and absolute are the worker's, which no longer change.
	client   *upstream.Client
	absolute bool

	// The rest is guarded by the group's lock.
	inFlight, served int
	suspects         int    // leases that doubt it lives
	retiring         string // the reason, "" while it takes requests
	finishing        bool
	idleSince        time.Time
	load             cpuMeter
}

// A waiter is a request without a worker.
type waiter struct {
	ch chan assigned // has room for one
}

type assigned struct {
	m   *member
	err error
}

func newGroup(p *Pool, slug string) *group { return &group{p: p, slug: slug} }

// acquire finds a worker or waits for one.
func (g *group) acquire(ctx context.Context) (*Lease, error) {
	g.mu.Lock()
	if g.closed != nil || g.broken != nil {
		defer g.mu.Unlock()
		if g.closed != nil {
			return nil, g.closed
		}
		return nil, g.broken
	}
	idle := g.fn.Limits.RequestIdle
	if m := g.pick(); m != nil {
		m.take()
		g.scale()
		g.mu.Unlock()
		return &Lease{m: m, requestIdle: idle}, nil
	}
	if err := g.retry.refuse(time.Now()); err != nil && g.starting == 0 && !g.serving() {
		g.mu.Unlock()
		return nil, err
	}
	if len(g.waiters) >= g.p.opts.QueueDepth {
		g.mu.Unlock()
		return nil, function.ErrOverloaded
	}
	w := &waiter{ch: make(chan assigned, 1)}
	g.waiters = append(g.waiters, w)
	g.scale()
	g.mu.Unlock()

	timer := time.NewTimer(g.p.opts.QueueTime)
	defer timer.Stop()
	var cause error
	select {
	case a := <-w.ch:
		if a.err != nil {
			return nil, a.err
		}
		return &Lease{m: a.m, requestIdle: idle}, nil
	case <-ctx.Done():
		cause = context.Cause(ctx)
	case <-timer.C:
		cause = function.ErrOverloaded
	}
	g.mu.Lock()
	i := slices.Index(g.waiters, w)
	if i >= 0 {
		g.waiters = slices.Delete(g.waiters, i, i+1)
	}
	g.mu.Unlock()
	if i >= 0 {
		return nil, cause
	}
	a := <-w.ch // it was answered in the meantime
	switch {
	case a.err != nil:
		return nil, a.err
	case ctx.Err() != nil:
		a.m.release()
		return nil, cause
	default: // just in time
		return &Lease{m: a.m, requestIdle: idle}, nil
	}
}

// pick returns the worker with the fewest requests that can take one more.
func (g *group) pick() *member {
	var best *member
	room := g.room()
	for _, m := range g.members {
		if m.inFlight >= room || m.suspects > 0 || !g.serves(m) {
			continue
		}
		if best == nil || m.inFlight < best.inFlight {
			best = m
		}
	}
	return best
}

// room is how many requests one worker takes at once.
func (g *group) room() int {
	if g.fn.Policy == function.PerWorker {
		return g.fn.Limits.MaxConcurrency
	}
	return 1
}

// serves reports whether the member takes requests: it is of this generation,
// not retired, and its process is there as far as anybody has seen.
func (g *group) serves(m *member) bool {
	return m.generation == g.generation && m.retiring == "" && !m.gone()
}

// gone reports whether the process has ended or does not take connections any
// more, which is known before its end is tidied up.
func (m *member) gone() bool { return m.client.Refused() || m.w.State() != worker.Ready }

// serving reports whether a worker takes requests.
func (g *group) serving() bool { return slices.ContainsFunc(g.members, g.serves) }

// handOver gives waiting requests to workers that have room.
func (g *group) handOver() {
	for len(g.waiters) > 0 {
		m := g.pick()
		if m == nil {
			return
		}
		m.take()
		g.waiters[0].ch <- assigned{m: m}
		g.waiters = g.waiters[1:]
	}
}

func (g *group) answerAll(err error) {
	for _, w := range g.waiters {
		w.ch <- assigned{err: err}
	}
	g.waiters = nil
}

func (g *group) empty() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.members) == 0
}

func (g *group) count(s *Stats) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s.Workers += len(g.members)
	s.Starting += g.starting
	s.Queued += len(g.waiters)
	for _, m := range g.members {
		s.InFlight += m.inFlight
	}
}
