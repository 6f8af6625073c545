package pool

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
)

func TestQueueKeepsTheOrder(t *testing.T) {
	now := time.Unix(1000, 0)
	var q queue
	w := make([]*waiter, 6)
	for i := range w {
		w[i] = q.push(now)
	}
	for _, i := range []int{0, 3, 5} { // the first, one in the middle, the last
		if !q.remove(w[i]) || q.remove(w[i]) {
			t.Errorf("waiter %d is not removed once", i)
		}
	}
	w = append(w, q.push(now))
	for _, i := range []int{1, 2, 4, 6} {
		m := new(member)
		q.serve(m, now)
		if got := <-w[i].ch; got.l.m != m || got.err != nil {
			t.Errorf("waiter %d got %+v", i, got)
		}
	}
	if q.length != 0 || q.first != nil || q.last != nil {
		t.Errorf("%+v", q)
	}
	w = []*waiter{q.push(now), q.push(now)}
	no := errors.New("no")
	q.refuse(no)
	for i := range w {
		if got := <-w[i].ch; got.err != no {
			t.Errorf("waiter %d got %+v", i, got)
		}
	}
	if q.length != 0 || slices.ContainsFunc(w, q.remove) {
		t.Errorf("%+v", q)
	}
}

// A refused client hears when those before it will have been served.
func TestRetryAfter(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	// steady has n requests wait while perSecond are served, for the seconds.
	steady := func(q *queue, from, seconds, perSecond float64, n int) float64 {
		for q.length < n {
			q.push(at(from))
		}
		for range int(seconds * perSecond) {
			from += 1 / perSecond
			q.serve(new(member), at(from))
			q.push(at(from))
		}
		return from
	}
	within := func(t *testing.T, q *queue, now, least, most float64) {
		t.Helper()
		var over *function.OverloadError
		if err := q.overloaded(function.QueueFull, at(now)); !errors.As(err, &over) || !errors.Is(err, function.ErrOverloaded) {
			t.Fatalf("%v", err)
		}
		if got := over.RetryAfter.Seconds(); got < least || got > most {
			t.Errorf("at %g s: %g s, want %g to %g", now, got, least, most)
		}
	}
	t.Run("nothing is known", func(t *testing.T) {
		within(t, &queue{}, 0, 1, 1)
	})
	t.Run("nobody was served yet", func(t *testing.T) {
		var q queue
		steady(&q, 0, 0, 1, 100)
		within(t, &q, 0.1, 1, 1)
		within(t, &q, 7, 7, 7)
		within(t, &q, 300, 60, 60)
	})
	t.Run("fast", func(t *testing.T) {
		var q queue
		now := steady(&q, 0, 3, 1000, 1000)
		within(t, &q, now, 1, 1.1)
	})
	t.Run("slow", func(t *testing.T) {
		var q queue
		now := steady(&q, 0, 60, 0.5, 10)
		within(t, &q, now, 15, 25)
	})
	t.Run("very slow", func(t *testing.T) {
		var q queue
		now := steady(&q, 0, 40, 0.1, 1000)
		within(t, &q, now, 60, 60)
	})
	t.Run("it stalls", func(t *testing.T) {
		var q queue
		now := steady(&q, 0, 20, 100, 500)
		within(t, &q, now, 4.5, 6)
		within(t, &q, now+10, 10, 25)
		within(t, &q, now+40, 60, 60)
	})
	t.Run("idle times do not count", func(t *testing.T) {
		var q queue
		now := steady(&q, 0, 20, 100, 500)
		q.refuse(errors.New("no"))
		now = steady(&q, now+3600, 3, 10, 100)
		within(t, &q, now, 9, 11)
	})
	t.Run("it got faster", func(t *testing.T) {
		var q queue
		now := steady(&q, 0, 60, 1, 100)
		now = steady(&q, now, 30, 100, 100)
		within(t, &q, now, 1, 1.2)
	})
}
