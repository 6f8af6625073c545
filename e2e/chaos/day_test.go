package chaos

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/e2e/harness"
)

// TestDay is a day of a server with many functions, most of which are seldom
// called.
func TestDay(t *testing.T) {
	functions, total := scaled(20, 200), scaled(4000, 1_000_000)
	files := map[string]string{}
	for i := range functions {
		files[fmt.Sprintf("functions/f%d/index.ts", i)] = `Deno.serve(async (r) => new Response("ok" + await r.text()));`
	}
	s := harness.Start(t, harness.Options{Command: "serve", Functions: project(t, files), Args: []string{"--worker-idle", "2s", "--max-workers", "1"}})
	var taken, live []float64 // MB, at the end of each idle gap
	var goroutines []int
	var mu sync.Mutex
	bad, shown := 0, 0
	clients := []*client{newClient(t), newClient(t), newClient(t), newClient(t)}
	call := func(each int, choose func(n int) int) {
		var wg sync.WaitGroup
		for _, c := range clients {
			wg.Go(func() {
				for n := range each {
					if o := c.post(fmt.Sprintf("%s/f%d", s.URL, choose(n))); failed(o) {
						mu.Lock()
						if bad++; shown < 5 {
							shown++
							t.Log(o)
						}
						mu.Unlock()
					}
				}
			})
		}
		wg.Wait()
	}
	// Before it counts, each function is called until its part of the log that
	// is kept in memory is full. Those that are seldom called would take hours.
	warm := scaled(1, 100)
	for i := range functions {
		call(warm, func(int) int { return i })
	}
	const rounds = 20
	for range rounds {
		call(total/rounds/len(clients), func(int) int {
			// Some are called all the time and most now and then.
			return int(float64(functions) * rand.Float64() * rand.Float64() * rand.Float64())
		})
		// An idle gap; when nothing is allocated for two looks, which are 5 s
		// apart, what nobody uses is given back.
		time.Sleep(scaled(100*time.Millisecond, 11*time.Second))
		taken = append(taken, float64(take(t, s).server)/(1<<20))
		h := lookInside(t, s, fmt.Sprintf("day-%02d", len(taken)))
		live, goroutines = append(live, float64(h.live)/(1<<20)), append(goroutines, h.goroutines)
		t.Logf("round %d: server %.1f MB, %s", len(taken), taken[len(taken)-1], h)
	}
	if bad > 0 {
		t.Errorf("%d of %d requests failed", bad, total)
	}
	const quarter, last = rounds / 4, rounds - 1
	// What is in use does not depend on when garbage was collected, nor on the
	// log in memory, which is elsewhere: whatever leaks is seen here first.
	inUse := trend(live[quarter:]) * rounds
	if inUse > max(scaled(2, 0.5), 0.2*live[quarter]) {
		t.Errorf("what the server has in use grows: %.1f MB", live)
	}
	// In a short run workers come and go while it is looked at, and it is over
	// before all caches are full: it tells nothing of what comes after.
	if full && goroutines[last] > goroutines[quarter]+8 {
		t.Errorf("goroutines become more: %d", goroutines)
	}
	slope := trend(taken[quarter:]) * rounds
	if full && slope > max(8, 0.2*taken[quarter]) {
		t.Errorf("the server grows: %.0f MB", taken)
	}
	// A minute later the lines of functions that nobody calls are gone, too.
	time.Sleep(scaled(0, 75*time.Second))
	idle, left := float64(take(t, s).server)/(1<<20), lookInside(t, s, "day-after")
	note(t, fmt.Sprintf("%d requests over %d functions at random, with idle gaps", total, functions), "0 failed, no growth of what is in use nor of the whole",
		"0 failed; in use after a quarter %.1f MB, at the end %.1f MB, trend %+.1f MB over all; goroutines %d → %d; server %.0f MB → %.0f MB, trend %+.1f MB; idle for a minute %.0f MB, of which in use %.1f",
		live[quarter], live[last], inUse, goroutines[quarter], goroutines[last], taken[quarter], taken[last], slope, idle, float64(left.live)/(1<<20))
}

// trend is the slope of the line through ys with the least squares.
func trend(ys []float64) float64 {
	n := float64(len(ys))
	var sx, sy, sxx, sxy float64
	for i, y := range ys {
		x := float64(i)
		sx, sy, sxx, sxy = sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	return (n*sxy - sx*sy) / (n*sxx - sx*sx)
}
