package recent

import (
	"os"
	"slices"
	"syscall"
)

const (
	// segmentSize is the unit in which memory is given to histories. It is a
	// page on most systems, so that one that is not used any more can go back.
	segmentSize = 4 << 10
	// blockSize is how much is asked of the system at once. What was not yet
	// written to is only addresses.
	blockSize = 64 * segmentSize
)

// An arena has the memory of a log. It is not on Go's heap, which may grow to
// twice of what is kept on it before garbage is looked for: lines that are kept
// for their own sake would cost that much again. Its segments are all alike, so
// what one history gives back another can use, and nothing is ever moved.
//
// It is used under the log's lock. Its addresses stay until the process ends:
// there is one log in it.
type arena struct {
	// used have been written to, fresh take no memory yet.
	used, fresh [][]byte
}

// get returns a segment, whatever is in it.
func (a *arena) get() []byte {
	if len(a.used) == 0 && len(a.fresh) == 0 {
		a.more()
	}
	from := &a.used
	if len(a.used) == 0 {
		from = &a.fresh
	}
	last := len(*from) - 1
	s := (*from)[last]
	*from = slices.Delete(*from, last, last+1)
	return s
}

func (a *arena) more() {
	block, err := syscall.Mmap(-1, 0, blockSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		block = make([]byte, segmentSize) // the heap may have some left
	}
	for segment := range slices.Chunk(block, segmentSize) {
		a.fresh = append(a.fresh, segment)
	}
}

// put takes segments back.
func (a *arena) put(segments [][]byte) { a.used = append(a.used, segments...) }

// release gives what nobody uses back to the system.
func (a *arena) release() {
	if os.Getpagesize() > segmentSize {
		return // a page has other segments in it
	}
	a.used = slices.DeleteFunc(a.used, func(s []byte) bool {
		free := discard(s) == nil
		if free {
			a.fresh = append(a.fresh, s)
		}
		return free
	})
}
