package pool

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
)

// usage returns the function's counts, and what it used.
func (s *stand) usage(slug string) (counts string, used Usage) {
	var all []string
	for _, u := range s.Usage() {
		if u.Slug != slug {
			continue
		}
		all = append(all, fmt.Sprintf("%d starting, %d serving, %d retiring, %d in flight, %d queued", u.Starting, u.Serving, u.Retiring, u.InFlight, u.Queued))
		used.CPU += u.CPU
		used.Memory += u.Memory
	}
	slices.Sort(all)
	return strings.Join(all, "; "), used
}

func TestUsage(t *testing.T) {
	s := newStand(t)
	expect := func(slug, want string) {
		t.Helper()
		eventually(t, slug+": "+want, func() bool { counts, _ := s.usage(slug); return counts == want })
	}
	expect("fn", "")
	s.serve("fn", hello, policy(function.PerRequest), limits(func(l *function.Limits) { l.MaxWorkers = 1 }))
	s.serve("never", `await new Promise((r) => setTimeout(r, 60_000));`)
	expect("fn", "0 starting, 0 serving, 0 retiring, 0 in flight, 0 queued")
	s.Warm("never")
	expect("never", "1 starting, 0 serving, 0 retiring, 0 in flight, 0 queued")

	lease := s.lease("fn")
	answer := make(chan *Lease, 1)
	go func() {
		second, err := s.Acquire(within(t, soon), "fn")
		if err != nil {
			t.Error(err)
		}
		answer <- second
	}()
	expect("fn", "0 starting, 1 serving, 0 retiring, 1 in flight, 1 queued")
	lease.Release()
	lease = receive(t, answer)
	expect("fn", "0 starting, 1 serving, 0 retiring, 1 in flight, 0 queued")
	if _, used := s.usage("fn"); runtime.GOOS == "linux" && (used.CPU < time.Millisecond || used.Memory < 1<<20 || used.Memory > 1<<30) {
		t.Errorf("a worker used %s and %d bytes", used.CPU, used.Memory)
	}

	// Removed while it has a request, and there again.
	s.remove("fn")
	s.apply()
	expect("fn", "0 starting, 0 serving, 1 retiring, 1 in flight, 0 queued")
	s.serve("fn", hello)
	expect("fn", "0 starting, 0 serving, 0 retiring, 0 in flight, 0 queued; 0 starting, 0 serving, 1 retiring, 1 in flight, 0 queued")
	lease.Release()
	expect("fn", "0 starting, 0 serving, 0 retiring, 0 in flight, 0 queued")
}

// TestQuietPool: looking after functions that nobody calls makes next to no
// garbage, however many they are. A server that is quiet gives memory back.
func TestQuietPool(t *testing.T) {
	s := newStand(t)
	for i := range 1000 {
		s.write(fmt.Sprint("f", i), "")
	}
	s.apply()
	time.Sleep(2 * filesEvery) // what is kept for the next look is there
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	time.Sleep(time.Second)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 100<<10 {
		t.Errorf("a second took %d kB", n>>10)
	}
}
