package pool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/worker"
)

// slow answers after a while.
const slow = `Deno.serve(async () => { await new Promise((r) => setTimeout(r, 150)); return new Response("slow"); });`

// idle has workers go after d.
func idle(d time.Duration) func(*function.Function) {
	return limits(func(l *function.Limits) { l.WorkerIdle = d })
}

// crash ends a process as the kernel would.
func crash(t *testing.T, w *worker.Worker) {
	t.Helper()
	if err := syscall.Kill(w.PID(), syscall.SIGKILL); err != nil {
		t.Error(err)
	}
}

func TestBackToZero(t *testing.T) {
	s := newStand(t)
	s.serve("fn", hello, policy(function.PerRequest), idle(200*time.Millisecond))
	s.many(4, "fn")
	s.settled("no worker", func(st Stats) bool { return st.Workers == 0 })
	n := s.starter.count()
	for i := range n {
		if e := s.exit(i); e.Reason != ReasonIdle || e.InFlight != 0 || e.Slug != "fn" || !e.Asked || e.Lived < 200*time.Millisecond {
			t.Errorf("%+v", e)
		}
	}
	if got := s.get("fn"); got != "hello" {
		t.Errorf("%q", got)
	}
}

func TestIdleWorkersAreKept(t *testing.T) {
	for name, test := range map[string]func(s *stand) (source string, use func() (end func())){
		"with an open request": func(s *stand) (string, func() func()) {
			return hello, func() func() { return s.lease("fn").Release }
		},
		"with background work": func(s *stand) (string, func() func()) {
			return `let done;
				Deno.serve((r) => {
					if (done) done();
					else EdgeRuntime.waitUntil(new Promise((r) => done = r));
					return new Response();
				});`, func() func() {
					s.get("fn")
					return func() { s.get("fn") }
				}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t)
			source, use := test(s)
			s.serve("fn", source, idle(50*time.Millisecond))
			end := use()
			time.Sleep(2*reapEvery + 100*time.Millisecond)
			if st := s.Stats(); st.Workers != 1 || len(s.seen.allExits()) > 0 {
				t.Fatalf("%+v", st)
			}
			end()
			s.settled("no worker", func(st Stats) bool { return st.Workers == 0 })
		})
	}
}

func TestCrash(t *testing.T) {
	s := newStand(t)
	s.serve("fn", `Deno.serve(() => new Promise(() => {}));`, limits(func(l *function.Limits) { l.MaxWorkers = 1 }))
	kept := s.lease("fn")
	answer := asked(s.lease("fn"))
	time.Sleep(20 * time.Millisecond)
	crash(t, s.starter.all()[0])
	if got := receive(t, answer); !strings.Contains(got, function.ErrWorkerGone.Error()) {
		t.Errorf("%s", got)
	}
	// The next request is not given to what is left of it.
	began := time.Now()
	l := s.lease("fn")
	if l.ExecutionID() == kept.ExecutionID() {
		t.Error("a dead worker was given out")
	}
	if took := time.Since(began); took > soon/2 {
		t.Errorf("a fresh worker took %s", took)
	}
	e := s.exit(0)
	if e.Reason != "" || e.Code != 137 || e.Requests != 2 || e.InFlight < 1 || e.Asked {
		t.Errorf("%+v", e)
	}
	kept.Release() // long after its worker's end
	l.Release()
	if st := s.Stats(); st.InFlight != 0 || st.Workers != 1 {
		t.Errorf("%+v", st)
	}
}

func TestCrashWithRequestsWaiting(t *testing.T) {
	s := newStand(t)
	s.serve("fn", hello, policy(function.PerRequest), limits(func(l *function.Limits) { l.MaxWorkers = 1 }))
	l := s.lease("fn")
	answers := make(chan string, 5)
	for range cap(answers) {
		go func() {
			body, err := s.try(within(t, soon), "fn")
			answers <- fmt.Sprint(body, err)
		}()
	}
	s.settled("waiting requests", func(st Stats) bool { return st.Queued == cap(answers) })
	crash(t, s.starter.all()[0])
	for range cap(answers) {
		if got := receive(t, answers); got != "hello<nil>" {
			t.Error(got)
		}
	}
	l.Release()
	if n := s.starter.count(); n != 2 {
		t.Errorf("%d processes", n)
	}
}

func (l *Lease) doubted() bool {
	l.m.g.mu.Lock()
	defer l.m.g.mu.Unlock()
	return l.m.suspects > 0
}

