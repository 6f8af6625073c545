package pool

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
)

// holding returns a function that holds mb of memory.
func holding(mb int) string {
	return fmt.Sprintf(`const held = new Uint8Array(%d << 20).fill(1); Deno.serve(() => new Response("%d"));`, mb, mb)
}

// TestIdleWorkersMakeRoom has memory short at the last of its starts only, and
// says itself how long workers have been idle: how long starts take is up to the
// machine.
func TestIdleWorkersMakeRoom(t *testing.T) {
	onlyLinux(t)
	s := newStand(t, func(o *Options) { o.Memory = 300 << 20 })
	roomy := limits(func(l *function.Limits) { l.MemoryMB, l.CPUSoft, l.CPUHard = 256, soon, soon })
	s.write("old-small", holding(1), roomy)
	s.write("old-large", holding(100), roomy)
	s.write("busy", holding(60), roomy)
	s.write("fresh", holding(100), roomy)
	s.apply()
	s.get("old-small")
	s.get("old-large")
	busy := s.lease("busy")
	// With what a worker has besides, 10 MB, that is all three.
	eventually(t, "the measure of all three", func() bool { return s.budget.used.Load() > (1+100+60+20)<<20 })
	s.idleFor("old-small", 2*time.Second)
	s.idleFor("old-large", time.Second)
	if got := s.get("fresh"); got != "100" {
		t.Fatal(got)
	}
	e := s.exit(0)
	if e.Slug != "old-large" || e.Reason != ReasonIdle || e.Detail == "" {
		t.Errorf("%+v", e)
	}
	if st := s.Stats(); st.InFlight != 1 {
		t.Errorf("%+v", st)
	}
	busy.Release()
}

// idleFor has the idle workers of a function be so for d.
func (s *stand) idleFor(slug string, d time.Duration) {
	s.t.Helper()
	for _, g := range s.all() {
		if g.slug != slug {
			continue
		}
		g.mu.Lock()
		for _, m := range g.members {
			if m.inFlight > 0 {
				s.t.Errorf("%s is not idle", slug)
			}
			m.idleSince = time.Now().Add(-d)
		}
		g.mu.Unlock()
	}
}

func TestStartsWaitForRoom(t *testing.T) {
	onlyLinux(t)
	s := newStand(t, func(o *Options) { o.Memory = 128 << 20 })
	roomy := func(queue time.Duration) func(*function.Function) {
		return limits(func(l *function.Limits) { l.MemoryMB, l.QueueTime = 256, queue })
	}
	s.write("a", holding(110), roomy(soon))
	s.write("impatient", hello, roomy(50*time.Millisecond))
	s.write("patient", hello, roomy(soon))
	s.apply()
	busy := s.lease("a")
	eventually(t, "the measure", func() bool { return s.budget.used.Load() > 110<<20 })
	var over *function.OverloadError
	if _, err := s.Acquire(within(t, soon), "impatient"); !errors.As(err, &over) || over.Reason != function.QueueTimeout {
		t.Errorf("%v", err)
	}
	answer := make(chan string, 1)
	go func() {
		body, err := s.try(within(t, soon), "patient")
		answer <- fmt.Sprint(body, err)
	}()
	s.settled("one that waits", func(st Stats) bool { return st.Queued == 1 })
	busy.Release() // it is idle now, and makes room
	if got := receive(t, answer); got != "hello<nil>" {
		t.Error(got)
	}
}

func TestPinnedBundles(t *testing.T) {
	for _, pin := range []bool{true, false} {
		s := newStand(t, func(o *Options) { o.Pin = pin })
		oneshot := policy(function.OneShot)
		s.serve("fn", `Deno.serve(() => new Response("old"));`, oneshot)
		if got := s.get("fn"); got != "old" {
			t.Fatal(got)
		}
		s.write("fn", `Deno.serve(() => new Response("new"));`, oneshot)
		want := map[bool]string{true: "old", false: "new"}[pin]
		if got := s.get("fn"); got != want {
			t.Errorf("pinned %t: after an edit it is %s", pin, got)
		}
		s.serve("fn", `Deno.serve(() => new Response("new"));`, oneshot, func(f *function.Function) { f.Env = map[string]string{"A": "B"} })
		if got := s.get("fn"); got != "new" {
			t.Errorf("pinned %t: after Apply it is %s", pin, got)
		}
	}
}
