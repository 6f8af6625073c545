package pool

import (
	"errors"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
)

func TestPrestart(t *testing.T) {
	s := newStand(t, func(o *Options) { o.Prestart = 2 })
	full := func() { s.settled("two processes ahead", func(st Stats) bool { return st.Idle == 2 }) }
	full()
	s.write("other", hello, limits(func(l *function.Limits) { l.MemoryMB = 128 }))
	s.serve("fn", hello)
	ahead := s.starter.all()
	l := s.lease("fn")
	if l.ExecutionID() != ahead[0].ID {
		t.Error("the process that was there was not used")
	}
	l.Release()
	if b := s.seen.allBoots()[0]; b.Spawn != 0 || b.Total <= 0 {
		t.Errorf("%+v", b)
	}
	full() // again
	l = s.lease("other")
	for _, w := range s.starter.all()[:3] {
		if l.ExecutionID() == w.ID {
			t.Error("a process with another heap limit was used")
		}
	}
	l.Release()
	if n := s.starter.count(); n != 4 {
		t.Errorf("%d processes", n)
	}
}

func TestPrestartReplacesTheDead(t *testing.T) {
	s := newStand(t, func(o *Options) { o.Prestart = 2 })
	s.serve("fn", hello)
	s.settled("two processes ahead", func(st Stats) bool { return st.Idle == 2 })
	for _, w := range s.starter.all() {
		w.Stop()
	}
	l := s.lease("fn")
	for _, w := range s.starter.all()[:2] {
		if l.ExecutionID() == w.ID {
			t.Error("a dead process was used")
		}
	}
	l.Release()
	s.settled("two processes ahead", func(st Stats) bool { return st.Idle == 2 })
	eventually(t, "three processes", func() bool { return len(s.starter.alive()) == 3 })
}

// Under a storm of starts there are never more processes ahead than asked for,
// and in the end as many.
func TestPrestartKeepsItsSize(t *testing.T) {
	s := newStand(t, func(o *Options) { o.Prestart = 2 })
	for _, slug := range []string{"a", "b", "c", "d", "e"} {
		s.write(slug, hello)
	}
	s.apply()
	stop := make(chan struct{})
	most := make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				most <- n
				return
			case <-time.After(time.Millisecond):
				n = max(n, s.warm.count())
			}
		}
	}()
	for _, f := range s.set {
		go s.Warm(f.Slug)
	}
	s.settled("all of them", func(st Stats) bool { return st.Workers == 5 && st.Idle == 2 })
	time.Sleep(100 * time.Millisecond)
	close(stop)
	if n := receive(t, most); n > 2 {
		t.Errorf("%d processes ahead", n)
	}
	if n := len(s.starter.alive()); n != 7 {
		t.Errorf("%d processes", n)
	}
}

func TestPrestartFaults(t *testing.T) {
	s := newStand(t, func(o *Options) {
		o.Prestart = 1
		o.Starter.(*countingStarter).fail = errors.New("no processes left")
	})
	s.serve("fn", hello)
	eventually(t, "a try", func() bool { return s.starter.failures() == 1 })
	began := time.Now()
	s.starter.setFail(nil)
	if got := s.get("fn"); got != "hello" { // without it
		t.Errorf("%q", got)
	}
	if st := s.Stats(); st.Idle != 0 && time.Since(began) < refillPause {
		t.Errorf("%+v: there was no pause", st)
	}
	// It closes in the middle of the pause.
	if err := s.shut(soon); err != nil {
		t.Error(err)
	}
}

func TestNoPrestart(t *testing.T) {
	s := newStand(t)
	time.Sleep(reapEvery + 50*time.Millisecond)
	if n := s.starter.count(); n != 0 {
		t.Errorf("%d processes that nobody asked for", n)
	}
}
