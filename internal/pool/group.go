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
	members    []*member
	starting   int // of this generation
	waiters    []*waiter
	retry      backoff
	closed     error
}

// A member is a worker and what the group knows of it.
type member struct {
	g          *group
	w          *worker.Worker
	generation int
	// client and absolute are the worker's, which no longer change.
	client   *upstream.Client
	absolute bool

	// The rest is guarded by the group's lock.
	inFlight, served int
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
	if i < 0 { // it was assigned in the meantime
		if a := <-w.ch; a.m != nil {
			a.m.release()
		}
	}
	return nil, cause
}

// pick returns the worker with the fewest requests that can take one more.
func (g *group) pick() *member {
	var best *member
	room := g.room()
	for _, m := range g.members {
		if m.retiring != "" || m.generation != g.generation || m.inFlight >= room || m.w.State() != worker.Ready || m.client.Refused() {
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

// serving reports whether a worker of this generation takes requests.
func (g *group) serving() bool {
	return slices.ContainsFunc(g.members, func(m *member) bool {
		return m.generation == g.generation && m.retiring == ""
	})
}

// scale starts as many workers as the load asks for and the limits allow. It
// is called with the lock held.
func (g *group) scale() {
	if g.fn == nil || g.closed != nil {
		return
	}
	live := 0
	busy := true // all of them are
	for _, m := range g.members {
		if m.generation == g.generation && m.retiring == "" {
			live++
			busy = busy && m.busy()
		}
	}
	want := 0
	if waiting := len(g.waiters); waiting > 0 {
		room := g.room()
		want = (waiting+room-1)/room - g.starting
	} else if live > 0 && busy && g.starting == 0 {
		want = 1
	}
	limit := g.fn.Limits.MaxWorkers
	if g.fn.Slug == g.p.opts.Inspect {
		limit = 1 // the inspector has one port
	}
	want = min(want, limit-live-g.starting)
	if want > 0 && g.retry.refuse(time.Now()) != nil && live+g.starting > 0 {
		return // the ones there are have to do
	}
	for range want {
		g.launch()
	}
}

// started takes in a worker that came up, or the reason why none did.
func (g *group) started(m *member, generation int, err error) {
	g.mu.Lock()
	current := generation == g.generation
	if current {
		g.starting--
	}
	var next time.Duration
	failed := false
	switch {
	case m != nil && (!current || g.closed != nil):
		g.adopt(m)
		g.retire(m, ReasonCodeChanged)
	case m != nil:
		g.retry.succeeded()
		g.adopt(m)
		g.handOver()
		g.scale()
	case current && g.closed == nil:
		failed = true
		next = g.retry.failed(err, time.Now())
		if g.starting == 0 && !g.serving() {
			g.answerAll(err)
		}
	}
	g.mu.Unlock()
	if failed {
		g.p.opts.Observer.BootFailure(g.slug, err, next)
	}
}

// adopt adds a member and watches for its end.
func (g *group) adopt(m *member) {
	m.idleSince = time.Now()
	g.members = append(g.members, m)
	g.p.wg.Add(1)
	go g.watch(m)
}

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

// watch takes a worker out as soon as its process is gone.
func (g *group) watch(m *member) {
	defer g.p.wg.Done()
	<-m.w.Done()
	exit := Exit{Slug: g.slug, ExecutionID: m.w.ID, Exit: m.w.Exit()}
	g.mu.Lock()
	if i := slices.Index(g.members, m); i >= 0 {
		g.members = slices.Delete(g.members, i, i+1)
	}
	exit.Requests, exit.InFlight = m.served, m.inFlight
	if exit.Asked { // else it ended by itself, whatever was to become of it
		exit.Reason = m.retiring
	}
	// Leases of it may still be given back, when nobody waits for the pool's
	// goroutines any more: that must not start another one.
	m.retiring, m.finishing = "exited", true
	g.scale() // for those who wait
	g.mu.Unlock()
	g.p.opts.Observer.Exit(exit)
}

// update sets the function, or why there is none. It reports whether workers
// had to be replaced or will differ from those before.
func (g *group) update(f *function.Function, broken error) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f != nil && g.fn != nil && sameRun(f, g.fn) {
		g.fn = f
		idle := len(g.members) == 0 && g.starting == 0 && g.retry.fails == 0
		if idle || g.retry.fails == 0 && g.p.opts.Builder.Unchanged(f) {
			return false
		}
	}
	was := len(g.members) > 0 || g.starting > 0 || g.retry.fails > 0
	g.fn, g.broken = f, broken
	g.generation++
	g.starting = 0
	g.retry = backoff{}
	for _, m := range slices.Clone(g.members) {
		g.retire(m, ReasonCodeChanged)
	}
	if f == nil {
		g.answerAll(broken)
		return true
	}
	g.scale()
	if was && g.p.opts.Eager {
		g.warm()
	}
	return true
}

// warm starts a worker where there is none; the lock is held.
func (g *group) warm() {
	if g.fn == nil || g.closed != nil || g.starting > 0 || g.serving() {
		return
	}
	g.launch()
}

// launch starts one worker; the lock is held.
func (g *group) launch() {
	g.starting++
	g.p.wg.Add(1)
	g.p.active.Add(1)
	go g.start(g.fn, g.generation)
}

// close ends the group: those who wait get err, workers finish.
func (g *group) close(err error, reason string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != nil {
		return
	}
	g.closed = err
	g.answerAll(err)
	for _, m := range slices.Clone(g.members) {
		g.retire(m, reason)
	}
}

// retire has a member take no more requests; it is stopped when those it has
// are done.
func (g *group) retire(m *member, reason string) {
	if m.retiring == "" {
		m.retiring = reason
	}
	if m.inFlight == 0 {
		g.finish(m)
	}
}

// finish ends a retired member without requests.
func (g *group) finish(m *member) {
	if m.finishing {
		return
	}
	m.finishing = true
	reason := m.retiring
	limit := function.Defaults().WallClock
	if g.fn != nil {
		limit = g.fn.Limits.WallClock
	}
	g.p.wg.Add(1)
	go func() {
		defer g.p.wg.Done()
		ctx, cancel := context.WithTimeout(g.p.patience, limit)
		defer cancel()
		m.w.Retire(ctx, reason)
	}()
}

// running returns the workers that nobody has begun to end for good.
func (g *group) running() []*worker.Worker {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []*worker.Worker
	for _, m := range g.members {
		if m.w.State() < worker.Stopping {
			all = append(all, m.w)
		}
	}
	return all
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
