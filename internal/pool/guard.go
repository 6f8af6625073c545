package pool

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/worker"
)

const (
	// guardEvery is how often workers are looked at. A look costs 0.5 µs, and
	// 3 µs more for one that has run since: nothing else can have changed its
	// memory.
	guardEvery = 50 * time.Millisecond
	// filesEvery is how often their files are counted, at most.
	filesEvery = 500 * time.Millisecond
	// filesPause is how much longer than the counting the pause after it is.
	filesPause = 50
	// softMemory is the share of the memory and of the files at which a worker
	// is replaced. What is over it must stay so for softFor: most garbage goes
	// sooner.
	softMemory = 0.8
	softFor    = time.Second
	// A worker is asked to collect its garbage at collectAt of its memory, and
	// again whenever it has collectStep more. One that is over the limit has
	// collectFor to do so, unless it is far over. Where the machine is busy that
	// says little: it has up to collectMost until it has used collectCPU, and has
	// been looked at collectLooks times, without being seen below.
	collectAt   = 0.5
	collectStep = 0.1
	collectFor  = 250 * time.Millisecond
	collectMost = time.Second
	collectCPU  = 5 * time.Millisecond
	// Garbage can be back by the next look, but not by all of them.
	collectLooks = 5
	farOver      = 1.5
	// lastWords is how long a worker whose wall clock ends has for its
	// listeners of beforeunload, while it still has requests.
	lastWords = time.Second
	// blamedFor is how long a function gives way to others after a worker of it
	// has reached a limit.
	blamedFor = time.Minute
)

// guard keeps workers within their limits until ctx ends: those that come near
// one are replaced and finish what they have, those that reach it are stopped.
func (p *Pool) guard(ctx context.Context) {
	var groups []*group // used again: looking makes no garbage where nothing happens
	pace := newPace(runtime.NumCPU())
	every(ctx, guardEvery, func(time.Time) {
		now := p.clock.look()
		var used int64
		clear(groups) // a removed one is not held for its place
		groups = p.appendAll(groups[:0])
		for _, g := range groups {
			used += g.guard(now, pace)
		}
		pace.end()
		p.guardBudget(groups, used, now)
	})
}

// guardFiles does so for what workers write.
func (p *Pool) guardFiles(ctx context.Context) {
	var groups []*group
	every(ctx, filesEvery, func(now time.Time) {
		clear(groups)
		groups = p.appendAll(groups[:0])
		for _, g := range groups {
			g.guardFiles(now)
		}
	})
}

func every(ctx context.Context, d time.Duration, do func(now time.Time)) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			do(now)
		}
	}
}

// A ward is a worker that is looked after: a member, or one that still loads.
type ward struct {
	w      *worker.Worker
	limits function.Limits
	bare   int64   // its memory before it was told its function
	m      *member // nil while it loads

	// What is known of its memory and its files. Only the goroutine that looks
	// at them uses it.
	memory, files level
	// load, serves and batch are for pace.
	load   cpuMeter
	serves bool
	batch  bool
	busy   atomic.Bool // requests took at least busyShare of a core of late
}

// begin measures afresh once the worker serves: what loading took says nothing
// of the requests to come.
func (d *ward) begin() {
	if !d.serves {
		d.serves, d.load = true, cpuMeter{}
	}
}

// A level is how much of something there is.
type level struct {
	cpu   time.Duration // the worker's when it was measured
	bytes int64
	high  time.Time // since when it is over the soft limit, zero for not
	next  time.Time // no measure before

	// collected is when the worker was last asked to collect its garbage, after
	// it had used askedCPU, and least the lowest the level has been since.
	collected time.Time
	askedCPU  time.Duration
	looks     int // since then
	least     int64
}

// collect reports whether the worker is to be asked now.
func (l *level) collect(limit int64, now time.Time) bool {
	l.least = min(l.least, l.bytes)
	l.looks++
	at := max(int64(collectAt*float64(limit)), l.least+int64(collectStep*float64(limit)))
	if l.bytes < at || now.Sub(l.collected) < collectFor {
		return false
	}
	l.collected, l.askedCPU, l.looks, l.least = now, l.cpu, 0, l.bytes
	return true
}

