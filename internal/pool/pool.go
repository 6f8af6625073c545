// Package pool gives requests to workers. It holds for each function the
// workers that serve it, starts them when they are first needed, adds to them
// under load, replaces them when the function changes and lets them go when
// they are idle.
//
// Each function has a group with a lock of its own; a hot function never waits
// for another one's lock.
package pool

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/selvedge-dev/selvedge/internal/bundle"
	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/worker"
)

// A Builder makes what workers load.
type Builder interface {
	// Build returns the bundle of the function as it is on disk.
	Build(ctx context.Context, f *function.Function) (*bundle.Bundle, error)
	BuildUnbundled(ctx context.Context, f *function.Function) (*bundle.Bundle, error)
	// Unchanged reports whether the function's bundle is up to date.
	Unchanged(f *function.Function) bool
}

// A Starter spawns workers.
type Starter interface {
	Start(ctx context.Context, p deno.Profile) (*worker.Worker, error)
}

// An Observer is told what happens to workers. Its methods may be called at
// the same time. None is called with a lock of the pool held, so they may ask
// the pool; but a worker's next log line, and the pool's Close, wait for them.
type Observer interface {
	Log(slug, executionID string, r deno.Record)
	Boot(Boot)
	BootFailure(slug string, err error, nextTry time.Duration)
	Exit(Exit)
}

// A Boot says how a worker came to serve.
type Boot struct {
	Slug        string
	ExecutionID string
	// Queue is the wait for a place among the starts that run at once.
	Queue time.Duration
	// Bundle is the time to build the bundle, or to find it unchanged.
	Bundle time.Duration
	// Spawn is the time to start a process, 0 for a pre-started one.
	Spawn time.Duration
	// Load is the time from handing over the function to its being ready, of
	// which Evaluate was spent in its modules.
	Load, Evaluate time.Duration
	Total          time.Duration
	// Cached is set when the bundle was there already.
	Cached bool
	// Unbundled is set when the function runs from its source.
	Unbundled bool
}

// An Exit says how a worker that had served ended.
type Exit struct {
	Slug        string
	ExecutionID string
	// Reason is why it was retired, "" when it ended by itself.
	Reason string
	// Detail says which limit it reached or came near to, "" for none.
	Detail string
	// Requests it served, and had in flight when it ended.
	Requests, InFlight int
	worker.Exit
}

// Reasons for which workers are retired.
const (
	ReasonCodeChanged = "code_changed"
	ReasonIdle        = "early_drop"
	ReasonTermination = "termination_requested"
	ReasonMemory      = "memory"
	ReasonCPU         = "cpu_time"
	ReasonWallClock   = "wall_clock_time"
	ReasonFiles       = "tmp_size"
)

// Options configure a Pool.
type Options struct {
	Builder  Builder
	Starter  Starter
	Observer Observer
	// Env returns a worker's environment.
	Env func(f *function.Function, version, executionID string) map[string]string
	// Prestart is how many processes wait for a function to be.
	Prestart int
	// MemoryMB is the heap limit of the pre-started processes, in MiB;
	// functions with another one get a process of their own.
	MemoryMB int
	// Inspect names a function to be run under the inspector at InspectAddr.
	Inspect, InspectAddr string
	// Eager has workers of a changed function started before a request asks
	// for them, where it had some.
	Eager bool
	// Pin has all workers of a function run the bundle that its first one ran,
	// whatever is on disk by then, until Apply changes the function.
	Pin bool
	// Memory is what all workers together may use, in bytes, 0 for any; see
	// budget.
	Memory int64
	// Hide are texts left out of stack traces, such as the bootstrap's path.
	Hide []string
	Log  *slog.Logger
}

// A Pool is all workers of a server.
type Pool struct {
	opts   Options
	warm   *prestarter
	starts *turns
	active atomic.Int64 // starts under way, queued ones included

	budget budget
	spawns spawns
	clock  clock

	groups atomic.Pointer[map[string]*group] // replaced, never changed

	mu     sync.Mutex // held by Apply and Close
	closed bool

	leavingMu sync.Mutex
	leaving   []*group // of removed functions, whose workers finish

	ctx      context.Context // ends the starts
	cancel   context.CancelFunc
	patience context.Context // ends the wait for background work
	hurry    context.CancelFunc
	wg       sync.WaitGroup

	// The guards go on while workers drain.
	unguard context.CancelFunc
	guards  sync.WaitGroup
}

// New returns a pool without functions and begins to start processes ahead.
func New(o Options) *Pool {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &Pool{opts: o, starts: newTurns(runtime.GOMAXPROCS(0))}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.patience, p.hurry = context.WithCancel(context.Background())
	p.budget.limit = o.Memory
	p.groups.Store(&map[string]*group{})
	p.warm = newPrestarter(p, deno.Profile{MemoryMB: o.MemoryMB}, o.Prestart)
	p.wg.Add(2)
	go p.warm.run()
	go p.reap()
	guarded, unguard := context.WithCancel(context.Background())
	p.unguard = unguard
	p.guards.Go(func() { p.guard(guarded) })
	p.guards.Go(func() { p.guardFiles(guarded) })
	return p
}

// Exists reports whether there is a function with the slug.
func (p *Pool) Exists(slug string) bool {
	_, ok := (*p.groups.Load())[slug]
	return ok
}

