package pool

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
)

// A starter of the test enters, says so, and stays until it is told to leave.
type entrant struct {
	name  string
	leave chan struct{}
}

// enter has n starts of a line ask for a place; got is told which get one.
func enter(t *testing.T, turns *turns, l *line, name string, n int, got chan<- entrant) {
	t.Helper()
	for range n {
		go func() {
			leave, err := turns.enter(t.Context(), l)
			if err != nil {
				return
			}
			e := entrant{name, make(chan struct{})}
			got <- e
			<-e.leave
			leave()
		}()
		synctest.Wait() // so that they stand in line in this order
	}
}

// drain lets the starts that run now leave in order, and those that follow, and
// returns all names in the order in which they got a place.
func drain(got chan entrant) (order []string) {
	for {
		synctest.Wait()
		select {
		case e := <-got:
			order = append(order, e.name)
			close(e.leave)
		default:
			return order
		}
	}
}

func TestFunctionsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(1)
		turns.share = time.Hour
		var hot, a, b line
		got := make(chan entrant, 100)
		enter(t, turns, &hot, "hot", 6, got)
		first := <-got
		select {
		case e := <-got:
			t.Fatalf("%s has both places", e.name)
		default:
		}
		// Half of the places is left for a function that comes now.
		enter(t, turns, &a, "a", 2, got)
		second := <-got
		if second.name != "a" {
			t.Fatalf("%s has the second place", second.name)
		}
		enter(t, turns, &b, "b", 2, got)
		close(first.leave)
		synctest.Wait()
		close(second.leave)
		if order := drain(got); !slices.Equal(order, []string{"hot", "a", "b", "hot", "b", "hot", "hot", "hot"}) {
			t.Errorf("%v", order)
		}
		if turns.free != 2 || len(turns.ring) != 0 || hot.running+a.running+b.running != 0 {
			t.Errorf("%+v", turns)
		}
	})
}

func TestTurnsEndWithTheirShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(1)
		var lines [5]line
		began := time.Now()
		for i := range lines {
			leave, err := turns.enter(t.Context(), &lines[i])
			if err != nil {
				t.Fatal(err)
			}
			defer leave() // never before the test's end
		}
		if took := time.Since(began); took != 2*startShare {
			t.Errorf("five starts that hang, two at a time, were let in after %s", took)
		}
	})
}

func TestTurnsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(1)
		var l line
		leave, err := turns.enter(t.Context(), &l)
		if err != nil {
			t.Fatal(err)
		}
		why := errors.New("the function changed")
		ctx, cancel := context.WithCancelCause(t.Context())
		failed := make(chan error)
		for range 2 {
			go func() {
				_, err := turns.enter(ctx, &l)
				failed <- err
			}()
		}
		synctest.Wait()
		cancel(why)
		for range 2 {
			if err := <-failed; err != why {
				t.Errorf("%v", err)
			}
		}
		leave()
		leave()
		if turns.free != 2 || len(turns.ring) != 0 || l.running != 0 || len(l.waiting) != 0 {
			t.Errorf("%+v, %+v", turns, l)
		}
	})
}

func TestTurnsHammer(t *testing.T) {
	const each = 2
	turns := newTurns(each)
	turns.share = time.Millisecond
	var lines [5]line
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			for range 200 {
				n := (i + rand.IntN(2)) % len(lines)
				ctx, cancel := context.WithTimeout(context.Background(), rand.N(2*time.Millisecond))
				leave, err := turns.enter(ctx, &lines[n])
				cancel()
				if err != nil {
					continue
				}
				time.Sleep(rand.N(20 * time.Microsecond))
				leave()
			}
		})
		all.Go(func() {
			turns.mu.Lock()
			defer turns.mu.Unlock()
			total := 0
			for n := range lines {
				total += lines[n].running
				if lines[n].running > each {
					t.Errorf("one function has %d places", lines[n].running)
				}
				if len(lines[n].waiting) > 0 && lines[n].running < each && turns.free > 0 {
					t.Error("a place is free and a start waits")
				}
			}
			if total+turns.free != 2*each {
				t.Errorf("%d run and %d places are free", total, turns.free)
			}
		})
	}
	all.Wait()
	if turns.free != 2*each || len(turns.ring) != 0 {
		t.Errorf("%+v", turns)
	}
}

// A function with any number of starts that hang or take long does not hold up
// the first call of another one.
func TestHotStartsHoldUpNobody(t *testing.T) {
	s := newStand(t)
	s.starts.share = 10 * time.Second
	s.write("hot", `await new Promise(() => {});`, policy(function.OneShot), limits(func(l *function.Limits) { l.MaxWorkers = 50 }))
	s.serve("fn", hello)
	ctx, cancel := context.WithCancel(context.Background())
	var hot sync.WaitGroup
	for range 50 {
		hot.Go(func() { _, _ = s.Acquire(ctx, "hot") })
	}
	s.settled("50 starts", func(st Stats) bool { return st.Starting == 50 })
	began := time.Now()
	if got := s.get("fn"); got != "hello" {
		t.Errorf("%q", got)
	}
	if took := time.Since(began); took > 9*time.Second { // before a hanging start has to give up its place
		t.Errorf("the start took %s", took)
	}
	cancel()
	hot.Wait()
	s.remove("hot")
	s.apply()
}

// Processes that are ready are shared, too: of four, two are for functions that
// have no worker.
func TestHotFunctionLeavesProcessesToOthers(t *testing.T) {
	s := newStand(t, func(o *Options) { o.Prestart = 4 })
	s.write("hot", hello, policy(function.PerRequest))
	s.write("a", hello)
	s.serve("b", hello)
	s.settled("the processes", func(st Stats) bool { return st.Idle == 4 })
	s.starter.setFail(errors.New("no further process"))
	var held []*Lease
	for range 2 {
		held = append(held, s.lease("hot"))
	}
	var boot *function.BootError
	if l, err := s.Acquire(within(t, 200*time.Millisecond), "hot"); err == nil {
		l.Release()
		t.Error("a third worker of the hot function took a process that is kept for others")
	} else if !errors.As(err, &boot) && !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	for _, slug := range []string{"a", "b"} {
		if got := s.get(slug); got != "hello" {
			t.Errorf("%s: %q", slug, got)
		}
	}
	for _, l := range held {
		l.Release()
	}
	s.starter.setFail(nil)
	if n := len(s.seen.allBoots()); n != 4 {
		t.Errorf("%d workers came up, want 4", n)
	}
}
