package pool

import (
	"context"
	"slices"
	"sync"
	"time"
)

// startShare is how long a start may keep its place among those that run at
// once. One that takes longer mostly waits: for a database, or for nothing at
// all until its boot limit, and must not hold up other functions.
const startShare = 500 * time.Millisecond

// turns bounds the starts that run at once. Functions take turns, however many
// starts each has waiting, and none has more than half of the places: the first
// call of a quiet function does not wait behind all that a hot one asks for.
type turns struct {
	each  int           // the most places of one function
	share time.Duration // startShare but in tests

	mu   sync.Mutex
	free int     // places that nobody has
	ring []*line // functions with starts that wait; the first one is next
}

// A line are the starts of one function. The turns' lock guards it.
type line struct {
	running int
	waiting []chan struct{} // each closed when its turn has come
}

// newTurns has places for as many starts of each function, and twice as many
// in all.
func newTurns(each int) *turns {
	return &turns{each: each, free: 2 * each, share: startShare}
}

// enter waits for a place. It is kept for the share, or until leave is called.
func (t *turns) enter(ctx context.Context, l *line) (leave func(), err error) {
	turn := make(chan struct{})
	t.mu.Lock()
	if len(l.waiting) == 0 {
		t.ring = append(t.ring, l)
	}
	l.waiting = append(l.waiting, turn)
	t.next()
	t.mu.Unlock()
	select {
	case <-turn:
	case <-ctx.Done():
		t.mu.Lock()
		defer t.mu.Unlock()
		if i := slices.Index(l.waiting, turn); i >= 0 {
			l.waiting = slices.Delete(l.waiting, i, i+1)
			if len(l.waiting) == 0 {
				t.ring = slices.DeleteFunc(t.ring, func(o *line) bool { return o == l })
			}
		} else {
			t.end(l) // its turn came in the same moment
		}
		return nil, context.Cause(ctx)
	}
	free := sync.OnceFunc(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.end(l)
	})
	timer := time.AfterFunc(t.share, free)
	return func() {
		timer.Stop()
		free()
	}, nil
}

// end gives a place back; the lock is held.
func (t *turns) end(l *line) {
	l.running--
	t.free++
	t.next()
}

// next gives out the places there are; the lock is held. The function that has
// fewest comes first, and of several the one whose turn was longest ago.
func (t *turns) next() {
	for t.free > 0 && len(t.ring) > 0 {
		i := 0
		for j, l := range t.ring {
			if l.running < t.ring[i].running {
				i = j
			}
		}
		l := t.ring[i]
		if l.running >= t.each {
			return
		}
		t.ring = slices.Delete(t.ring, i, i+1)
		close(l.waiting[0])
		l.waiting = slices.Delete(l.waiting, 0, 1)
		l.running++
		t.free--
		if len(l.waiting) > 0 {
			t.ring = append(t.ring, l)
		}
	}
}
