package pool

import "time"

// When a further worker helps: one has several requests and its event loop is
// saturated. Requests that only wait (for a database, a model, a socket) use no
// CPU, and more processes would not answer them sooner.
const (
	busyInFlight = 2
	busyShare    = 0.7
	busyWindow   = 100 * time.Millisecond
)

// A cpuMeter measures what share of a core a process used of late.
type cpuMeter struct {
	at    time.Time
	used  time.Duration
	share float64
}

// sample updates the meter at most once a window. used is the process's total
// CPU time.
func (c *cpuMeter) sample(now time.Time, used time.Duration) float64 {
	passed := now.Sub(c.at)
	if passed < busyWindow {
		return c.share
	}
	if !c.at.IsZero() && passed < 10*busyWindow {
		c.share = float64(used-c.used) / float64(passed)
	} else {
		c.share = 0 // too long ago to speak of load now
	}
	c.at, c.used = now, used
	return c.share
}

// busy reports whether the member has more to do than one core allows. It is
// asked on each request, so the guard measures.
func (m *member) busy() bool {
	return m.inFlight >= busyInFlight && m.ward.busy.Load()
}
