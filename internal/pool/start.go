package pool

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/selvedge-dev/selvedge/internal/bundle"
	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/worker"
)

// A launch is the start of one worker.
type launch struct {
	fn         *function.Function
	generation int
	began      time.Time
	// ctx ends when the function changes: nobody wants the worker then.
	ctx context.Context
	// after are launches of earlier generations that were building.
	after []*launch
	// built is closed when this one does not build any more.
	built chan struct{}
	// line is the group's.
	line *line
	// first is set when the function had no worker.
	first bool
	// checked and fails are the group's when it began.
	checked, fails int
	// ward is the worker that loads, nil for none. It is guarded by the group's
	// lock.
	ward *ward
}

// start brings up one worker and hands it, or the failure, to the group.
func (g *group) start(l *launch) {
	defer g.p.wg.Done()
	defer g.p.active.Add(-1)
	boot := Boot{Slug: l.fn.Slug}
	built, err := g.build(l)
	close(l.built)
	var w *worker.Worker
	if err == nil {
		w, built, err = g.bring(l, built, &boot)
	}
	boot.Total = time.Since(l.began)
	if err != nil {
		g.started(l, nil, err)
		return
	}
	g.pin(l, built)
	boot.ExecutionID = w.ID
	g.p.opts.Observer.Boot(boot)
	g.started(l, &member{
		g: g, w: w, generation: l.generation, bundle: built.Name, version: built.Version(), client: w.Upstream(), absolute: w.Absolute(),
		ward: l.ward, born: g.p.clock.now(),
	}, nil)
}

// build makes the bundle. Calls of Build at the same time share one result, so
// one that began before the function changed must be over.
func (g *group) build(l *launch) (*bundle.Bundle, error) {
	if pinned := g.pin(l, nil); pinned != nil {
		return pinned, nil
	}
	for _, earlier := range l.after {
		<-earlier.built // soon: its context has ended
	}
	l.after = nil
	built, err := g.p.opts.Builder.Build(l.ctx, l.fn)
	if err != nil {
		return nil, startError(l, "bundle", err)
	}
	return built, nil
}

// pin returns what was pinned for the launch's generation, if it is still
// there. It pins b before that unless there is something or b is nil.
func (g *group) pin(l *launch, b *bundle.Bundle) *bundle.Bundle {
	if !g.p.opts.Pin {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if l.generation != g.generation {
		return nil
	}
	if g.pinned != nil {
		if _, err := os.Stat(g.pinned.Module); err != nil {
			g.pinned = nil // somebody cleared the data folder
		}
	}
	if b != nil && g.pinned == nil {
		g.pinned = b
	}
	if g.pinned == nil {
		return nil
	}
	known := *g.pinned
	known.Cached, known.Took = true, 0
	return &known
}

// bring spawns and loads. The phases go into boot. The bundle it returns is
// the one that runs.
func (g *group) bring(l *launch, built *bundle.Bundle, boot *Boot) (*worker.Worker, *bundle.Bundle, error) {
	p := g.p
	w, err := g.load(l, built, boot)
	var fault *function.BootError
	if errors.As(err, &fault) && built.Packages && built.Unbundled == (deno.Unbundled{}) {
		// Packages can do what a bundle cannot hold, such as requiring a file
		// whose name they compute. If the source runs, that was it.
		if plain, berr := p.opts.Builder.BuildUnbundled(l.ctx, l.fn); berr == nil {
			if again, lerr := g.load(l, plain, boot); lerr == nil {
				if kerr := plain.Keep(); kerr != nil {
					p.opts.Log.Warn("the next start looks again for how the function runs", "function", l.fn.Slug, "err", kerr)
				}
				return again, plain, nil
			}
		}
	}
	if err != nil {
		return nil, nil, startError(l, "load", err)
	}
	return w, built, nil
}

func (g *group) load(l *launch, built *bundle.Bundle, boot *Boot) (*worker.Worker, error) {
	p, f := g.p, l.fn
	boot.Bundle, boot.Cached = built.Took, built.Cached
	boot.Unbundled = built.Unbundled != (deno.Unbundled{})
	queued := time.Now()
	leave, err := p.starts.enter(l.ctx, l.line)
	if err != nil {
		return nil, err
	}
	defer leave()
	boot.Queue += time.Since(queued)
	profile := p.profile(f, built)
	w := p.warm.take(profile, l.first)
	if w == nil {
		if w, err = p.spawn(l.ctx, profile); err != nil {
			return nil, err
		}
		boot.Spawn = w.Spawn
	}
	bare, _ := w.Memory()
	g.loading(l, &ward{w: w, limits: f.Limits, bare: bare})
	if g.toBlame() { // after it is known to who may come to blame it now
		w.GiveWay()
	}
	loading := time.Now()
	clean := p.cleaner(built)
	ready, err := w.Load(l.ctx, worker.Assignment{
		Slug:   f.Slug,
		Module: built.Module,
		Env:    p.opts.Env(f, built.Version(), w.ID),
		Boot:   f.Limits.Boot,
		Net:    f.Net,
		TmpMB:  f.Limits.TmpMB,
		Files:  f.Limits.MostOpenFiles(),
		Lines:  f.Limits.LogLines,
		Log: func(r deno.Record) {
			r.Text = clean(r.Text)
			p.opts.Observer.Log(f.Slug, w.ID, r)
		},
	})
	if err != nil {
		g.loading(l, nil)
		w.Stop()
		var fault *function.BootError
		if errors.As(err, &fault) {
			fault.Message, fault.Detail = clean(fault.Message), clean(fault.Detail)
		}
		return nil, err
	}
	boot.Load, boot.Evaluate = time.Since(loading), ready.Evaluate
	return w, nil
}

// loading has the launch's worker looked after while it loads.
func (g *group) loading(l *launch, d *ward) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l.ward = d
}

func (p *Pool) profile(f *function.Function, built *bundle.Bundle) deno.Profile {
	profile := worker.ProfileOf(f, built.Unbundled)
	if f.Slug == p.opts.Inspect {
		profile.Inspect = p.opts.InspectAddr
	}
	return profile
}

// startError makes every failure of a start one that a caller can be told.
func startError(l *launch, stage string, err error) error {
	var fault *function.BootError
	switch {
	case errors.As(err, &fault):
		return err
	case l.ctx.Err() != nil:
		return function.ErrClosed // or changed, and then nobody is told
	default:
		return &function.BootError{Slug: l.fn.Slug, Stage: stage, Message: err.Error(), Err: err}
	}
}

// cleaner returns what makes stack traces read like the user's project: paths
// relative to it, and nothing of the bootstrap.
func (p *Pool) cleaner(built *bundle.Bundle) func(string) string {
	prefix := fileURL(built.Dir) + "/"
	hide := []string{" (ext:", " ext:"}
	for _, h := range p.opts.Hide {
		hide = append(hide, h, strings.TrimPrefix(fileURL(h), "file://"))
	}
	return func(text string) string {
		if !strings.Contains(text, "    at ") && !strings.Contains(text, prefix) {
			return text
		}
		lines := strings.Split(strings.ReplaceAll(text, prefix, ""), "\n")
		kept := lines[:0]
		for _, line := range lines {
			hidden := false
			if strings.HasPrefix(strings.TrimLeft(line, " "), "at ") {
				for _, h := range hide {
					hidden = hidden || strings.Contains(line, h)
				}
			}
			if !hidden {
				kept = append(kept, line)
			}
		}
		return strings.Join(kept, "\n")
	}
}

// fileURL is how Deno names a file: escaped where the path has a space.
func fileURL(path string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(path)}).String()
}
