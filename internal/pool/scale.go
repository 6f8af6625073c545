package pool

import (
	"slices"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
)

// scale starts as many workers as the load asks for and the limits allow. It
// is called with the lock held, whenever one of the two may have changed.
func (g *group) scale() {
	if g.fn == nil || g.closed != nil {
		return
	}
	live, leaving := 0, 0
	busy := true // all of them are
	for _, m := range g.members {
		if g.serves(m) {
			live++
			if m.leaving != "" {
				leaving++
			}
			busy = m.busy() && busy
		}
	}
	want := 0
	switch waiting := g.queue.length; {
	case waiting > 0:
		room := g.room()
		want = (waiting+room-1)/room - g.starting
	case live+g.starting == 0 && g.wanted, live > 0 && busy && g.starting == 0:
		want = 1
	}
	want = max(want, leaving-g.starting)
	if g.retry.fails > 0 {
		want = min(want, 1-g.starting) // one finds out for all
	}
	if want <= 0 {
		return
	}
	if err := g.retry.refuse(time.Now()); err != nil {
		if live+g.starting == 0 { // else those have to do
			g.queue.refuse(err)
		}
		return
	}
	for range min(want, g.vacancies()) {
		if !g.p.room() {
			return // the guard comes back to it
		}
		g.launch()
	}
}

// vacancies is how many more workers there may be.
func (g *group) vacancies() int {
	if g.slug == g.p.opts.Inspect {
		// The inspector has one port, which an old worker holds to its end.
		return 1 - len(g.members) - len(g.launches)
	}
	n := g.fn.Limits.MaxWorkers - g.starting
	for _, m := range g.members {
		// A worker for one request may long outlive it with background work,
		// and there could be any number of them.
		serves := g.serves(m) && m.leaving == ""
		if serves || g.fn.Policy == function.OneShot && m.generation == g.generation {
			n--
		}
	}
	return n
}

// warm starts a worker where there is none; the lock is held.
func (g *group) warm() {
	if g.fn == nil || g.closed != nil || g.starting > 0 || g.serving() {
		return
	}
	g.wanted = true
	g.scale()
}

// launch starts one worker; the lock is held.
func (g *group) launch() {
	l := &launch{
		fn: g.fn, generation: g.generation, began: time.Now(), ctx: g.ctx, built: make(chan struct{}),
		line:    &g.line,
		first:   g.starting == 0 && !slices.ContainsFunc(g.members, func(m *member) bool { return m.generation == g.generation }),
		checked: g.checked, fails: g.retry.fails,
	}
	for _, o := range g.launches {
		if o.generation != l.generation {
			l.after = append(l.after, o)
		}
	}
	g.launches = append(g.launches, l)
	g.wanted = false
	g.starting++
	g.p.wg.Add(1)
	g.p.active.Add(1)
	go g.start(l)
}

// started takes in a worker that came up, or the reason why none did.
func (g *group) started(l *launch, m *member, err error) {
	g.mu.Lock()
	g.launches = slices.DeleteFunc(g.launches, func(o *launch) bool { return o == l })
	current := l.generation == g.generation
	if current {
		g.starting--
	}
	var next time.Duration
	failed := false
	switch {
	case m != nil && (!current || g.closed != nil || l.checked < g.checked && m.bundle != g.bundle):
		g.adopt(m)
		g.retire(m, g.leaving())
	case m != nil:
		g.retry.succeeded()
		g.adopt(m)
		g.replaced(m)
		g.handOver()
	case current && g.closed == nil:
		failed = true
		next = g.retry.failed(err, time.Now(), l.fails)
		if g.starting == 0 && !g.serving() {
			g.queue.refuse(err)
		}
	}
	g.scale()
	g.mu.Unlock()
	if failed {
		g.p.opts.Observer.BootFailure(g.slug, err, next)
	}
}

// leaving is why a worker is not wanted that came up all the same.
func (g *group) leaving() string {
	if g.closed == function.ErrClosed {
		return ReasonTermination
	}
	return ReasonCodeChanged
}

// adopt adds a member and watches for its end.
func (g *group) adopt(m *member) {
	m.idleSince = g.p.clock.now()
	m.ward.m = m
	g.members = append(g.members, m)
	g.p.wg.Add(1)
	go g.watch(m)
}

// watch takes a worker out as soon as its process is gone.
func (g *group) watch(m *member) {
	defer g.p.wg.Done()
	<-m.w.Done()
	_ = m.limitError() // a full heap is known now
	exit := Exit{Slug: g.slug, ExecutionID: m.w.ID, Exit: m.w.Exit()}
	g.mu.Lock()
	if i := slices.Index(g.members, m); i >= 0 {
		g.members = slices.Delete(g.members, i, i+1)
	}
	exit.Requests, exit.InFlight = m.served, max(m.inFlight, m.cut)
	switch {
	case m.exceeded != nil:
		exit.Reason, exit.Detail = m.exceeded.Reason, m.exceeded.Detail
	case exit.Asked: // else it ended by itself, whatever was to become of it
		exit.Reason, exit.Detail = m.retiring, m.detail
	}
	// Leases of it may still be given back, when nobody waits for the pool's
	// goroutines any more: that must not start another one.
	m.retiring, m.finishing = "exited", true
	g.scale() // for those who wait
	g.mu.Unlock()
	g.p.opts.Observer.Exit(exit)
}