// With one worker and no room for a second, requests wait for the end of the
// doubt.
func TestSuspectedWorkerServesAgain(t *testing.T) {
	s := newStand(t)
	s.serve("fn", hello, limits(func(l *function.Limits) { l.MaxWorkers = 1 }))
	l := s.lease("fn")
	suspected := make(chan struct{})
	go func() {
		defer close(suspected)
		l.Suspect()
	}()
	eventually(t, "the doubt", l.doubted)
	began := time.Now()
	other := s.lease("fn")
	if other.ExecutionID() != l.ExecutionID() || l.doubted() {
		t.Errorf("another lease after %s", time.Since(began))
	}
	receive(t, suspected)
	other.Release()
	l.Release()
}

// A worker that crashes after it was retired has crashed all the same.
func TestCrashWhileRetired(t *testing.T) {
	s := newStand(t)
	s.serve("fn", hello)
	l := s.lease("fn")
	s.remove("fn")
	s.apply()
	crash(t, s.starter.all()[0])
	if e := s.exit(0); e.Reason != "" || e.InFlight != 1 || e.Code != 137 {
		t.Errorf("%+v", e)
	}
	l.Release()
}

// Whoever tidies the temporary folder can remove a socket of a worker that
// lives on.
func TestWorkerWithoutASocketIsReplaced(t *testing.T) {
	s := newStand(t)
	s.serve("fn", `Deno.serve((r) => new Response(Deno.env.get("TMPDIR"), { headers: { connection: "close" } }));`,
		limits(func(l *function.Limits) { l.MaxWorkers = 1 }))
	first := s.lease("fn")
	tmp, err := ask(within(t, soon), first)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(filepath.Dir(tmp), "w.sock")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another worker", func() bool {
		l := s.lease("fn")
		defer l.Release()
		_ = l.Upstream().Prime(within(t, soon))
		return l.ExecutionID() != first.ExecutionID()
	})
	first.Release()
	if e := s.exit(0); e.ExecutionID != first.ExecutionID() || !e.Asked {
		t.Errorf("%+v", e)
	}
}

func TestOneShot(t *testing.T) {
	t.Run("one request each", func(t *testing.T) {
		s := newStand(t)
		s.serve("fn", `let n = 0; Deno.serve(() => new Response(String(++n)));`, policy(function.OneShot),
			limits(func(l *function.Limits) { l.MaxWorkers = 2 }))
		bodies, errs := s.many(10, "fn")
		for i := range bodies {
			if bodies[i] != "1" || errs[i] != nil {
				t.Errorf("%q, %v", bodies[i], errs[i])
			}
		}
		s.settled("no worker", func(st Stats) bool { return st.Workers == 0 })
		for i := range 10 {
			if e := s.exit(i); e.Requests != 1 || e.Reason != ReasonIdle {
				t.Errorf("%+v", e)
			}
		}
	})
	// What such a worker does after its answer counts: however many requests
	// come, there are never more processes than MaxWorkers.
	t.Run("background work is bounded", func(t *testing.T) {
		s := newStand(t)
		s.serve("fn", `Deno.serve(() => {
			EdgeRuntime.waitUntil(new Promise((r) => setTimeout(() => { console.log("task done"); r(); }, 200)));
			return new Response("ok");
		});`, policy(function.OneShot), limits(func(l *function.Limits) { l.MaxWorkers = 2 }))
		most, stop := 0, make(chan struct{})
		var watching sync.WaitGroup
		watching.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
					most = max(most, len(s.starter.alive()))
				}
			}
		})
		_, errs := s.many(5, "fn")
		close(stop)
		watching.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Error(describe(err))
		}
		if most > 2 {
			t.Errorf("%d processes at once", most)
		}
		s.settled("no worker", func(st Stats) bool { return st.Workers == 0 })
		if !s.seen.logged("task done") {
			t.Error("a worker was ended before its background work was")
		}
	})
}

func TestPerRequestWorkersAreUsedAgain(t *testing.T) {
	s := newStand(t)
	s.serve("fn", `let n = 0; Deno.serve(() => new Response(String(++n)));`, policy(function.PerRequest))
	for i := range 3 {
		if got := s.get("fn"); got != fmt.Sprint(i+1) {
			t.Errorf("%q", got)
		}
	}
}

