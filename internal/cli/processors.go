package cli

import (
	"math"
	"os"
	"runtime"
	"sync"

	"github.com/selvedge-dev/selvedge/internal/machine"
)

// limitCPUs has the program run on no more processors than the ECS task has,
// as Go does by itself for a control group's limit: two at least, or a short
// wait for one would stop all.
func limitCPUs(here machine.Limit) {
	if n := max(2, int(math.Ceil(here.TaskCPUs))); here.TaskCPUs > 0 && n < runtime.GOMAXPROCS(0) && os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(n)
	}
}

// leaveCPUs has a server run on half of the processors, once all that counts
// them has done so. What functions need of them is not the gateway's to take:
// it uses less than a half of what a request costs. And Go's idle threads look
// for work before they sleep. Where there are as many of them as processors,
// the kernel takes their slices, some milliseconds each, from the workers and
// then from the gateway itself, which is what its slowest answers wait for.
func leaveCPUs(l *lender) {
	if os.Getenv("GOMAXPROCS") != "" {
		return
	}
	all := runtime.GOMAXPROCS(0)
	half := (all + 1) / 2
	runtime.GOMAXPROCS(half)
	if half == 1 && all > 1 {
		l.open(half)
	}
}

// A lender gives a program that runs on one processor another one for a while.
// Starting a process keeps one for milliseconds without Go's scheduler knowing,
// and all requests would wait for it. Until it is opened it gives nothing.
type lender struct {
	mu   sync.Mutex
	own  int // 0 until it is opened
	lent int
}

func (l *lender) open(own int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.own = own
}

// lend gives one processor more, to however many ask at the same time, until
// each of them has called back.
func (l *lender) lend() (back func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.own == 0 {
		return func() {}
	}
	if l.lent++; l.lent == 1 {
		runtime.GOMAXPROCS(l.own + 1)
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.lent--; l.lent == 0 {
			runtime.GOMAXPROCS(l.own)
		}
	}
}
