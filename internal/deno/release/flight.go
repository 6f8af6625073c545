package release

import (
	"context"
	"sync"
)

// running holds the installations under way in this process, by folder. It is
// the process's, like the lock on the folder that it stands in front of.
var running = flights{byDir: map[string]*flight{}}

// flights lets callers that want the same folder share one run. Unlike
// singleflight of x/sync a run does not end with the context of the caller
// that happened to come first, but when nobody waits for it any more.
type flights struct {
	mu    sync.Mutex
	byDir map[string]*flight
}

type flight struct {
	cancel context.CancelFunc
	done   chan struct{}
	// err is set before done is closed.
	err error

	// mu is held during reports too: who has left hears nothing more.
	mu        sync.Mutex
	next      int
	listeners map[int]func(Event)
}

// do runs fn, or waits for the run that another caller has begun.
func (g *flights) do(ctx context.Context, dir string, progress func(Event), fn func(context.Context, func(Event)) error) error {
	g.mu.Lock()
	f, joined := g.byDir[dir]
	if !joined {
		f = &flight{done: make(chan struct{}), listeners: map[int]func(Event){}}
		g.byDir[dir] = f
	}
	// The first caller listens before the run begins, or it would miss the
	// beginning.
	id := f.join(progress)
	if !joined {
		runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		f.cancel = cancel
		go func() {
			defer close(f.done)
			defer cancel()
			f.err = fn(runCtx, f.report)
			g.mu.Lock()
			g.forget(dir, f)
			g.mu.Unlock()
		}()
	}
	g.mu.Unlock()

	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
	}

	g.mu.Lock()
	last := f.leave(id)
	if last {
		// Whoever comes now must not join a run that is being ended.
		g.forget(dir, f)
		f.cancel()
	}
	g.mu.Unlock()
	if last {
		<-f.done
		return f.err
	}
	return ctx.Err()
}

func (g *flights) forget(dir string, f *flight) {
	if g.byDir[dir] == f {
		delete(g.byDir, dir)
	}
}

func (f *flight) join(progress func(Event)) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next++
	f.listeners[f.next] = progress
	return f.next
}

// leave reports whether nobody is left.
func (f *flight) leave(id int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.listeners, id)
	return len(f.listeners) == 0
}

func (f *flight) report(e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, progress := range f.listeners {
		if progress != nil {
			progress(e)
		}
	}
}
