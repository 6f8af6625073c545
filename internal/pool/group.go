package pool

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/selvedge-dev/selvedge/internal/bundle"
	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/upstream"
	"github.com/selvedge-dev/selvedge/internal/worker"
)

// A group is one function and its workers.
type group struct {
	p    *Pool
	slug string

	// current is fn, for those who do not hold the lock.
	current atomic.Pointer[function.Function]

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
	queue    queue
	line     line // guarded by the pool's turns
	// wanted is set when a worker is to be started without a request.
	wanted bool
	// checked counts how often the workers were found to be up to date, and
	// bundle names what they ran the last time.
	checked int
	bundle  string
	retry   backoff
	closed  error
	// pinned is what workers of this generation run, nil if that is not known
	// yet, or is looked for each time.
	pinned *bundle.Bundle
	// blamed is when a worker last reached a limit.
	blamed time.Time
}

// A member is a worker and what the group knows of it.
type member struct {
	g          *group
	w          *worker.Worker
	generation int
	bundle     string
	version    string // the bundle's, as the function sees it
	// client and absolute are the worker's, which no longer change.
	client   *upstream.Client
	absolute bool
	ward     *ward
	born     time.Time // when it began to serve

	// The rest is guarded by the group's lock.
	inFlight, served int
	suspects         int    // leases that doubt it lives
	retiring         string // the reason, "" while it takes requests
	leaving          string // the reason, while it does so until it is replaced
	finishing        bool
	idleSince        time.Time
	leases           list[Lease, *Lease] // in the order they were given out
	account          account
	detail           string               // says more of the reason
	exceeded         *function.LimitError // why it was stopped, nil for not
	cut              int                  // requests in flight when it was
}

func newGroup(p *Pool, slug string) *group { return &group{p: p, slug: slug} }

// become sets the function; the lock is held.
func (g *group) become(f *function.Function) {
	g.fn = f
	g.current.Store(f)
}

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
	patience := g.fn.Limits.QueueTime
	if g.queue.length == 0 { // else those who wait come first
		if m := g.pick(); m != nil {
			l := m.take()
			g.scale()
			g.mu.Unlock()
			return l, nil
		}
	}
	now := time.Now()
	if err := g.retry.refuse(now); err != nil && g.starting == 0 && !g.serving() {
		g.mu.Unlock()
		return nil, err
	}
	w := g.queue.push(now)
	g.handOver()
	g.scale()
	if w.queued && g.queue.length > g.places() {
		g.queue.remove(w)
		err := g.queue.overloaded(function.QueueFull, now)
		g.mu.Unlock()
		return nil, err
	}
	g.mu.Unlock()

	timer := time.NewTimer(patience)
	defer timer.Stop()
	var cause error
	late := false
	select {
	case a := <-w.ch:
		if a.err != nil {
			return nil, a.err
		}
		return a.l, nil
	case <-ctx.Done():
		cause = context.Cause(ctx)
	case <-timer.C:
		late = true
	}
	g.mu.Lock()
	waited := g.queue.remove(w)
	if waited && late {
		cause = g.queue.overloaded(function.QueueTimeout, time.Now())
	}
	g.mu.Unlock()
	if waited {
		return nil, cause
	}
	a := <-w.ch // it was answered in the meantime
	switch {
	case a.err != nil:
		return nil, a.err
	case ctx.Err() != nil:
		a.l.Release()
		return nil, context.Cause(ctx)
	default: // just in time
		return a.l, nil
	}
}

// places is how many requests may wait: those for which the workers that are
// being started will have room, and the queue proper.
func (g *group) places() int {
	return max(0, g.fn.Limits.MaxQueue) + g.starting*g.room()
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
	for g.queue.length > 0 {
		m := g.pick()
		if m == nil {
			return
		}
		g.queue.serve(m, time.Now())
	}
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
	s.Queued += g.queue.length
	for _, m := range g.members {
		s.InFlight += m.inFlight
	}
}
