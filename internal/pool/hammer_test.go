package pool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/upstream"
	"github.com/selvedge-dev/selvedge/internal/worker"
)

// TestHammer does everything at once and at random: requests that are served,
// held, abandoned, doubted; edits, removals, broken code; crashes. It checks
// what must hold at all times, and that in the end nothing is left.
func TestHammer(t *testing.T) {
	last := 3 * time.Second
	if testing.Short() {
		last = time.Second
	}
	s := newStand(t, func(o *Options) { o.Prestart, o.Eager = 1, true })
	const background = `Deno.serve(() => {
		EdgeRuntime.waitUntil(new Promise((r) => setTimeout(r, 30)));
		return new Response("hello");
	});`
	few := limits(func(l *function.Limits) {
		l.MaxWorkers, l.MaxConcurrency, l.WorkerIdle, l.QueueTime = 2, 3, 300*time.Millisecond, soon
	})
	policies := map[string]function.Policy{
		"many": function.PerWorker, "single": function.PerRequest, "once": function.OneShot, "comes and goes": function.PerWorker,
	}
	for slug, p := range policies {
		s.write(slug, background, few, policy(p))
	}
	s.apply()

	stop := make(chan struct{})
	var all sync.WaitGroup
	loop := func(n int, pause time.Duration, do func()) {
		for range n {
			all.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(rand.N(pause)):
						do()
					}
				}
			})
		}
	}
	slugs := []string{"many", "single", "once", "comes and goes"}
	var served, failed atomic.Int64
	loop(24, 5*time.Millisecond, func() {
		ctx, cancel := context.WithTimeout(context.Background(), rand.N(3*time.Second))
		defer cancel()
		slug := slugs[rand.IntN(len(slugs))]
		if slug == "once" && rand.IntN(10) > 0 {
			slug = "many" // a start for each request takes all of the time
		}
		l, err := s.Acquire(ctx, slug)
		if err == nil {
			switch rand.IntN(4) {
			case 0:
				time.Sleep(rand.N(20 * time.Millisecond))
			case 1:
				err = l.Upstream().Prime(ctx)
			default:
				_, err = ask(ctx, l)
			}
			if errors.Is(err, function.ErrWorkerGone) {
				l.Suspect()
			}
			l.Release()
		}
		if err == nil {
			served.Add(1)
			return
		}
		failed.Add(1)
		var boot *function.BootError
		if !errors.As(err, &boot) && !errors.Is(err, function.ErrNotFound) && !errors.Is(err, function.ErrOverloaded) &&
			!errors.Is(err, function.ErrWorkerGone) && !errors.Is(err, upstream.ErrClosed) && !errors.Is(err, upstream.ErrAnswerCut) &&
			!errors.Is(err, upstream.ErrClientGone) && ctx.Err() == nil {
			t.Errorf("%v", err)
		}
	})
	edits := 0
	loop(1, 300*time.Millisecond, func() { // changes
		edits++
		slug := slugs[rand.IntN(len(slugs))]
		source := fmt.Sprintf("// %d\n%s", edits, background)
		switch rand.IntN(6) {
		case 0:
			s.remove("comes and goes")
		case 1:
			source = `throw new Error("no luck");`
			fallthrough
		default:
			s.write(slug, source, few, policy(policies[slug]))
		}
		s.apply()
	})
	loop(1, 300*time.Millisecond, func() { // crashes
		alive := s.starter.alive()
		if len(alive) == 0 {
			return
		}
		if w := alive[rand.IntN(len(alive))]; w.State() < worker.Stopping {
			_ = syscall.Kill(w.PID(), syscall.SIGKILL)
		}
	})
	loop(1, 2*time.Millisecond, func() {
		s.Stats()
		for _, g := range s.all() {
			if fault := g.fault(); fault != "" {
				t.Error(fault)
			}
		}
	})
	time.Sleep(last)
	close(stop)
	finished := make(chan struct{})
	go func() {
		all.Wait()
		close(finished)
	}()
	receive(t, finished)

	if st := s.Stats(); st.InFlight != 0 || st.Queued != 0 {
		t.Errorf("%+v", st)
	}
	// All is well again.
	for slug, p := range policies {
		s.write(slug, hello, few, policy(p))
	}
	s.apply()
	for _, slug := range slugs {
		if got := s.get(slug); got != "hello" {
			t.Errorf("%s: %q", slug, got)
		}
	}
	s.settled("the old workers' end", func(st Stats) bool { return st.Workers+st.Starting <= len(slugs) })
	for _, e := range s.seen.allExits() {
		if e.Reason != "" && e.InFlight != 0 {
			t.Errorf("a worker was ended with requests in flight: %+v", e)
		}
	}
	t.Logf("%d served, %d failed, %d edits, %d processes, %d exits", served.Load(), failed.Load(), edits, s.starter.count(), len(s.seen.allExits()))
}

// fault says what is wrong inside a group, "" for nothing.
func (g *group) fault() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	serving, inFlight, current := 0, 0, 0
	for _, m := range g.members {
		if g.serves(m) {
			serving++
		}
		if m.inFlight < 0 || m.suspects < 0 {
			return fmt.Sprintf("%s: a worker with %d requests, %d suspects", g.slug, m.inFlight, m.suspects)
		}
		if g.fn != nil && m.generation == g.generation && m.inFlight > g.room() {
			return fmt.Sprintf("%s: a worker with %d requests", g.slug, m.inFlight)
		}
		inFlight += m.inFlight
	}
	for _, l := range g.launches {
		if l.generation == g.generation {
			current++
		}
	}
	switch {
	case g.starting != current:
		return fmt.Sprintf("%s: %d starting, %d launches", g.slug, g.starting, current)
	case g.fn != nil && g.closed == nil && serving+g.starting > g.fn.Limits.MaxWorkers:
		return fmt.Sprintf("%s: %d serving and %d starting", g.slug, serving, g.starting)
	case g.queue.length > 0 && (g.fn == nil || g.closed != nil):
		return fmt.Sprintf("%s: %d wait for nothing", g.slug, g.queue.length)
	case g.queue.length > 0 && inFlight == 0 && g.starting == 0 && len(g.members) == 0:
		return fmt.Sprintf("%s: %d wait and nothing happens", g.slug, g.queue.length)
	}
	return ""
}
