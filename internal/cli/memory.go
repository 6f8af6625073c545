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
	// While less than quietBytes are allocated between two looks there is no
	// burst to keep it for: all goes back if burstBytes have been allocated
	// since the last time.
	quietBytes = 1 << 20
	burstBytes = 2 << 20
)

// A memoryKeeper gives memory back to the system after a burst. The Go runtime
// keeps as much as is in use once more, for as long as it may be wanted again.
type memoryKeeper struct {
	samples []metrics.Sample
	unused  bool // there was too much at the last look already
	// looked and freed are how much had been allocated at the last look, and
	// when memory was last given back.
	looked, freed uint64
	done          chan struct{}
	wg            sync.WaitGroup
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
	k := &memoryKeeper{
		samples: []metrics.Sample{
			{Name: "/memory/classes/heap/free:bytes"},
			{Name: "/memory/classes/heap/objects:bytes"},
			{Name: "/gc/heap/allocs:bytes"},
		},
		done: make(chan struct{}),
	}
	metrics.Read(k.samples)
	k.freed = k.samples[2].Value.Uint64()
	return k
}

// look gives memory back that was not used at the last look either, and
// reports whether it did.
func (k *memoryKeeper) look() bool {
	metrics.Read(k.samples)
	free, used, allocated := k.samples[0].Value.Uint64(), k.samples[1].Value.Uint64(), k.samples[2].Value.Uint64()
	quiet := allocated-k.looked < quietBytes
	before := k.unused
	k.looked, k.unused = allocated, free > memorySlack+used/4
	after := before && k.unused
	if quiet { // what a burst left is not even collected
		after = after || allocated-k.freed > burstBytes
	}
	if !after {
		return false
	}
	debug.FreeOSMemory()
	k.unused, k.freed = false, allocated
	return true
}

func (k *memoryKeeper) Close() {
	close(k.done)
	k.wg.Wait()
}
