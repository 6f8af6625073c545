package pool

import (
	"testing"
	"time"
)

const ms = time.Millisecond

// An accounted is a member without a worker, whose clock the test moves.
type accounted struct {
	*member
	t       *testing.T
	used    time.Duration
	signs   uint32
	waiting bool
}

func newAccounted(t *testing.T) *accounted {
	a := &accounted{member: &member{g: &group{}}, t: t}
	a.pass(0, 0)
	return a
}

// pass uses CPU time in the steps of the guard, answering pings.
func (a *accounted) pass(d, soft time.Duration) charge {
	var most charge
	for end := a.used + d; ; {
		var ping bool
		if most, ping = a.look(a.used, a.signs, a.waiting, soft); ping {
			a.signs++
		}
		if a.used == end {
			return most
		}
		a.used = min(end, a.used+guardEvery)
	}
}

func (a *accounted) end(l *Lease) {
	a.leases.remove(l)
	a.inFlight--
}

func (a *accounted) want(most charge, used time.Duration, who string) {
	a.t.Helper()
	if diff := most.used - used; diff < -2*guardEvery || diff > 0 || most.who != who {
		a.t.Errorf("charged %s to %s, want %s (at most %s less) to %s", most.used, most.who, used, 2*guardEvery, who)
	}
}

func TestOneRequestIsChargedAll(t *testing.T) {
	a := newAccounted(t)
	a.pass(300*ms, 0)
	a.take()
	a.want(a.pass(900*ms, 0), 900*ms, byRequest)
}

func TestEqualRequestsAreChargedTheirOwn(t *testing.T) {
	// 100 come at once, use 500 ms each and end one after the other: the last
	// one was there for 50 s of CPU time.
	a := newAccounted(t)
	var all []*Lease
	for range 100 {
		all = append(all, a.take())
	}
	for _, l := range all {
		if most := a.pass(500*ms, 0); most.used > 505*ms {
			t.Fatalf("charged %s to %s", most.used, most.who)
		}
		a.end(l)
	}
}

func TestOneThatWaitsIsNotChargedForOthers(t *testing.T) {
	a := newAccounted(t)
	a.take() // as a WebSocket does
	for range 300 {
		l := a.take()
		if most := a.pass(200*ms, 0); most.used > 200*ms {
			t.Fatalf("charged %s to %s", most.used, most.who)
		}
		a.end(l)
	}
}

func TestTooDearForAllIsTooDearForOne(t *testing.T) {
	a := newAccounted(t)
	for range 4 {
		a.take()
	}
	a.want(a.pass(8*time.Second, 0), 2*time.Second, byRequest)
}

func TestAloneAmongOthers(t *testing.T) {
	a := newAccounted(t)
	a.take()
	for range 10 {
		l := a.take()
		a.pass(100*ms, 0)
		a.end(l)
		a.pass(100*ms, 0)
	}
	a.want(a.pass(0, 0), time.Second, byRequest) // the mean is less than 200 ms
}

func TestLoopIsChargedToOne(t *testing.T) {
	a := newAccounted(t)
	for range 50 {
		a.take()
	}
	a.pass(500*ms, 0)
	var most charge
	for range 40 { // no sign of life any more
		a.used += guardEvery
		most, _ = a.look(a.used, a.signs, false, 0)
	}
	a.want(most, 2*time.Second, byLoop)
	a.signs++
	if most, _ = a.look(a.used, a.signs, false, 0); most.used > 100*ms {
		t.Errorf("after a sign of life %s are charged to %s", most.used, most.who)
	}
}

func TestOnePingAtATime(t *testing.T) {
	a := newAccounted(t)
	a.take()
	pings := 0
	for range 20 {
		a.used += guardEvery
		if _, ping := a.look(a.used, a.signs, false, 0); ping {
			pings++
		}
	}
	if pings != 1 {
		t.Errorf("%d pings", pings)
	}
	b := newAccounted(t)
	for range 20 {
		b.used += ms / 2
		if _, ping := b.look(b.used, b.signs, false, 0); ping {
			t.Error("a worker that does next to nothing is pinged")
		}
	}
}

func TestBackground(t *testing.T) {
	a := newAccounted(t)
	a.end(a.take())
	a.pass(0, 0)
	a.want(a.pass(700*ms, 0), 700*ms, byBackground)
	a.end(a.take())
	if most := a.pass(0, 0); most.used != 0 {
		t.Errorf("after a request %s are charged to %s", most.used, most.who)
	}
	a.waiting = true
	a.pass(600*ms, 0)
	a.end(a.take())
	a.pass(0, 0)
	a.want(a.pass(600*ms, 0), 1200*ms, byBackground)
}

func TestNothingIsSoughtBelowSoft(t *testing.T) {
	a := newAccounted(t)
	a.take()
	if most := a.pass(400*ms, time.Second); most.used != 0 {
		t.Errorf("charged %s to %s", most.used, most.who)
	}
	a.want(a.pass(800*ms, time.Second), 1200*ms, byRequest)
}
