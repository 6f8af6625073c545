package cli

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// heapFloor is how large the heap becomes before garbage is collected for the
// first time, bytes. Go's own bound is twice of what is in use, which is 3 MB in
// a server without much to hold: under load it would collect ten times a second,
// and each time requests wait for it.
const heapFloor = 16 << 20

// collectLater has Go collect garbage when the heap is twice what is in use, as
// ever, but not below heapFloor. Every collection brings the next decision.
func collectLater() {
	if os.Getenv("GOGC") != "" {
		return // somebody knows better
	}
	t := &collection{percent: 100} // Go's own
	t.ended()
}

// A collection follows one collection after the other.
type collection struct {
	percent int
	live    [1]metrics.Sample
}

// ended is called after each collection, on the runtime's own goroutine.
func (t *collection) ended() {
	t.live[0].Name = "/gc/heap/live:bytes"
	metrics.Read(t.live[:])
	if p := gcPercent(t.live[0].Value.Uint64()); p*10 < t.percent*9 || p*10 > t.percent*11 {
		t.percent = p
		debug.SetGCPercent(p) // stops everything for a moment
	}
	runtime.SetFinalizer(new([16]byte), func(*[16]byte) { t.ended() })
}

// gcPercent is what GOGC has to be for the floor, with so much in use.
func gcPercent(live uint64) int {
	const most = 400 // Go keeps 4 MB times this by itself
	return min(max(int(heapFloor*100/max(live, 1<<20))-100, 100), most)
}
