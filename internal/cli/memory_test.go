package cli

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
)

func TestMemoryComesBack(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	debug.FreeOSMemory()
	k := newMemoryKeeper()
	for range 2 {
		if k.look() {
			t.Error("gave back what is not there")
		}
	}
	burst := make([][]byte, 64)
	for i := range burst {
		burst[i] = make([]byte, 1<<20)
		burst[i][0] = 1
	}
	kept := burst[0]
	burst = nil
	runtime.GC()
	if k.look() {
		t.Error("gave back what was in use a moment ago")
	}
	if !k.look() {
		t.Fatal("gave nothing back")
	}
	released := []metrics.Sample{{Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(released)
	if n := released[0].Value.Uint64(); n < 48<<20 {
		t.Errorf("%d bytes are with the system", n)
	}
	if k.look() {
		t.Error("gave back twice")
	}
	runtime.KeepAlive(kept)
}

// TestMemoryComesBackWhenQuiet: garbage that no collection has seen yet goes
// too, once nothing is allocated any more.
func TestMemoryComesBackWhenQuiet(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // nothing is collected by itself
	debug.FreeOSMemory()
	k := newMemoryKeeper()
	k.look()
	garbage = make([]byte, 6<<20)
	garbage = nil
	if k.look() {
		t.Error("gave back in a burst")
	}
	if !k.look() {
		t.Error("gave nothing back after it")
	}
	if k.look() {
		t.Error("gave back twice")
	}
}

var garbage []byte // not on the stack

func TestMemoryKeeperEnds(t *testing.T) {
	keepMemory(func() {}).Close()
}
