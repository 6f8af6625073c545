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

func TestIdleWorkersMakeRoom(t *testing.T) {
	onlyLinux(t)
	s := newStand(t, func(o *Options) { o.Memory = 300 << 20 })
	s.write("old-small", holding(1), limits(tight))
	s.write("old-large", holding(100), limits(tight), limits(func(l *function.Limits) { l.MemoryMB = 256 }))
	s.write("busy", holding(60), limits(tight), limits(func(l *function.Limits) { l.MemoryMB = 256 }))
	s.write("fresh", holding(90), limits(tight), limits(func(l *function.Limits) { l.MemoryMB = 256 }))
	s.apply()
	s.get("old-small")
	s.get("old-large")
	busy := s.lease("busy")
	time.Sleep(300 * time.Millisecond)
	if got := s.get("fresh"); got != "90" {
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

func TestStartsWaitForRoom(t *testing.T) {
	onlyLinux(t)
	s := newStand(t, func(o *Options) { o.Memory = 128 << 20 })
	roomy := limits(func(l *function.Limits) { l.MemoryMB, l.QueueTime = 256, 500*time.Millisecond })
	s.write("a", holding(110), roomy)
	s.write("b", hello, roomy)
	s.apply()
	busy := s.lease("a")
	eventually(t, "the measure", func() bool { return s.budget.used.Load() > 110<<20 })
	var over *function.OverloadError
	if _, err := s.Acquire(within(t, soon), "b"); !errors.As(err, &over) || over.Reason != function.QueueTimeout {
		t.Errorf("%v", err)
	}
	answer := make(chan string, 1)
	go func() {
		body, err := s.try(within(t, soon), "b")
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
