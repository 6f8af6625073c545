package cli

import (
	"runtime"
	"sync"
	"testing"
)

func TestAProcessorIsLent(t *testing.T) {
	before := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(before)
	var l lender
	l.lend()()
	if n := runtime.GOMAXPROCS(0); n != 1 {
		t.Errorf("%d processors before it is opened", n)
	}
	l.open(1)
	first, second := l.lend(), l.lend()
	if n := runtime.GOMAXPROCS(0); n != 2 {
		t.Errorf("%d processors while two need one", n)
	}
	first()
	if n := runtime.GOMAXPROCS(0); n != 2 {
		t.Errorf("%d processors while one needs one", n)
	}
	second()
	if n := runtime.GOMAXPROCS(0); n != 1 {
		t.Errorf("%d processors afterwards", n)
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { l.lend()() })
	}
	wg.Wait()
	if n := runtime.GOMAXPROCS(0); n != 1 {
		t.Errorf("%d processors after many at once", n)
	}
}

func TestProcessorsAreLeft(t *testing.T) {
	t.Setenv("GOMAXPROCS", "") // or it is what somebody wants
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	for all, want := range map[int]struct{ left, lending int }{1: {1, 1}, 2: {1, 2}, 3: {2, 2}, 8: {4, 4}} {
		runtime.GOMAXPROCS(all)
		var l lender
		leaveCPUs(&l)
		if n := runtime.GOMAXPROCS(0); n != want.left {
			t.Errorf("%d of %d processors, want %d", n, all, want.left)
		}
		back := l.lend()
		if n := runtime.GOMAXPROCS(0); n != want.lending {
			t.Errorf("%d of %d processors with one lent, want %d", n, all, want.lending)
		}
		back()
	}
}
