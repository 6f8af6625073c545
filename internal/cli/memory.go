package cli

import (
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

const (
	// memoryEvery is how often unused memory is looked for.
	memoryEvery = 5 * time.Second
	// memorySlack is how much of it may stay for the next burst, in bytes, as
	// may a quarter of what is used.
	memorySlack = 8 << 20
)

// A memoryKeeper gives memory back to the system after a burst. The Go runtime
// keeps as much as is in use once more, for as long as it may be wanted again.
type memoryKeeper struct {
	samples []metrics.Sample
	unused  bool // there was too much at the last look already
	done    chan struct{}
	wg      sync.WaitGroup
}

// keepMemory looks from now on. forget is called at each look, to let go what
// need not be kept any more.
func keepMemory(forget func()) *memoryKeeper {
	k := newMemoryKeeper()
	k.wg.Go(func() {
		tick := time.NewTicker(memoryEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				forget()
				k.look()
			case <-k.done:
				return
			}
		}
	})
	return k
}

func newMemoryKeeper() *memoryKeeper {
	return &memoryKeeper{
		samples: []metrics.Sample{
			{Name: "/memory/classes/heap/free:bytes"},
			{Name: "/memory/classes/heap/objects:bytes"},
		},
		done: make(chan struct{}),
	}
}

// look gives memory back that was not used at the last look either, and
// reports whether it did.
func (k *memoryKeeper) look() bool {
	metrics.Read(k.samples)
	free, used := k.samples[0].Value.Uint64(), k.samples[1].Value.Uint64()
	before := k.unused
	k.unused = free > memorySlack+used/4
	if !before || !k.unused {
		return false
	}
	debug.FreeOSMemory()
	k.unused = false
	return true
}

func (k *memoryKeeper) Close() {
	close(k.done)
	k.wg.Wait()
}