// Function returns the function with the slug as it is served now. It waits
// for nothing: the gateway asks several times a request.
func (p *Pool) Function(slug string) (*function.Function, bool) {
	g, ok := (*p.groups.Load())[slug]
	if !ok {
		return nil, false
	}
	f := g.current.Load()
	return f, f != nil
}

// Acquire waits until a worker of the function can take a request.
func (p *Pool) Acquire(ctx context.Context, slug string) (*Lease, error) {
	g, ok := (*p.groups.Load())[slug]
	if !ok {
		return nil, function.ErrNotFound
	}
	return g.acquire(ctx)
}

// A Change says what Apply did, by slug and sorted.
type Change struct {
	Added, Removed, Updated []string
}

// Apply replaces the functions. Workers of functions that did not change go
// on; those of the others finish the requests they have. A broken function
// (a Problem of the set) is answered with its problem.
func (p *Pool) Apply(set *function.Set) (Change, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var change Change
	if p.closed {
		return change, function.ErrClosed
	}
	old := *p.groups.Load()
	next := make(map[string]*group, set.Len())
	for _, f := range set.Functions() {
		g, ok := old[f.Slug]
		if !ok {
			g = newGroup(p, f.Slug)
			change.Added = append(change.Added, f.Slug)
		}
		if g.update(f, nil) && ok {
			change.Updated = append(change.Updated, f.Slug)
		}
		next[f.Slug] = g
	}
	for slug, problem := range set.Problems() {
		if !function.ValidSlug(slug) || function.Reserved(slug) {
			continue
		}
		g, ok := old[slug]
		if !ok {
			g = newGroup(p, slug)
		}
		g.update(nil, &function.BootError{Slug: slug, Stage: "configuration", Message: problem.Error(), Err: problem})
		next[slug] = g
	}
	for slug, g := range old {
		if _, kept := next[slug]; !kept {
			change.Removed = append(change.Removed, slug)
			p.leave(g)
			g.close(function.ErrNotFound, ReasonCodeChanged)
		}
	}
	slices.Sort(change.Removed)
	p.groups.Store(&next)
	return change, nil
}

// Close retires all workers, waiting for their requests and background work
// until ctx ends, and returns when no process and no goroutine is left. It
// returns an error that says how many workers were cut short, if any.
func (p *Pool) Close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	groups := p.all()
	p.mu.Unlock()
	for _, g := range groups {
		g.close(function.ErrClosed, ReasonTermination)
	}
	p.cancel()
	defer func() {
		p.unguard()
		p.guards.Wait()
	}()
	drained := make(chan struct{})
	go func() {
		p.warm.close()
		p.wg.Wait()
		close(drained)
	}()
	defer p.hurry()
	select {
	case <-drained:
		return nil
	case <-ctx.Done():
	}
	var cut []*worker.Worker
	for _, g := range groups {
		cut = append(cut, g.running()...)
	}
	p.hurry() // also for a worker whose start ends just now
	var stops sync.WaitGroup
	for _, w := range cut {
		stops.Go(w.Stop)
	}
	stops.Wait()
	<-drained
	if len(cut) > 0 {
		return fmt.Errorf("stop workers: %d did not finish in time and were ended", len(cut))
	}
	return nil
}

// leave remembers the group of a removed function while it has workers.
func (p *Pool) leave(g *group) {
	p.leavingMu.Lock()
	defer p.leavingMu.Unlock()
	p.leaving = append(p.leaving, g)
}

// forget drops those that have none left.
func (p *Pool) forget() {
	p.leavingMu.Lock()
	defer p.leavingMu.Unlock()
	p.leaving = slices.DeleteFunc(p.leaving, (*group).empty)
}

// all returns every group that may have workers.
func (p *Pool) all() []*group { return p.appendAll(nil) }

// appendAll is all for those who ask often.
func (p *Pool) appendAll(to []*group) []*group {
	p.leavingMu.Lock()
	defer p.leavingMu.Unlock()
	groups := *p.groups.Load()
	to = slices.Grow(to, len(p.leaving)+len(groups))
	return slices.AppendSeq(append(to, p.leaving...), maps.Values(groups))
}

// Stats are counts of what the pool holds now. Workers and InFlight include
// those of functions that were changed or removed and finish.
type Stats struct {
	Functions, Workers, Idle, Starting, InFlight, Queued int
}

// Stats counts.
func (p *Pool) Stats() Stats {
	s := Stats{Functions: len(*p.groups.Load()), Idle: p.warm.count()}
	for _, g := range p.all() {
		g.count(&s)
	}
	return s
}

// sameRun reports whether workers of a can go on for b.
func sameRun(a, b *function.Function) bool {
	x, y := *a, *b
	for _, f := range []*function.Function{&x, &y} { // who is let in is not the workers' business
		f.VerifyJWT = false
		f.Limits.Rate, f.Limits.MaxBody, f.Limits.MaxQueue, f.Limits.QueueTime = function.Rate{}, 0, 0, 0
	}
	x.EnvSource, y.EnvSource = nil, nil
	return reflect.DeepEqual(x, y)
}

// Warm starts a worker of the function if it has none, without a request.
func (p *Pool) Warm(slug string) {
	g, ok := (*p.groups.Load())[slug]
	if !ok {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.warm()
}
