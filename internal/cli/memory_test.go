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

func TestMemoryKeeperEnds(t *testing.T) {
	keepMemory(func() {}).Close()
}
