//go:build linux && !race

package sockio

import (
	"testing"
	"time"
)

// waits has n exchanges wait for an answer while the test runs.
func waits(t *testing.T, n int32) {
	waiting.Store(n)
	t.Cleanup(func() { waiting.Store(0) })
}

// allow lets the test use n processors.
func allow(t *testing.T, n int) {
	before := processors
	processors = n
	t.Cleanup(func() { processors = before })
}

// looks is an answer that is there at the n-th look; never for 0.
type looks struct{ n, at int }

func (l *looks) done(uintptr) bool {
	l.n++
	return l.n == l.at
}

func TestPollFindsAnswer(t *testing.T) {
	waits(t, 1)
	allow(t, 2)
	p := poller{penalty: 7}
	l := &looks{at: 2}
	if !p.poll(l.done, 0) {
		t.Skip("this machine took more than ", pollFor, " between two looks")
	}
	if l.n != 2 || p.penalty != 0 || p.rest != 0 {
		t.Errorf("after %d looks: %+v, want 2 and nothing held against the connection", l.n, p)
	}
}

func TestPollRestsAfterLateAnswers(t *testing.T) {
	waits(t, 1)
	allow(t, 2)
	var p poller
	var rests []int
	for range 20 {
		l := &looks{}
		began := time.Now()
		if p.poll(l.done, 0) {
			t.Fatal("found an answer that was not there")
		}
		if took := time.Since(began); l.n == 0 || took < pollFor {
			t.Fatalf("gave up after %s and %d looks, want %s", took, l.n, pollFor)
		}
		resting := 0
		for p.rest > 0 {
			resting++
			if p.poll(func(uintptr) bool { t.Fatal("looked while it rests"); return true }, 0) {
				t.Fatal("found something while it rests")
			}
		}
		rests = append(rests, resting)
	}
	if rests[0] != 1 || rests[1] != 3 || rests[19] != pollRest {
		t.Errorf("rests %v, want 1, 3 and so on up to %d", rests, pollRest)
	}
}

func TestPollOnlyWhereNobodyWaits(t *testing.T) {
	for name, c := range map[string]struct {
		waiting    int32
		processors int
	}{
		"others wait":   {2, 2},
		"one processor": {1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			waits(t, c.waiting)
			allow(t, c.processors)
			var p poller
			l := &looks{at: 1}
			if p.poll(l.done, 0) || l.n != 0 || p != (poller{}) {
				t.Errorf("%d looks, %+v, want none", l.n, p)
			}
		})
	}
}

func TestPollEndsWhenAnotherWaits(t *testing.T) {
	waits(t, 1)
	allow(t, 2)
	var p poller
	n := 0
	p.poll(func(uintptr) bool {
		n++
		waiting.Store(2)
		return false
	}, 0)
	if n != 1 || p != (poller{}) {
		t.Errorf("%d looks, %+v, want 1 and nothing held against the connection", n, p)
	}
}
