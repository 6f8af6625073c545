// Package vitals looks, while the server runs, whether it still has what it
// needs of the machine: room and rights on disk, the Deno binary, open files.
// What is wrong is known before a request fails of it, and so is that it is
// over.
package vitals

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// every is the time between two looks while all is well, and soon the time
	// while something is not: its end should be noticed.
	every = 5 * time.Second
	soon  = time.Second
)

// A Fault is what a check has found.
type Fault struct {
	// Code names it for machines, such as tmp_full.
	Code string
	// Message says for a person what is wrong and what to do.
	Message string
	// StopsStarts is set where no worker can be started with it.
	StopsStarts bool
}

// A Problem is a fault that is there now.
type Problem struct {
	Fault
	Since time.Time
}

// A Check looks at one thing and returns nil if it is in order. It must not
// take long.
type Check func() *Fault

// Options configure a Monitor.
type Options struct {
	// Checks are made one after the other. Where several find the same code, the
	// first one counts.
	Checks []Check
	// Symptom is a check that is made last, and only where none of the others
	// has found what stops starts.
	Symptom Check
	// Found and Over, if not nil, are told when a problem begins and has ended.
	// Their calls do not overlap.
	Found, Over func(Problem)
}

// A Monitor knows what is wrong. Its methods may be called at the same time.
type Monitor struct {
	opts     Options
	problems atomic.Pointer[[]Problem] // replaced, never changed
	cancel   context.CancelFunc
	wg       sync.WaitGroup
}

// Start begins to look. The first look is over when it returns.
func Start(o Options) *Monitor {
	ctx, cancel := context.WithCancel(context.Background())
	m := &Monitor{opts: o, cancel: cancel}
	m.problems.Store(&[]Problem{})
	m.look()
	m.wg.Go(func() { m.run(ctx) })
	return m
}

// Close ends the looking and waits for it.
func (m *Monitor) Close() {
	m.cancel()
	m.wg.Wait()
}

// Problems are those that there are now, in the order of the checks. The slice
// must not be changed.
func (m *Monitor) Problems() []Problem { return *m.problems.Load() }

func (m *Monitor) run(ctx context.Context) {
	for {
		pause := every
		if len(m.Problems()) > 0 {
			pause = soon
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
			m.look()
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

func (m *Monitor) look() {
	before := m.Problems()
	var after []Problem
	note := func(f *Fault) {
		if f == nil || index(after, f.Code) >= 0 {
			return
		}
		p := Problem{*f, time.Now()}
		if i := index(before, f.Code); i >= 0 {
			p.Since = before[i].Since
		}
		after = append(after, p)
	}
	for _, check := range m.opts.Checks {
		note(check())
	}
	if m.opts.Symptom != nil && !slices.ContainsFunc(after, func(p Problem) bool { return p.StopsStarts }) {
		note(m.opts.Symptom())
	}
	m.problems.Store(&after)
	for _, p := range before {
		if m.opts.Over != nil && index(after, p.Code) < 0 {
			m.opts.Over(p)
		}
	}
	for _, p := range after {
		if m.opts.Found != nil && index(before, p.Code) < 0 {
			m.opts.Found(p)
		}
	}
}

func index(all []Problem, code string) int {
	return slices.IndexFunc(all, func(p Problem) bool { return p.Code == code })
}
