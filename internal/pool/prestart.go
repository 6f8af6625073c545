package pool

import (
	"slices"
	"sync"
	"time"

	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/worker"
)

const (
	// refillQuiet is how long no start may have been under way before a
	// process is spawned ahead: a spawn uses a core for 25 ms, which a start
	// that somebody waits for must not lose.
	refillQuiet = 30 * time.Millisecond
	// refillPatience bounds that wait, so that a steady trickle of starts
	// does not leave the pool empty for good.
	refillPatience = time.Second
	// refillPause follows a spawn that failed; every refillSay it is said that
	// they still do.
	refillPause = 2 * time.Second
	refillSay   = time.Minute
)

// A prestarter keeps processes ready that are no function yet.
type prestarter struct {
	p       *Pool
	profile deno.Profile
	size    int
	wake    chan struct{}
	again   chan struct{} // ends a pause

	mu     sync.Mutex
	ready  []*worker.Worker
	closed bool
}

func newPrestarter(p *Pool, profile deno.Profile, size int) *prestarter {
	return &prestarter{p: p, profile: profile, size: size, wake: make(chan struct{}, 1), again: make(chan struct{}, 1)}
}

// take returns a process of the profile, nil when there is none. Half of them
// are kept for the first workers of functions: a hot function that always needs
// more would else leave none to those that are called for the first time.
func (s *prestarter) take(profile deno.Profile, first bool) *worker.Worker {
	if profile != s.profile {
		return nil
	}
	defer s.poke()
	s.mu.Lock()
	defer s.mu.Unlock()
	least := s.size / 2
	if first {
		least = 0
	}
	for len(s.ready) > least {
		w := s.ready[0]
		s.ready = s.ready[1:]
		if w.State() == worker.Idle {
			return w
		}
	}
	return nil
}

// poke has run look whether a process is missing.
func (s *prestarter) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run spawns what is missing, one process after the other.
func (s *prestarter) run() {
	defer s.p.wg.Done()
	var said time.Time
	for first := true; ; first = false {
		for s.missing() {
			// The first ones are spawned at once: nothing runs yet.
			if !first && !s.waitForQuiet() {
				return
			}
			w, err := s.p.spawn(s.p.ctx, s.profile)
			if err == nil {
				if err = w.Warm(); err != nil {
					w.Stop()
					w = nil
				}
			}
			if s.p.ctx.Err() != nil {
				if w != nil {
					w.Stop()
				}
				return
			}
			if err != nil {
				if time.Since(said) >= refillSay {
					said = time.Now()
					s.p.opts.Log.Error("starting a process ahead of need failed; it is tried again and again", "err", err)
				}
				if !s.sleep(refillPause) {
					return
				}
				continue
			}
			said = time.Time{}
			if !s.put(w) {
				w.Stop()
				return
			}
		}
		select {
		case <-s.wake:
		case <-s.p.ctx.Done():
			return
		}
	}
}

func (s *prestarter) missing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = slices.DeleteFunc(s.ready, func(w *worker.Worker) bool { return w.State() != worker.Idle })
	return !s.closed && len(s.ready) < s.size
}

func (s *prestarter) put(w *worker.Worker) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.ready = append(s.ready, w)
	return true
}

// waitForQuiet returns when no start has been under way for a while.
func (s *prestarter) waitForQuiet() bool {
	latest := time.Now().Add(refillPatience)
	quiet := time.Now()
	for time.Since(quiet) < refillQuiet && time.Now().Before(latest) {
		if !s.sleep(5 * time.Millisecond) {
			return false
		}
		if s.p.active.Load() > 0 {
			quiet = time.Now()
		}
	}
	return true
}

// hurry ends a pause after a spawn that failed.
func (s *prestarter) hurry() {
	select {
	case s.again <- struct{}{}:
	default:
	}
}

// sleep reports whether the pool still runs afterwards.
func (s *prestarter) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.again:
		return true
	case <-s.p.ctx.Done():
		return false
	}
}

func (s *prestarter) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ready)
}

// waiting returns the processes that wait for a function to be.
func (s *prestarter) waiting() []*worker.Worker {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ready)
}

// close stops the processes that were never needed.
func (s *prestarter) close() {
	s.mu.Lock()
	ready := s.ready
	s.ready, s.closed = nil, true
	s.mu.Unlock()
	var wg sync.WaitGroup
	for _, w := range ready {
		wg.Go(w.Stop)
	}
	wg.Wait()
}
