package pool

import (
	"context"
	"sync"
	"time"

	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/worker"
)

const (
	// troubleAfter is how many processes in a row must have failed to start
	// before that is called trouble: one may be chance.
	troubleAfter = 3
	// troubleFor is how long it is believed without a further try: a server that
	// is not asked any more because of it tries nothing.
	troubleFor = 30 * time.Second
)

// spawns remember how the last starts of processes went. What a function does
// when it is loaded does not count.
type spawns struct {
	mu    sync.Mutex
	fails int
	err   error
	at    time.Time
}

// spawn starts a process.
func (p *Pool) spawn(ctx context.Context, profile deno.Profile) (*worker.Worker, error) {
	w, err := p.opts.Starter.Start(ctx, profile)
	s := &p.spawns
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		s.fails, s.err = 0, nil
	case ctx.Err() == nil:
		s.fails++
		s.err, s.at = err, time.Now()
	}
	return w, err
}

// Trouble says why no process can be started, whatever the function; nil when
// that is not known to be so.
func (p *Pool) Trouble() error {
	s := &p.spawns
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails < troubleAfter || time.Since(s.at) > troubleFor {
		return nil
	}
	return s.err
}

// Able reports whether there is a worker that serves, or a process that can
// become one: functions can be answered even if no process can be started.
func (p *Pool) Able() bool {
	if p.warm.count() > 0 {
		return true
	}
	for _, g := range *p.groups.Load() {
		if g.able() {
			return true
		}
	}
	return false
}

func (g *group) able() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.serving()
}

// Retry has functions whose starts failed be started with the next request,
// instead of being left alone for a while: what made them fail is over.
func (p *Pool) Retry() {
	for _, g := range *p.groups.Load() {
		g.mu.Lock()
		g.retry.until = time.Time{}
		g.scale()
		g.mu.Unlock()
	}
	p.warm.hurry()
}
