package pool

import "time"

// Deno tells the processor time of a worker, not of a request: all requests of
// a worker share one event loop. What one request used can only be bounded
// from below, and the limits are applied to those bounds, so that nobody is
// stopped for what others did in the same time. They are:
//
//   - what the worker used while it had this request and no other;
//   - the mean: what it used since the request began, divided by the requests
//     it had since then. If that is more than the limit, so is at least one of
//     them;
//   - what it used without a sign of life. While the event loop does not turn,
//     one piece of code runs, of one request.
//
// What it uses while it has no requests at all is charged to the background as
// if that were a request, which ends when the next one comes, unless promises
// of waitUntil are pending.

// A charge is what somebody has used.
type charge struct {
	used time.Duration
	who  string
}

// The values of charge.who, for people.
const (
	byRequest    = "a request"
	byLoop       = "code that did not let the event loop turn"
	byBackground = "background work"
)

// A bill is what one request is charged.
type bill struct {
	open bool // a look has seen the request
	// used and others are the worker's CPU time and the requests it had served
	// to their end when the bill was opened.
	used   time.Duration
	others int
	alone  time.Duration
}

// An account is the CPU time of one worker, as looked at now and then.
type account struct {
	open bool
	// used, served and inFlight are those of the last look.
	used             time.Duration
	served, inFlight int
	// signs counts signs of life, aliveAt is the CPU time at the last one.
	// pinged is set while one is asked for.
	signs      uint32
	aliveAt    time.Duration
	pinged     bool
	background time.Duration
}

// pingAfter is the CPU time without a sign of life after which the worker is
// asked for one.
const pingAfter = 20 * time.Millisecond

// look takes note of the CPU time used so far and returns the highest charge,
// and whether the worker should be pinged. soft is the least that matters. The
// group's lock is held.
func (m *member) look(used time.Duration, signs uint32, waiting bool, soft time.Duration) (most charge, ping bool) {
	a := &m.account
	if !a.open {
		*a = account{open: true, used: used, aliveAt: used, signs: signs, served: m.served, inFlight: m.inFlight}
		m.openBills(used)
		return charge{}, false
	}
	spent := used - a.used
	had := a.inFlight + m.served - a.served // requests since the last look
	first := m.leases.first
	switch {
	case had == 0:
		a.background += spent
	case had == 1 && !waiting && first != nil && first.bill.open:
		first.bill.alone += spent
	}
	if had > 0 && !waiting {
		a.background = 0
	}
	a.used, a.served, a.inFlight = used, m.served, m.inFlight

	if signs != a.signs {
		a.signs, a.aliveAt, a.pinged = signs, used, false
	}
	most = charge{a.background, byBackground}
	if stuck := used - a.aliveAt; a.pinged {
		most = dearer(most, charge{stuck, byLoop})
	} else if stuck >= pingAfter {
		a.pinged, ping = true, true
		a.aliveAt = used // from here on it could have answered
	}
	if first != nil && first.bill.open && used-first.bill.used >= soft { // else none is as dear
		most = dearer(most, charge{m.dearest(used, waiting), byRequest})
	}
	m.openBills(used)
	return most, ping
}

func dearer(a, b charge) charge {
	if b.used > a.used {
		return b
	}
	return a
}

// dearest returns the highest charge of the open bills.
func (m *member) dearest(used time.Duration, waiting bool) time.Duration {
	var most time.Duration
	for l := m.leases.first; l != nil && l.bill.open; l = l.next {
		had := m.served - l.bill.others
		if waiting {
			had++ // the background's share
		}
		most = max(most, l.bill.alone, (used-l.bill.used)/time.Duration(had))
	}
	return most
}

// openBills opens those of the requests that came since the last look.
func (m *member) openBills(used time.Duration) {
	for l := m.leases.last; l != nil && !l.bill.open; l = l.prev {
		l.bill = bill{open: true, used: used, others: m.served - m.inFlight}
	}
}
