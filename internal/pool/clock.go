package pool

import (
	"sync"
	"sync/atomic"
	"time"
)

// gapLeast is from when on the time between two looks counts as one in which
// the server did not run. The guard looks every 50 ms.
const gapLeast = time.Second

// A clock tells the time without what passed while the server was stopped: by
// SIGSTOP, a debugger, or a container or machine that was paused. Nobody could
// use a worker then, and its age and its idleness do not grow by it. Changes of
// the time of day do not matter: Go compares times by a clock that only runs.
type clock struct {
	lost atomic.Int64 // in nanoseconds

	mu   sync.Mutex
	last time.Time // the last look
}

// now is for taking note of a time.
func (c *clock) now() time.Time { return time.Now().Add(-time.Duration(c.lost.Load())) }

// look is for acting on the time. It is called again and again.
func (c *clock) look() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := time.Now()
	if gap := t.Sub(c.last); gap >= gapLeast && !c.last.IsZero() {
		c.lost.Add(int64(gap))
	}
	c.last = t
	return t.Add(-time.Duration(c.lost.Load()))
}

// until is how long it takes, from now, until this clock shows t.
func (c *clock) until(t time.Time) time.Duration { return t.Sub(c.now()) }
