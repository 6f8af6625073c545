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
	for _, hold := range []int{0, 32 << 20, 0} {
		held := make([]byte, hold)
		for i := range held {
			held[i] = 1
		}
		for deadline := time.Now().Add(10 * time.Second); (percent() == 100) != (hold > 0); {
			if time.Now().After(deadline) {
				t.Fatalf("%d %% with %d bytes held", percent(), hold)
			}
			runtime.GC()
			time.Sleep(time.Millisecond)
		}
		runtime.KeepAlive(held)
	}
}
