package cli

import (
	"runtime"
	"testing"
)

func TestProcessorsAreLeft(t *testing.T) {
	t.Setenv("GOMAXPROCS", "") // or it is what somebody wants
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	for all, want := range map[int]int{1: 1, 2: 2, 3: 2, 4: 2, 5: 3, 8: 4} {
		runtime.GOMAXPROCS(all)
		leaveCPUs()
		if n := runtime.GOMAXPROCS(0); n != want {
			t.Errorf("%d of %d processors, want %d", n, all, want)
		}
	}
	t.Setenv("GOMAXPROCS", "3")
	runtime.GOMAXPROCS(3)
	leaveCPUs()
	if n := runtime.GOMAXPROCS(0); n != 3 {
		t.Errorf("%d processors where 3 are asked for", n)
	}
}
