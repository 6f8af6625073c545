package pool

import (
	"math"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
)

// A waiter is a request without a worker.
type waiter struct {
	ch    chan assigned // has room for one
	since time.Time

	// The rest is the queue's.
	links[waiter]
	queued bool
}

type assigned struct {
	l   *Lease
	err error
}

// A queue holds the requests that wait for a worker. The first to come is the
// first to go; one whose client has left goes at once, wherever it stands.
type queue struct {
	list[waiter, *waiter]
	length int
	flow   flow
}

func (q *queue) push(now time.Time) *waiter {
	if q.length == 0 {
		q.flow.pause(now)
	}
	w := &waiter{ch: make(chan assigned, 1), since: now, queued: true}
	q.list.push(w)
	q.length++
	return w
}

// remove takes w out and reports whether it was in.
func (q *queue) remove(w *waiter) bool {
	if !w.queued {
		return false
	}
	q.list.remove(w)
	w.queued = false
	q.length--
	return true
}

// serve gives the first one a member.
func (q *queue) serve(m *member, now time.Time) {
	w := q.first
	q.remove(w)
	q.flow.served(now)
	w.ch <- assigned{l: m.take()}
}

// refuse answers all of them.
func (q *queue) refuse(err error) {
	for q.first != nil {
		w := q.first
		q.remove(w)
		w.ch <- assigned{err: err}
	}
}

// The bounds of what a refused client is told to wait.
const (
	retrySoonest = time.Second
	retryLatest  = time.Minute
)

// overloaded is the refusal of a request that found no place, or none in time.
// A further try may be worth it when those who wait now have been served, as
// fast as they were served of late. While none has been, they wait as long
// again as the first of them did already, for all that anybody knows.
func (q *queue) overloaded(reason function.Overload, now time.Time) error {
	wait := retrySoonest
	if perSecond := q.flow.perSecond(now, q.length > 0); perSecond > 0 {
		seconds := min(float64(max(q.length, 1))/perSecond, retryLatest.Seconds())
		wait = time.Duration(seconds * float64(time.Second))
	} else if q.first != nil {
		wait = now.Sub(q.first.since)
	}
	return &function.OverloadError{Reason: reason, RetryAfter: min(max(wait, retrySoonest), retryLatest)}
}

// flowMemory is how long ago weighs a third of what is now, in seconds.
const flowMemory = 10.0

// A flow measures how fast requests leave a queue, while there are any. Both
// sums count what is past the less the longer ago it is.
type flow struct {
	at    time.Time // of the sums
	count float64   // requests served
	span  float64   // seconds in which requests waited
}

// pass lets time go by, in which requests waited or did not.
func (f *flow) pass(now time.Time, waiting bool) {
	keep := math.Exp(-now.Sub(f.at).Seconds() / flowMemory)
	f.count *= keep
	f.span *= keep
	if waiting {
		f.span += flowMemory * (1 - keep)
	}
	f.at = now
}

// pause ends a time in which nobody waited.
func (f *flow) pause(now time.Time) { f.pass(now, false) }

func (f *flow) served(now time.Time) {
	f.pass(now, true)
	f.count++
}

// perSecond is 0 when nothing was served in living memory.
func (f *flow) perSecond(now time.Time, waiting bool) float64 {
	f.pass(now, waiting)
	if f.count < 1e-3 || f.span == 0 {
		return 0
	}
	return f.count / f.span
}
