package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
)

func TestBootFailureIsSharedAndBacksOff(t *testing.T) {
	s := newStand(t)
	s.serve("fn", `throw new Error("no luck");`)
	for round := range 3 {
		_, errs := s.many(20, "fn")
		for _, err := range errs {
			var boot *function.BootError
			if !errors.As(err, &boot) || boot.Message != "Error: no luck" {
				t.Fatalf("round %d: %v", round, err)
			}
		}
		if n := s.starter.count(); n != round+1 {
			t.Errorf("%d processes after round %d", n, round)
		}
	}
	s.prolongBackoff("fn")
	_, errs := s.many(20, "fn")
	for _, err := range errs {
		if err == nil || !strings.Contains(err.Error(), "no luck (failed 3 times in a row; next try in 1m0s)") {
			t.Fatalf("%v", err)
		}
	}
	if n := s.starter.count(); n != 3 {
		t.Errorf("%d processes during the backoff", n)
	}
	failures := s.seen.allFailures()
	if len(failures) != 3 || failures[1].next != 0 || failures[2].next != time.Second {
		t.Errorf("%+v", failures)
	}
	// The cure is served at once.
	s.write("fn", hello)
	if change := s.apply(); !slices.Equal(change.Updated, []string{"fn"}) {
		t.Errorf("%+v", change)
	}
	if got := s.get("fn"); got != "hello" {
		t.Errorf("%q", got)
	}
}

func TestBackoffEnds(t *testing.T) {
	s := newStand(t)
	var broken atomic.Bool
	broken.Store(true)
	s.builder.setHook(func(context.Context, *function.Function) error {
		if broken.Load() {
			return errors.New("registry is down")
		}
		return nil
	})
	s.serve("fn", hello)
	var boot *function.BootError
	for range 4 {
		if _, err := s.try(within(t, soon), "fn"); !errors.As(err, &boot) || boot.Stage != "bundle" || boot.Slug != "fn" {
			t.Fatalf("%v", err)
		}
	}
	broken.Store(false)
	eventually(t, "the next try", func() bool {
		body, _ := s.try(within(t, soon), "fn")
		return body == "hello"
	})
	g := s.group("fn")
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.retry != (backoff{}) {
		t.Errorf("%+v after a success", g.retry)
	}
}

// A function that fails to start for four callers at once has failed once, and
// then one start finds out for all.
func TestFailuresAtOnceCountOnce(t *testing.T) {
	s := newStand(t)
	s.serve("fn", `throw new Error("no luck");`, policy(function.PerRequest))
	s.many(20, "fn")
	g := s.group("fn")
	g.mu.Lock()
	fails := g.retry.fails
	g.mu.Unlock()
	if n := s.starter.count(); fails != 1 || n > 4 {
		t.Errorf("%d failures in a row of %d starts", fails, n)
	}
	before := s.starter.count()
	s.many(20, "fn")
	if n := s.starter.count() - before; n != 1 {
		t.Errorf("%d starts after a failure", n)
	}
}

func TestBackoffWithLiveWorkers(t *testing.T) {
	s := newStand(t)
	s.serve("fn", hello, policy(function.PerRequest))
	first := s.lease("fn")
	s.builder.setHook(func(context.Context, *function.Function) error { return errors.New("registry is down") })
	// Further workers cannot be had: the one there is has to do for all.
	answers := make(chan string, 10)
	for range cap(answers) {
		go func() {
			body, err := s.try(within(t, soon), "fn")
			answers <- fmt.Sprint(body, err)
		}()
	}
	s.settled("ten waiting requests", func(st Stats) bool { return st.Queued == 10 })
	eventually(t, "the backoff", s.backsOff)
	first.Release()
	for range cap(answers) {
		if got := receive(t, answers); got != "hello<nil>" {
			t.Error(got)
		}
	}
	// Those that began before the first one had failed, and two more.
	if n := len(s.seen.allFailures()); n > 5 {
		t.Errorf("%d starts failed", n)
	}
}

// backsOff reports whether no start is tried.
func (s *stand) backsOff() bool {
	// Starts that were under way when the first one failed say nothing of it,
	// and one of them may be the last.
	return slices.ContainsFunc(s.seen.allFailures(), func(f failure) bool { return f.next > 0 })
}

// prolongBackoff has it last for a slow machine's sake.
func (s *stand) prolongBackoff(slug string) {
	g := s.group(slug)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.retry.until = time.Now().Add(time.Minute)
}

func TestWaitersAreToldWhenAllWorkersDieDuringTheBackoff(t *testing.T) {
	s := newStand(t)
	s.serve("fn", hello, policy(function.PerRequest))
	l := s.lease("fn")
	s.builder.setHook(func(context.Context, *function.Function) error { return errors.New("registry is down") })
	failed := make(chan error, 5)
	for range cap(failed) {
		go func() {
			_, err := s.Acquire(within(t, soon), "fn")
			failed <- err
		}()
	}
	s.settled("waiting requests", func(st Stats) bool { return st.Queued == cap(failed) })
	eventually(t, "the backoff", s.backsOff)
	s.prolongBackoff("fn")
	s.starter.all()[0].Stop()
	for range cap(failed) {
		var boot *function.BootError
		if err := receive(t, failed); !errors.As(err, &boot) || !strings.Contains(boot.Message, "registry is down (failed 3 times") {
			t.Errorf("%v", err)
		}
	}
	l.Release()
}
