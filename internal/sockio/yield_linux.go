//go:build linux && !race

package sockio

import (
	"sync/atomic"
	"syscall"
	"time"
)

// A thread that goes from exchange to exchange without sleep is stopped where
// the kernel likes: by each worker that it wakes, up to 30,000 times a second,
// or by the timer's tick, after which its requests wait 4 ms for the next. So it
// lets the others have the processor by itself: after yieldEvery exchanges, if
// they have taken no longer than yieldWithin. Who has less to do sleeps often
// enough, and would only lose its turn.
const (
	yieldEvery  = 64
	yieldWithin = 4 * time.Millisecond
)

var shared = courtesy{epoch: time.Now()}

// A courtesy counts the exchanges of all connections.
type courtesy struct {
	epoch     time.Time
	exchanges atomic.Uint32
	last      atomic.Int64 // when yieldEvery were full, since epoch
}

// due counts an exchange and reports whether the processor is to be given up.
func (c *courtesy) due() bool {
	if c.exchanges.Add(1)%yieldEvery != 0 {
		return false
	}
	now := time.Since(c.epoch)
	return now-time.Duration(c.last.Swap(int64(now))) <= yieldWithin
}

// yield is called once for each exchange.
func yield() {
	if shared.due() {
		_, _, _ = syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0)
	}
}
