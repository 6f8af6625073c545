package observe

import (
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// patience is how long a line may wait for others to be written with.
	patience = 10 * time.Millisecond
	// maxWaiting is the most bytes that wait.
	maxWaiting = 64 << 10
)

// A sink is where the records of one New go, and of all loggers made from it.
type sink struct {
	failed atomic.Uint64

	mu      sync.Mutex
	w       io.Writer
	waiting []byte
	records uint64 // how many are waiting
	timer   *time.Timer
	armed   bool
}

// write writes a record and what waits before it. It never returns an error:
// there is nowhere to report it to.
func (s *sink) write(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		s.send(p, 1)
		return
	}
	s.waiting = append(s.waiting, p...)
	s.records++
	s.flushLocked()
}

// later writes a record soon, together with those that come meanwhile. One
// system call for each line would cost more than all else about it.
func (s *sink) later(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, p...)
	s.records++
	switch {
	case len(s.waiting) >= maxWaiting:
		s.flushLocked()
	case s.armed:
	case s.timer == nil:
		s.armed, s.timer = true, time.AfterFunc(patience, s.flush)
	default:
		s.armed = true
		s.timer.Reset(patience)
	}
}

// flush writes what waits.
func (s *sink) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed = false
	s.flushLocked()
}

func (s *sink) flushLocked() {
	if len(s.waiting) == 0 {
		return
	}
	s.send(s.waiting, s.records)
	s.waiting, s.records = s.waiting[:0], 0
	if cap(s.waiting) > 2*maxWaiting {
		s.waiting = nil
	}
}

func (s *sink) send(p []byte, records uint64) {
	if n, err := s.w.Write(p); err != nil || n < len(p) {
		s.failed.Add(records)
	}
}
