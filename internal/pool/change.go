package pool

import (
	"context"
	"slices"

	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/worker"
)

// update sets the function, or why there is none. It reports whether workers
// had to be replaced or will differ from those before. It is called by one
// goroutine at a time.
func (g *group) update(f *function.Function, broken error) bool {
	if f != nil && g.keep(f) {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	was := len(g.members) > 0 || g.starting > 0 || g.retry.fails > 0
	g.become(f)
	g.broken = broken
	g.generation++
	g.pinned = nil
	if g.cancel != nil {
		g.cancel()
	}
	g.ctx, g.cancel = context.WithCancel(g.p.ctx)
	g.starting = 0
	g.retry = backoff{}
	for _, m := range slices.Clone(g.members) {
		g.retire(m, ReasonCodeChanged)
	}
	if f == nil {
		g.wanted = false
		g.queue.refuse(broken)
		return true
	}
	g.wanted = g.wanted || was && g.p.opts.Eager
	g.scale()
	return true
}

// keep takes in f if the workers there are can go on for it. It reads files,
// so requests are not kept waiting meanwhile.
func (g *group) keep(f *function.Function) bool {
	g.mu.Lock()
	if g.fn == nil || !sameRun(f, g.fn) || g.retry.fails > 0 {
		g.mu.Unlock()
		return false
	}
	g.become(f)
	idle := g.starting == 0 && !g.serving()
	g.mu.Unlock()
	if idle {
		return true // whatever is started from now on is built from now on
	}
	if !g.p.opts.Builder.Unchanged(f) {
		return false
	}
	// The bundle is up to date, but who made it? A worker that was started
	// after an edit and before this look at the disk runs it, while those
	// before it run another one.
	built, err := g.p.opts.Builder.Build(g.p.ctx, f)
	if err != nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.checked++
	g.bundle = built.Name
	return !slices.ContainsFunc(g.members, func(m *member) bool { return g.serves(m) && m.bundle != built.Name })
}

// close ends the group: those who wait get err, workers finish.
func (g *group) close(err error, reason string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != nil {
		return
	}
	g.closed = err
	if g.cancel != nil {
		g.cancel()
	}
	g.queue.refuse(err)
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
	reason := unloadReason(m.retiring)
	// The guard ends it sooner, and says that it was the wall clock.
	left := g.p.clock.until(m.born.Add(m.ward.limits.WallClock + lastWords))
	g.p.wg.Add(1)
	go func() {
		defer g.p.wg.Done()
		ctx, cancel := context.WithTimeout(g.p.patience, left)
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
