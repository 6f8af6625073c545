package cli

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// heapFloor is how large the heap of a server under load becomes before garbage
// is collected, bytes. Go's own bound is twice of what is in use, which is 3 MB in
// a server without much to hold: it would collect ten times a second, and each
// time requests wait for it.
const heapFloor = 16 << 20

// A server is under load from loadBegins on and until loadEnds, bytes allocated a
// second; a request takes some 400. One with less to do collects seldom enough,
// and what it holds for long would be spread over more memory.
const (
	loadBegins = 8 << 20
	loadEnds   = 4 << 20
)

// collectLater has Go collect garbage when the heap is twice what is in use, as
// ever, but under load not below heapFloor. Every collection brings the next
// decision.
func collectLater() {
	if os.Getenv("GOGC") != "" {
		return // somebody knows better
	}
	t := &collection{percent: 100} // Go's own
	t.samples[0].Name = "/gc/heap/live:bytes"
	t.samples[1].Name = "/gc/heap/allocs:bytes"
	t.ended()
}

// A collection follows one collection after the other.
type collection struct {
	percent int
	busy    bool
	samples [2]metrics.Sample

	at        time.Time // of the last one, which is when so much had been
	allocated uint64
}

// ended is called after each collection, on the runtime's own goroutine.
func (t *collection) ended() {
	metrics.Read(t.samples[:])
	live, allocated, now := t.samples[0].Value.Uint64(), t.samples[1].Value.Uint64(), time.Now()
	if p := t.next(live, allocated, now); p*10 < t.percent*9 || p*10 > t.percent*11 {
		t.percent = p
		debug.SetGCPercent(p) // stops everything for a moment
	}
	runtime.SetFinalizer(new([16]byte), func(*[16]byte) { t.ended() })
}

// next is what GOGC has to be until the next collection.
func (t *collection) next(live, allocated uint64, now time.Time) int {
	if !t.at.IsZero() {
		rate := float64(allocated-t.allocated) / max(now.Sub(t.at), time.Millisecond).Seconds()
		t.busy = rate >= loadBegins || t.busy && rate >= loadEnds
	}
	t.at, t.allocated = now, allocated
	if !t.busy {
		return 100
	}
	return gcPercent(live)
}

// gcPercent is what GOGC has to be for the floor, with so much in use.
func gcPercent(live uint64) int {
	const most = 400 // Go keeps 4 MB times this by itself
	return min(max(int(heapFloor*100/max(live, 1<<20))-100, 100), most)
}
