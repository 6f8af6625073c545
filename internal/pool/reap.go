package pool

import (
	"slices"
	"time"
)

// reapEvery is how often idle workers are looked for.
const reapEvery = 250 * time.Millisecond

// reap retires workers that have been idle for long enough.
func (p *Pool) reap() {
	defer p.wg.Done()
	tick := time.NewTicker(reapEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-tick.C:
			now := p.clock.look()
			for _, g := range *p.groups.Load() {
				g.reap(now)
			}
			p.forget()
			if p.warm.missing() {
				p.warm.poke()
			}
		}
	}
}

func (g *group) reap(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.members) == 0 || g.fn == nil {
		return
	}
	busy := false
	for _, m := range slices.Clone(g.members) {
		switch {
		case m.retiring != "":
		case m.gone():
			g.retire(m, ReasonIdle) // it lives, but has given up its socket
		case m.inFlight > 0:
			busy = m.busy() || busy
		case g.slug == g.p.opts.Inspect: // the debugger shows what it has done
		case now.Sub(m.idleSince) >= g.fn.Limits.WorkerIdle && !m.w.Waiting():
			g.retire(m, ReasonIdle)
		}
	}
	if busy {
		g.scale() // also where no further request comes to ask for it
	}
}