// collecting reports whether garbage may be what is over the limit.
func (l *level) collecting(limit int64, now time.Time) bool {
	patience := collectFor
	if l.cpu-l.askedCPU < collectCPU || l.looks < collectLooks {
		patience = collectMost
	}
	return float64(l.bytes) < farOver*float64(limit) && now.Sub(l.collected) < patience
}

// over says where the level is, given the hard limit.
func (l *level) over(limit int64, now time.Time) (soft, hard bool) {
	if float64(l.bytes) < softMemory*float64(limit) {
		l.high = time.Time{}
		return false, false
	}
	if l.high.IsZero() {
		l.high = now
	}
	return now.Sub(l.high) >= softFor, l.bytes >= limit
}

// guard looks at the clocks and the memory of the group's workers and returns
// what they use of it.
func (g *group) guard(now time.Time, pace *pace) (used int64) {
	for _, d := range g.wards(now) { // not under the lock: it takes a while
		cpu, ok := d.w.CPU()
		if !ok {
			continue
		}
		pace.see(d, cpu, now)
		if cpu-d.memory.cpu >= time.Millisecond || d.memory.bytes == 0 {
			d.memory.cpu = cpu
			if bytes, ok := d.w.Memory(); ok {
				d.memory.bytes = max(1, bytes-d.bare)
			}
		}
		limit := int64(d.limits.MemoryMB) << 20
		if d.memory.collect(limit, now) {
			d.w.Collect()
		}
		if soft, hard := d.memory.over(limit, now); (soft || hard) && !d.memory.collecting(limit, now) {
			g.exceeded(d, hard, ReasonMemory, fmt.Sprintf("it used %d MB of memory; %d may be used (memory_mb)",
				d.memory.bytes>>20, d.limits.MemoryMB))
		}
		used += d.memory.bytes + d.bare
	}
	return used
}

func (g *group) guardFiles(now time.Time) {
	for _, d := range g.wards(time.Time{}) {
		cpu, ok := d.w.CPU()
		limit := int64(d.limits.TmpMB) << 20
		if !ok || now.Before(d.files.next) {
			continue
		}
		if cpu-d.files.cpu >= time.Millisecond || d.files.bytes == 0 {
			d.files.cpu = cpu
			bytes, took := d.w.Files(limit)
			d.files.bytes = max(1, bytes)
			d.files.next = now.Add(filesPause * took)
		}
		if soft, hard := d.files.over(limit, now); soft || hard {
			g.exceeded(d, hard, ReasonFiles, fmt.Sprintf("it had %d MB of files; %d may be written (tmp_mb)",
				d.files.bytes>>20, d.limits.TmpMB))
		}
	}
}

// wards returns those that are to be looked at. Unless now is zero, it looks
// at their clocks on the way.
func (g *group) wards(now time.Time) []*ward {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []*ward
	for _, l := range g.launches {
		if l.ward != nil {
			all = append(all, l.ward)
		}
	}
	for _, m := range slices.Clone(g.members) {
		if m.exceeded != nil || m.w.State() >= worker.Stopping {
			continue
		}
		if !now.IsZero() {
			m.ward.begin()
			if g.slug != g.p.opts.Inspect { // a debugger takes its time
				g.guardClocks(m, now)
			}
		}
		all = append(all, m.ward)
	}
	return all
}

// guardClocks looks at a member's age and at the CPU time it used. The lock is
// held.
func (g *group) guardClocks(m *member, now time.Time) {
	limits := m.ward.limits
	switch age := now.Sub(m.born); {
	case age >= limits.WallClock:
		g.stop(m, ReasonWallClock, fmt.Sprintf("it was there for %s, as long as it may be (timeout_s)", limits.WallClock))
		return
	case age >= limits.WallClock/2:
		g.replace(m, ReasonWallClock, "")
	}
	used, ok := m.w.CPU()
	if !ok {
		return
	}
	most, ping := m.look(used, m.w.Signs(), m.w.Waiting(), limits.CPUSoft)
	if ping {
		m.w.Ping()
	}
	detail := func(limit time.Duration) string {
		return fmt.Sprintf("%s used %s of CPU time; %s may be used (cpu_ms)", most.who, limit, limits.CPUHard)
	}
	switch {
	case most.used >= limits.CPUHard:
		g.stop(m, ReasonCPU, detail(limits.CPUHard))
	case most.used >= limits.CPUSoft && most.who == byLoop:
		// Requests that it was given now would wait, and die with it.
		m.detail = detail(limits.CPUSoft)
		g.retire(m, ReasonCPU)
		g.scale()
	case most.used >= limits.CPUSoft:
		g.replace(m, ReasonCPU, detail(limits.CPUSoft))
	}
}

