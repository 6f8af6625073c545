package pool

import (
	"time"

	"github.com/selvedge-dev/selvedge/internal/worker"
)

// The states of a WorkerInfo.
const (
	WorkerPrestarted = "prestarted" // without a function
	WorkerStarting   = "starting"   // no process of its own yet, or one that loads
	WorkerServing    = "serving"
	WorkerRetiring   = "retiring" // finishing what it has
)

// A WorkerInfo is one worker as it is now.
type WorkerInfo struct {
	// Slug is the function's, "" for a process that waits to be one.
	Slug  string
	State string
	// Reason is why a worker retires.
	Reason string
	// Process is nil for a worker that is being started and has none yet.
	Process *worker.Worker
	// Version is the bundle's, as the function sees it.
	Version string
	// Requests counts those it was given, InFlight those that have not ended.
	Requests, InFlight int
	// Started is when the process was spawned, or the start began.
	Started time.Time
}

// Workers lists all workers. It takes each function's lock for a moment and
// measures nothing.
func (p *Pool) Workers() []WorkerInfo {
	var all []WorkerInfo
	for _, g := range p.all() {
		all = g.appendWorkers(all)
	}
	for _, w := range p.warm.waiting() {
		all = append(all, WorkerInfo{State: WorkerPrestarted, Process: w, Started: w.Started})
	}
	return all
}

func (g *group) appendWorkers(all []WorkerInfo) []WorkerInfo {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.members {
		info := WorkerInfo{
			Slug: g.slug, State: WorkerServing, Process: m.w, Version: m.version,
			Requests: m.served, InFlight: m.inFlight, Started: m.w.Started,
		}
		if !g.serves(m) {
			info.State, info.Reason = WorkerRetiring, m.retiring
		}
		all = append(all, info)
	}
	for _, l := range g.launches {
		info := WorkerInfo{Slug: g.slug, State: WorkerStarting, Started: l.began}
		if l.ward != nil {
			info.Process, info.Started = l.ward.w, l.ward.w.Started
		}
		all = append(all, info)
	}
	return all
}
