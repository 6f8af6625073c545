package pool

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"time"

	"github.com/selvedge-dev/selvedge/internal/bundle"
	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/worker"
)

// start brings up one worker and hands it, or the failure, to the group.
func (g *group) start(f *function.Function, generation int) {
	defer g.p.wg.Done()
	defer g.p.active.Add(-1)
	boot := Boot{Slug: f.Slug}
	began := time.Now()
	w, err := g.p.bring(f, &boot)
	boot.Total = time.Since(began)
	if err != nil {
		g.started(nil, generation, err)
		return
	}
	boot.ExecutionID = w.ID
	g.p.opts.Observer.Boot(boot)
	g.started(&member{
		g: g, w: w, generation: generation, client: w.Upstream(), absolute: w.Absolute(),
	}, generation, nil)
}

// bring builds, spawns and loads. The phases go into boot.
func (p *Pool) bring(f *function.Function, boot *Boot) (*worker.Worker, error) {
	began := time.Now()
	select {
	case p.starts <- struct{}{}:
		defer func() { <-p.starts }()
	case <-p.ctx.Done():
		return nil, function.ErrClosed
	}
	boot.Queue = time.Since(began)
	built, err := p.opts.Builder.Build(p.ctx, f)
	if err != nil {
		return nil, p.startError(f, "bundle", err)
	}
	w, err := p.load(f, built, boot)
	var fault *function.BootError
	if errors.As(err, &fault) && built.Packages && built.Unbundled == (deno.Unbundled{}) {
		// Packages can do what a bundle cannot hold, such as requiring a file
		// whose name they compute. If the source runs, that was it.
		if plain, berr := p.opts.Builder.BuildUnbundled(p.ctx, f); berr == nil {
			if again, lerr := p.load(f, plain, boot); lerr == nil {
				return again, nil
			}
		}
	}
	if err != nil {
		return nil, p.startError(f, "load", err)
	}
	return w, nil
}

func (p *Pool) load(f *function.Function, built *bundle.Bundle, boot *Boot) (*worker.Worker, error) {
	boot.Bundle, boot.Cached = built.Took, built.Cached
	boot.Unbundled = built.Unbundled != (deno.Unbundled{})
	profile := p.profile(f, built)
	w := p.warm.take(profile)
	if w == nil {
		var err error
		if w, err = p.opts.Starter.Start(p.ctx, profile); err != nil {
			return nil, err
		}
		boot.Spawn = w.Spawn
	}
	loading := time.Now()
	clean := p.cleaner(built)
	ready, err := w.Load(p.ctx, worker.Assignment{
		Slug:   f.Slug,
		Module: built.Module,
		Env:    p.opts.Env(f, built.Version(), w.ID),
		Boot:   f.Limits.Boot,
		Log: func(r deno.Record) {
			r.Text = clean(r.Text)
			p.opts.Observer.Log(f.Slug, w.ID, r)
		},
	})
	if err != nil {
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

func (p *Pool) profile(f *function.Function, built *bundle.Bundle) deno.Profile {
	profile := deno.Profile{MemoryMB: f.Limits.MemoryMB, Unbundled: built.Unbundled}
	if f.Slug == p.opts.Inspect {
		profile.Inspect = p.opts.InspectAddr
	}
	return profile
}

// startError makes every failure of a start one that a caller can be told.
func (p *Pool) startError(f *function.Function, stage string, err error) error {
	var fault *function.BootError
	switch {
	case errors.As(err, &fault):
		return err
	case p.ctx.Err() != nil || errors.Is(err, context.Canceled):
		return function.ErrClosed
	default:
		return &function.BootError{Slug: f.Slug, Stage: stage, Message: err.Error(), Err: err}
	}
}

// cleaner returns what makes stack traces read like the user's project: paths
// relative to it, and nothing of the bootstrap.
func (p *Pool) cleaner(built *bundle.Bundle) func(string) string {
	prefix := "file://" + filepath.ToSlash(built.Dir) + "/"
	hide := append([]string{" (ext:", " ext:"}, p.opts.Hide...)
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
