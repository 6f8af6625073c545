package pool

import "time"

// A worker that is woken takes the processor from the thread that has it. That
// is right for a function with little to do. One with much is woken by every
// request that it is sent, and would stop the gateway after each. So from
// batchShare of a processor on a worker waits until the gateway has none to do or
// gives up its turn, and then finds some requests at once; below eagerShare it is
// as before.
//
// Who waits so would wait whole slices where other workers never sleep. Where as
// many as half of the processors have one of restlessShare or more, all take
// turns as ever.
const (
	batchShare    = 0.2
	eagerShare    = 0.1
	restlessShare = 0.9
)

// A pace decides in rounds which workers wait so. On the way it notes which
// are busy.
type pace struct {
	most     int // restless workers, less than
	restless int // in this round
	crowded  bool
}

func newPace(processors int) *pace { return &pace{most: (processors + 1) / 2} }

// see looks at a worker that has used so much processor time.
func (p *pace) see(d *ward, cpu time.Duration, now time.Time) {
	share := d.load.sample(now, cpu)
	d.busy.Store(d.serves && share >= busyShare)
	if share >= restlessShare {
		p.restless++
	}
	batch := !p.crowded && (share >= batchShare || d.batch && share >= eagerShare)
	if batch != d.batch {
		d.batch = batch
		d.w.Batch(batch)
	}
}

// end is called after each round.
func (p *pace) end() {
	p.crowded = p.restless >= p.most
	p.restless = 0
}
