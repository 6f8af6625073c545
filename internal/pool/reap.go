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
		case now := <-tick.C:
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
	if len(g.members) == 0 || g.fn == nil || g.slug == g.p.opts.Inspect {
		return
	}
	for _, m := range slices.Clone(g.members) {
		if m.retiring == "" && m.inFlight == 0 && now.Sub(m.idleSince) >= g.fn.Limits.WorkerIdle && !m.w.Waiting() {
			g.retire(m, ReasonIdle)
		}
	}
}
