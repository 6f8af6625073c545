package cli

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestGarbageIsCollectedLater(t *testing.T) {
	for live, want := range map[uint64]int{0: 400, 3 << 20: 400, 4 << 20: 300, 6 << 20: 166, 8 << 20: 100, 1 << 30: 100} {
		if p := gcPercent(live); p != want {
			t.Errorf("%d %% with %d bytes in use, want %d", p, live, want)
		}
	}
}

func TestGarbageIsCollectedLaterUnderLoadOnly(t *testing.T) {
	var c collection
	now, allocated := time.Unix(1000, 0), uint64(0)
	for i, s := range []struct {
		after time.Duration
		bytes uint64
		want  int
	}{
		{0, 100 << 20, 100}, // since when is not known
		{10 * time.Second, 4 << 20, 100},
		{time.Second, 7 << 20, 100},
		{100 * time.Millisecond, 1 << 20, 400},
		{time.Second, 5 << 20, 400}, // not less yet
		{time.Second, 3 << 20, 100},
		{time.Second, 5 << 20, 100}, // nor again
		{0, 1 << 20, 400},
		{2 * time.Minute, 16 << 20, 100},
	} {
		now, allocated = now.Add(s.after), allocated+s.bytes
		if p := c.next(3<<20, allocated, now); p != s.want {
			t.Errorf("step %d: %d %%, want %d", i, p, s.want)
		}
	}
}

func TestEveryCollectionIsFollowed(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	collectLater()
	percent := func() int {
		p := debug.SetGCPercent(100)
		debug.SetGCPercent(p)
		return p
	}
	for _, s := range []struct {
		hold int
		load bool
	}{{0, true}, {32 << 20, true}, {0, true}, {0, false}} {
		held := make([]byte, s.hold)
		for i := range held {
			held[i] = 1
		}
		want := s.load && s.hold == 0
		for deadline := time.Now().Add(10 * time.Second); (percent() > 100) != want; {
			if time.Now().After(deadline) {
				t.Fatalf("%d %% with %d bytes held, load %t", percent(), s.hold, s.load)
			}
			if s.load {
				waste = make([]byte, 1<<20)
			}
			runtime.GC()
			time.Sleep(5 * time.Millisecond)
		}
		runtime.KeepAlive(held)
	}
}

var waste []byte