func TestQueue(t *testing.T) {
	s := newStand(t)
	s.serve("fn", hello, policy(function.PerRequest), limits(func(l *function.Limits) {
		l.MaxWorkers, l.MaxQueue, l.QueueTime = 1, 2, 600*time.Millisecond
	}))
	s.Warm("fn") // the first start may take longer than the queue allows
	s.settled("a worker", func(st Stats) bool { return st.Workers == 1 })
	holder := s.lease("fn")
	type outcome struct {
		err  error
		took time.Duration
	}
	wait := func(ctx context.Context) <-chan outcome {
		done := make(chan outcome, 1)
		began := time.Now()
		queued := s.Stats().Queued
		go func() {
			l, err := s.Acquire(ctx, "fn")
			if err == nil {
				l.Release()
			}
			done <- outcome{err, time.Since(began)}
		}()
		s.settled("a waiting request", func(st Stats) bool { return st.Queued > queued })
		return done
	}
	gone := errors.New("client went away")
	ctx, leave := context.WithCancelCause(context.Background())
	late, early := wait(context.Background()), wait(ctx)
	var over *function.OverloadError
	if _, err := s.Acquire(context.Background(), "fn"); !errors.As(err, &over) || over.Reason != function.QueueFull || over.RetryAfter != time.Second {
		t.Errorf("a third one in a queue for two: %v", err)
	}
	leave(gone)
	if got := receive(t, early); !errors.Is(got.err, gone) {
		t.Errorf("%+v", got)
	}
	if got := receive(t, late); !errors.As(got.err, &over) || over.Reason != function.QueueTimeout || got.took < 600*time.Millisecond {
		t.Errorf("%+v", got)
	}
	if st := s.Stats(); st.Queued != 0 || st.InFlight != 1 {
		t.Errorf("%+v", st)
	}
	holder.Release()
	if got := s.get("fn"); got != "hello" {
		t.Errorf("%q", got)
	}
}

// Whoever stops waiting in the moment it is given a worker gives it back.
func TestGivingUpWhileBeingServed(t *testing.T) {
	s := newStand(t)
	s.serve("fn", hello, policy(function.PerRequest), limits(func(l *function.Limits) { l.MaxWorkers, l.QueueTime = 1, 3*time.Millisecond }))
	s.Warm("fn") // the first start takes longer than the queue allows
	s.settled("a worker", func(st Stats) bool { return st.Workers == 1 })
	var wg sync.WaitGroup
	served, refused := make([]int, 8), make([]int, 8)
	for i := range 8 {
		wg.Go(func() {
			for range 300 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rand.IntN(6000))*time.Microsecond)
				if l, err := s.Acquire(ctx, "fn"); err == nil {
					served[i]++
					time.Sleep(time.Duration(rand.IntN(1500)) * time.Microsecond)
					l.Release()
				} else {
					refused[i]++
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if st := s.Stats(); st.InFlight != 0 || st.Queued != 0 || st.Workers != 1 {
		t.Errorf("%+v", st)
	}
	if slices.Max(served) == 0 || slices.Max(refused) == 0 {
		t.Errorf("served %v, refused %v: nothing was tested", served, refused)
	}
}

func TestLease(t *testing.T) {
	s := newStand(t)
	s.serve("fn", hello, limits(func(l *function.Limits) { l.RequestIdle = 7 * time.Second }))
	l := s.lease("fn")
	w := s.starter.all()[0]
	if l.ExecutionID() != w.ID || l.RequestIdle() != 7*time.Second || !l.Absolute() || l.Upstream() != w.Upstream() {
		t.Errorf("%+v", l)
	}
	began := time.Now()
	suspected := make(chan struct{})
	go func() {
		defer close(suspected)
		l.Suspect() // it lives
	}()
	eventually(t, "the doubt", l.doubted)
	other := s.lease("fn")
	if other.ExecutionID() == l.ExecutionID() && l.doubted() {
		t.Error("a suspected worker was given out")
	}
	other.Release()
	receive(t, suspected)
	if took := time.Since(began); took < suspectPatience || took > soon/2 {
		t.Errorf("suspecting a live worker took %s", took)
	}
	crash(t, w)
	l.Suspect()
	eventually(t, "its end", func() bool { return s.exited(w.ID) })
	if _, err := s.Acquire(within(t, soon), "nothing"); !errors.Is(err, function.ErrNotFound) {
		t.Errorf("%v", err)
	}
	l.Release()
}
