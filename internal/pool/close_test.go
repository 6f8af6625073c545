package pool

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
)

// hangs never answers.
const hangs = `Deno.serve(() => new Promise(() => {}));`

func TestCloseWaitsForRequests(t *testing.T) {
	s := newStand(t)
	s.serve("fn", slow, policy(function.PerRequest), limits(func(l *function.Limits) { l.MaxWorkers = 1 }))
	answer := asked(s.lease("fn"))
	failed := make(chan error, 1)
	go func() {
		_, err := s.Acquire(within(t, soon), "fn")
		failed <- err
	}()
	s.settled("a waiting request", func(st Stats) bool { return st.Queued == 1 })
	if err := s.shut(soon); err != nil {
		t.Errorf("%v", err)
	}
	if got := receive(t, answer); got != "slow" {
		t.Errorf("%q", got)
	}
	if err := receive(t, failed); !errors.Is(err, function.ErrClosed) {
		t.Errorf("%v", err)
	}
	if e := s.exit(0); e.Reason != ReasonTermination || e.InFlight != 0 {
		t.Errorf("%+v", e)
	}
	if _, err := s.Acquire(t.Context(), "fn"); !errors.Is(err, function.ErrClosed) {
		t.Errorf("a request after the end: %v", err)
	}
	if _, err := s.Apply(function.NewSet()); !errors.Is(err, function.ErrClosed) {
		t.Errorf("a change after the end: %v", err)
	}
	s.Warm("fn")
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

func TestCloseWaitsForBackgroundWork(t *testing.T) {
	s := newStand(t)
	s.serve("fn", `Deno.serve(() => {
		EdgeRuntime.waitUntil(new Promise((r) => setTimeout(() => { console.log("task done"); r(); }, 200)));
		return new Response();
	});`)
	s.get("fn")
	if err := s.Close(context.Background()); err != nil { // and leaves nothing behind although it never ends
		t.Errorf("%v", err)
	}
	if !s.seen.logged("task done") {
		t.Error("the background work was cut short")
	}
}

func TestCloseCutsAtTheDeadline(t *testing.T) {
	s := newStand(t)
	s.write("requests", hangs, policy(function.PerRequest))
	s.write("removed", hangs)
	s.write("background", `Deno.serve(() => { EdgeRuntime.waitUntil(new Promise(() => {})); return new Response(); });`)
	s.serve("rests", hello)
	first, second, removed := s.lease("requests"), s.lease("requests"), s.lease("removed")
	s.remove("removed")
	s.apply()
	s.get("background")
	s.get("rests")
	began := time.Now()
	err := s.shut(300 * time.Millisecond)
	if err == nil || err.Error() != "stop workers: 4 did not finish in time and were ended" {
		t.Errorf("%v", err)
	}
	if took := time.Since(began); took < 300*time.Millisecond || took > soon/2 {
		t.Errorf("it took %s", took)
	}
	for i := range 5 {
		e := s.exit(i)
		held := e.Slug == "requests" || e.Slug == "removed"
		want := ReasonTermination
		if e.Slug == "removed" {
			want = ReasonCodeChanged
		}
		if e.Reason != want || (e.InFlight == 1) != held {
			t.Errorf("%+v", e)
		}
	}
	// Their requests learn of it, if late. That starts nothing any more.
	if !first.m.finishing {
		t.Error("the end of a dead worker would be waited for")
	}
	first.Release()
	second.Release()
	removed.Release()
	if st := s.Stats(); st.Workers+st.InFlight != 0 {
		t.Errorf("%+v", st)
	}
}

func TestCloseEndsStarts(t *testing.T) {
	s := newStand(t, func(o *Options) { o.Prestart = 2 })
	s.builder.setHook(func(ctx context.Context, f *function.Function) error {
		if f.Slug == "building" {
			<-ctx.Done()
		}
		return ctx.Err()
	})
	s.write("building", hello)
	s.write("loading", `await new Promise(() => {});`)
	s.serve("looping", `for (;;);`)
	failed := make(chan error, 3)
	for _, f := range s.set {
		go func() {
			_, err := s.Acquire(within(t, soon), f.Slug)
			failed <- err
		}()
	}
	s.settled("the starts", func(st Stats) bool { return st.Starting == 3 })
	eventually(t, "two processes", func() bool { return s.starter.count() >= 2 })
	if err := s.shut(soon); err != nil {
		t.Errorf("%v", err)
	}
	for range 3 {
		if err := receive(t, failed); !errors.Is(err, function.ErrClosed) {
			t.Errorf("%v", err)
		}
	}
	if n := len(s.seen.allFailures()); n > 0 {
		t.Errorf("%d failures were reported", n)
	}
	if st := s.Stats(); st.Starting+st.Workers+st.Idle+st.Queued != 0 {
		t.Errorf("%+v", st)
	}
}

// A worker can come up in the moment that all others are ended.
func TestCloseEndsAWorkerThatComesUpLate(t *testing.T) {
	s := newStand(t)
	up, goOn := make(chan struct{}), make(chan struct{})
	s.seen.onEvent = func() {
		if len(s.seen.allExits()) == 0 {
			close(up)
			<-goOn
		}
	}
	s.serve("fn", `EdgeRuntime.waitUntil(new Promise(() => {})); `+hello)
	s.Warm("fn")
	receive(t, up)
	closed := make(chan error)
	go func() { closed <- s.shut(0) }()
	time.Sleep(100 * time.Millisecond) // nothing tells that the others are ended
	close(goOn)
	if err := receive(t, closed); err != nil {
		t.Errorf("%v", err)
	}
	if e := s.exit(0); e.Reason != ReasonTermination {
		t.Errorf("%+v", e)
	}
}

// Whatever moment of a start Close falls into, it keeps its deadline and
// nothing is left, even of a function that holds its worker as it comes up.
func TestCloseWhileStarting(t *testing.T) {
	for _, after := range []time.Duration{0, 20, 40, 50, 60, 70, 80, 100} {
		s := newStand(t)
		s.serve("fn", `EdgeRuntime.waitUntil(new Promise(() => {})); `+hello)
		s.Warm("fn")
		time.Sleep(after * time.Millisecond)
		began := time.Now()
		_ = s.shut(0)
		if took := time.Since(began); took > soon/2 {
			t.Errorf("closing after %s took %s", after*time.Millisecond, took)
		}
		if n := len(s.starter.alive()); n > 0 {
			t.Errorf("%d processes are left", n)
		}
	}
}
