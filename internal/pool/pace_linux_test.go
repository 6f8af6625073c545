package pool

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestBusyWorkersLeaveProcessors(t *testing.T) {
	s := newStand(t)
	s.serve("a", `Deno.serve(() => new Response("a"));`)
	l := s.lease("a")
	defer l.Release()
	d := &ward{w: l.m.w} // not the one that the pool looks at
	pid := l.m.w.PID()
	now, cpu := time.Now(), time.Duration(0)
	p := newPace(2)
	for i, c := range []struct {
		share    float64
		restless bool // another worker is
		want     bool
	}{
		{0.05, false, false},
		{0.15, false, false},
		{0.3, false, true},
		{0.15, false, true}, // not yet
		{0.05, false, false},
		{0.3, true, true}, // it is known from the next round on
		{0.3, true, false},
		{0.3, false, false},
		{0.3, false, true},
		{1, false, true},
		{1, false, false}, // it is one itself
	} {
		now = now.Add(busyWindow)
		cpu += time.Duration(c.share * float64(busyWindow))
		if i == 0 {
			d.load.sample(now.Add(-busyWindow), 0)
		}
		p.see(d, cpu, now)
		if c.restless {
			p.restless++
		}
		p.end()
		attr, err := unix.SchedGetAttr(pid, 0)
		if err != nil || (attr.Policy == unix.SCHED_BATCH) != c.want || d.batch != c.want {
			t.Errorf("round %d: policy %+v, batch %t, want %t (%v)", i, attr, d.batch, c.want, err)
		}
	}
}
