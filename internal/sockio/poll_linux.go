//go:build linux && !race

package sockio

import (
	"runtime"
	"sync/atomic"
	"time"
)

// pollFor is how long an exchange looks for its answer before the thread goes
// to sleep. Being woken takes 20 to 50 µs where processors are virtual: as much
// as a short answer itself.
const pollFor = 100 * time.Microsecond

// pollRest is how many exchanges of a connection at most pass without looking,
// after some whose answers took longer.
const pollRest = 255

// waiting counts the exchanges that wait for an answer.
var waiting atomic.Int32

// processors is how many the program may use, also when it is told to leave
// some of them to others.
var processors = runtime.GOMAXPROCS(0)

// A poller decides whether looking is worth it: it takes a processor that
// nobody else must want. So it is for a lone exchange, where the program may
// use more than one, and where answers have come in time of late.
type poller struct {
	rest    uint8 // exchanges until the next try
	penalty uint8 // rest after the next try in vain
}

// poll calls done until it returns true, time is up, or others wait as well.
// It returns whether done did.
func (p *poller) poll(done func(fd uintptr) bool, fd uintptr) bool {
	if p.rest > 0 {
		p.rest--
		return false
	}
	if waiting.Load() != 1 || processors < 2 {
		return false
	}
	for began := time.Now(); time.Since(began) < pollFor; {
		if done(fd) {
			p.penalty = 0
			return true
		}
		if waiting.Load() != 1 {
			return false
		}
		runtime.Gosched()
	}
	p.penalty = min(p.penalty, pollRest/2)*2 + 1
	p.rest = p.penalty
	return false
}
