package pool

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
)

func queueFull(err error) bool {
	var over *function.OverloadError
	return errors.As(err, &over) && over.Reason == function.QueueFull
}

// Without a queue a request still waits for a worker that is started for it:
// else nothing that scales to zero could ever be called.
func TestNoQueue(t *testing.T) {
	s := newStand(t)
	s.serve("fn", hello, policy(function.PerRequest), limits(func(l *function.Limits) { l.MaxWorkers, l.MaxQueue = 2, function.NoQueue }))
	first, second := s.lease("fn"), s.lease("fn")
	if l, err := s.Acquire(within(t, soon), "fn"); !queueFull(err) {
		t.Errorf("a third request got %v, %v", l, err)
	}
	first.Release()
	s.lease("fn").Release()
	second.Release()
}

// The places of workers that are being started are not the queue's.
func TestQueueBesidesStarts(t *testing.T) {
	s := newStand(t)
	start := make(chan struct{})
	s.builder.setHook(func(context.Context, *function.Function) error { <-start; return nil })
	s.serve("fn", hello, limits(func(l *function.Limits) { l.MaxWorkers, l.MaxConcurrency, l.MaxQueue = 2, 3, 1 }))
	done := make(chan error, 8)
	for i := range 8 {
		go func() {
			_, err := s.try(within(t, soon), "fn")
			done <- err
		}()
		if i < 7 {
			s.settled("a waiting request", func(st Stats) bool { return st.Queued == i+1 })
		}
	}
	if err := receive(t, done); !queueFull(err) {
		t.Errorf("one request of 8, with room for 2 × 3 and a queue of 1, got %v", err)
	}
	close(start)
	for range 7 {
		if err := receive(t, done); err != nil {
			t.Error(err)
		}
	}
}

func TestFirstComeFirstServed(t *testing.T) {
	s := newStand(t)
	s.serve("fn", hello, policy(function.PerRequest), limits(func(l *function.Limits) { l.MaxWorkers = 1 }))
	holder := s.lease("fn")
	served := make(chan int, 10)
	leave := map[int]context.CancelFunc{}
	for i := range 10 {
		ctx, cancel := context.WithCancel(within(t, soon))
		leave[i] = cancel
		go func() {
			if l, err := s.Acquire(ctx, "fn"); err == nil {
				served <- i // before the next one can be
				l.Release()
			}
		}()
		s.settled("a waiting request", func(st Stats) bool { return st.Queued == i+1 })
	}
	for _, i := range []int{0, 4, 9} {
		leave[i]()
	}
	s.settled("the end of those who left", func(st Stats) bool { return st.Queued == 7 })
	holder.Release()
	var order []int
	for range 7 {
		order = append(order, receive(t, served))
	}
	if want := []int{1, 2, 3, 5, 6, 7, 8}; !slices.Equal(order, want) {
		t.Errorf("served in the order %v, want %v", order, want)
	}
	for _, cancel := range leave {
		cancel()
	}
}

// Who is let in can change without a worker's end.
func TestAdmissionChangesWhileServing(t *testing.T) {
	s := newStand(t)
	s.serve("fn", hello, policy(function.PerRequest), limits(func(l *function.Limits) { l.MaxWorkers = 1 }))
	holder := s.lease("fn")
	s.serve("fn", hello, policy(function.PerRequest), limits(func(l *function.Limits) {
		l.MaxWorkers, l.MaxQueue, l.QueueTime = 1, function.NoQueue, time.Millisecond
		l.Rate = function.Rate{Requests: 1, Per: time.Second, Burst: 1}
	}))
	if l, err := s.Acquire(within(t, soon), "fn"); !queueFull(err) {
		t.Errorf("%v, %v", l, err)
	}
	if f, ok := s.Function("fn"); !ok || f.Limits.Rate.Requests != 1 {
		t.Errorf("%+v, %t", f, ok)
	}
	holder.Release()
	if n := s.starter.count(); n != 1 {
		t.Errorf("%d workers were started", n)
	}
}
