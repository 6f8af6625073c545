// Package recent keeps the last lines of the log in bounded memory, so that
// they can be read, and followed, while the server runs.
//
// Each function has a history of its own: a busy one pushes out nothing but its
// own lines. In a history the access log has a part of its own, too, so that
// many requests do not push out what the function said.
//
// What is written once is never copied for readers: one who is slow finds that
// lines are gone, and is told how many.
package recent

import (
	"cmp"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Limits bound the memory, in bytes; it is given in segments of 4 KiB.
type Limits struct {
	// Requests bounds what one function keeps of the access log, Rest what it
	// keeps of all else.
	Requests, Rest int
	// Quiet is what one that says nothing for a while keeps of each.
	Quiet int
	// Total bounds all functions. Where it is reached, the histories that were
	// not written to for the longest time are dropped.
	Total int
}

// DefaultLimits keep some 200 requests and 600 other lines of a function, and 50
// each of one that is quiet.
func DefaultLimits() Limits {
	return Limits{Requests: 64 << 10, Rest: 192 << 10, Quiet: 16 << 10, Total: 16 << 20}
}

// A Log keeps lines. Its methods may be called at the same time.
type Log struct {
	limits Limits
	known  func(slug string) bool

	seq      atomic.Uint64 // of the last line
	watching atomic.Int32  // how many watchers there are

	mu        sync.RWMutex
	histories map[string]*history
	arena     arena
	used      int // segments of all rings

	watchersMu sync.Mutex
	watchers   map[chan struct{}]struct{}
}

// A history is what is kept of one function.
type history struct {
	requests, rest ring
	last           atomic.Uint64 // seq of its last line
	at             atomic.Int64  // and when it was written, in Unix seconds
}

// New returns an empty log. known reports whether there is a function with the
// slug; the lines of all others are kept together with the server's own, under
// the name "", so that strangers who call what does not exist cannot fill the
// memory.
func New(limits Limits, known func(slug string) bool) *Log {
	l := &Log{
		limits: limits, known: known,
		histories: map[string]*history{}, watchers: map[chan struct{}]struct{}{},
	}
	l.histories[""] = l.newHistory()
	return l
}

func (l *Log) newHistory() *history {
	h := &history{}
	h.requests.limit, h.rest.limit = l.limits.Requests/segmentSize, l.limits.Rest/segmentSize
	h.last.Store(l.seq.Load()) // else it would be the first to be dropped
	h.at.Store(time.Now().Unix())
	return h
}

// Keep adds a line, which it copies. request marks those of the access log. A
// line longer than a quarter of its part of the history is not kept.
func (l *Log) Keep(slug string, request bool, level slog.Level, at time.Time, line []byte) {
	for {
		h, slug := l.history(slug)
		r := &h.rest
		if request {
			r = &h.requests
		}
		if len(line) > r.limit*segmentSize/4 {
			return
		}
		result := r.put(&l.seq, at.UnixNano(), int32(level), line)
		if result == full {
			l.grow(slug, h, r, len(line))
			continue
		}
		if result == dropped {
			continue // by another goroutine; there is a new one to be made
		}
		h.wrote(l.seq.Load())
		if now := at.Unix(); h.at.Load() != now {
			h.at.Store(now)
		}
		break
	}
	if l.watching.Load() > 0 {
		l.wake()
	}
}

// wrote notes a line's number. Of those who come late with theirs, none may
// make the history look as if it were not in use.
func (h *history) wrote(seq uint64) {
	for before := h.last.Load(); before < seq && !h.last.CompareAndSwap(before, seq); before = h.last.Load() {
	}
}

// history returns where the lines of a function are kept, and under what name.
func (l *Log) history(slug string) (*history, string) {
	l.mu.RLock()
	h := l.histories[slug]
	if h != nil {
		l.mu.RUnlock()
		return h, slug
	}
	l.mu.RUnlock()
	if !l.known(slug) {
		slug = ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if h = l.histories[slug]; h == nil {
		h = l.newHistory()
		l.histories[slug] = h
	}
	return h, slug
}

// grow gives a full ring more room, or has it overwrite what is oldest from
// now on.
func (l *Log) grow(slug string, h *history, r *ring, line int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.histories[slug] != h {
		return // it was dropped
	}
	has, total := len(r.segments), l.limits.Total/segmentSize // only here they become more
	if has >= r.limit {
		r.settle()
		return
	}
	if l.used >= total {
		l.evict(slug)
	}
	if l.used >= total && has*segmentSize >= line+headSize {
		r.settle() // others that cannot be dropped have it all
		return
	}
	r.grow(l.arena.get())
	l.used++
}

// evict drops the histories that were not written to for the longest time,
// until an eighth of all memory is free: finding them takes a look at all. The
// lock is held. The history of slug stays, and so does the server's own.
func (l *Log) evict(slug string) {
	type candidate struct {
		slug string
		last uint64
	}
	var all []candidate
	for name, h := range l.histories {
		if name != slug && name != "" {
			all = append(all, candidate{name, h.last.Load()})
		}
	}
	slices.SortFunc(all, func(a, b candidate) int { return cmp.Compare(a.last, b.last) })
	most := l.limits.Total / segmentSize
	for _, c := range all {
		if l.used < most-most/8 {
			return
		}
		l.drop(c.slug)
	}
}

// drop forgets a history; the lock is held.
func (l *Log) drop(slug string) {
	h := l.histories[slug]
	delete(l.histories, slug)
	l.free(h.requests.drop())
	l.free(h.rest.drop())
}

// free takes back what a ring does not need any more; the lock is held.
func (l *Log) free(segments [][]byte) {
	l.used -= len(segments)
	l.arena.put(segments)
}

// Prune drops the histories of functions that do not exist any more and were
// not written to for a while: why a function stopped can be read after it was
// removed.
func (l *Log) Prune(unwritten time.Duration) {
	limit := time.Now().Add(-unwritten).Unix()
	l.mu.Lock()
	defer l.mu.Unlock()
	for slug, h := range l.histories {
		if slug != "" && h.at.Load() < limit && !l.known(slug) {
			l.drop(slug)
		}
	}
}

// Shrink has the histories that were not written to for a while keep only their
// last lines: what a busy hour has filled is not held for ever. What nobody uses
// any more goes back to the system.
func (l *Log) Shrink(unwritten time.Duration) {
	limit := time.Now().Add(-unwritten).Unix()
	l.mu.Lock()
	defer l.mu.Unlock()
	for slug, h := range l.histories {
		if slug != "" && h.at.Load() < limit {
			l.free(h.requests.shrink(l.limits.Quiet / segmentSize))
			l.free(h.rest.shrink(l.limits.Quiet / segmentSize))
		}
	}
	l.arena.release()
}

// Has reports whether lines of a function are kept.
func (l *Log) Has(slug string) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.histories[slug] != nil
}

// watch returns a channel that gets a value after lines were added.
func (l *Log) watch() (ch chan struct{}, stop func()) {
	ch = make(chan struct{}, 1)
	l.watchersMu.Lock()
	defer l.watchersMu.Unlock()
	l.watchers[ch] = struct{}{}
	l.watching.Add(1)
	return ch, func() {
		l.watchersMu.Lock()
		defer l.watchersMu.Unlock()
		delete(l.watchers, ch)
		l.watching.Add(-1)
	}
}

func (l *Log) wake() {
	l.watchersMu.Lock()
	defer l.watchersMu.Unlock()
	for ch := range l.watchers {
		select {
		case ch <- struct{}{}:
		default: // it has not yet looked since the last one
		}
	}
}