// exceeded acts on a limit that was measured without the lock.
func (g *group) exceeded(d *ward, hard bool, reason, detail string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case d.m != nil && hard:
		g.stop(d.m, reason, detail)
	case d.m != nil:
		g.replace(d.m, reason, detail)
	case hard && slices.ContainsFunc(g.launches, func(l *launch) bool { return l.ward == d }):
		g.p.wg.Add(1)
		go func() {
			defer g.p.wg.Done()
			d.w.Abort("while it was loading " + detail)
		}()
	}
}

// replace has a member go as soon as another one can take its place; until
// then it takes requests. The lock is held.
func (g *group) replace(m *member, reason, detail string) {
	if m.retiring != "" || m.leaving != "" {
		return
	}
	m.detail = detail
	if g.fn == nil || g.fn.Policy == function.OneShot { // it takes no more requests anyway
		g.retire(m, reason)
		return
	}
	m.leaving = reason
	g.scale()
}

// replaced retires one of the members that wait for another one; the lock is
// held. An idle one's time goes on with the other, or a function that nobody
// calls would never be without a worker.
func (g *group) replaced(by *member) {
	for _, m := range g.members {
		if m.leaving != "" && g.serves(m) {
			if m.inFlight == 0 {
				by.idleSince = m.idleSince
			}
			g.retire(m, m.leaving)
			return
		}
	}
}

// stop ends a member that reached a limit, whatever it has. The lock is held.
func (g *group) stop(m *member, reason, detail string) {
	if m.exceeded != nil || m.w.State() >= worker.Stopping {
		return
	}
	m.exceeded = &function.LimitError{Slug: g.slug, Reason: reason, Detail: detail}
	var next []*worker.Worker
	if reason != ReasonWallClock { // which all reach in the end
		g.blamed = time.Now()
		next = g.unused()
	}
	m.retiring, m.detail, m.finishing = reason, detail, true
	g.scale()
	// The group's goroutine that watches the member keeps wg from being done.
	g.p.wg.Add(1)
	go func() {
		defer g.p.wg.Done()
		for _, w := range next {
			w.GiveWay()
		}
		if reason == ReasonWallClock {
			ctx, cancel := context.WithTimeout(g.p.patience, lastWords)
			defer cancel()
			m.w.Unload(ctx, unloadReason(reason))
		}
		g.mu.Lock()
		m.cut = m.inFlight
		g.mu.Unlock()
		m.w.Stop()
	}()
}

// unused returns the workers that have had no request yet, such as the one that
// was started when another came near its limit. The lock is held.
func (g *group) unused() (all []*worker.Worker) {
	for _, l := range g.launches {
		if l.ward != nil {
			all = append(all, l.ward.w)
		}
	}
	for _, m := range g.members {
		if m.served == 0 && m.inFlight == 0 {
			all = append(all, m.w)
		}
	}
	return all
}

// toBlame reports whether a worker of the function reached a limit of late. What
// it did then the next one will most often do as well, and all others waited for
// the processors that it had.
func (g *group) toBlame() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.blamed.IsZero() && time.Since(g.blamed) < blamedFor
}

// limitError says which limit ended the member, nil for none.
func (m *member) limitError() error {
	m.g.mu.Lock()
	defer m.g.mu.Unlock()
	if m.exceeded == nil && m.w.Exit().OutOfMemory {
		m.exceeded = &function.LimitError{Slug: m.g.slug, Reason: ReasonMemory,
			Detail: fmt.Sprintf("its heap was full; %d MB of memory may be used (memory_mb)", m.ward.limits.MemoryMB)}
		m.cut = m.inFlight
		m.g.blamed = time.Now()
	}
	if m.exceeded == nil {
		return nil // and no *function.LimitError in an error
	}
	return m.exceeded
}

// unloadReason is what a function is told of a reason.
func unloadReason(reason string) string {
	switch reason {
	case ReasonCPU:
		return "cpu"
	case ReasonWallClock:
		return "wall_clock"
	case ReasonMemory, ReasonIdle:
		return reason
	}
	return "termination"
}
