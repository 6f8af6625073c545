package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/selvedge-dev/selvedge/internal/config"
	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/watch"
)

// maxListed bounds the functions that are listed at the start.
const maxListed = 30

func newDev(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Serve the functions on this machine and reload them on save",
		Long: `Serve the functions of ./functions, ./supabase/functions or examples/functions,
whichever is there, on http://localhost:9000. A change to a function, to what it
imports, to config.toml or to an env file takes effect with the next request;
requests that are running finish on the old code.`,
		Example: `  selvedge dev
  selvedge dev --functions ./supabase/functions --env-file .env.local
  selvedge dev --inspect hello    # debug with Chrome: open chrome://inspect`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := resolve(cmd, config.Dev)
			if err != nil {
				return err
			}
			set, project, err := discover(s.Err, cfg)
			if err != nil {
				return err
			}
			if cfg.Inspect != "" {
				if _, ok := set.Lookup(cfg.Inspect); !ok {
					return usage(fmt.Errorf("--inspect %s: there is no such function in %s", cfg.Inspect, cfg.Functions))
				}
			}
			srv, err := startServer(cmd.Context(), s, cfg, set, project)
			if err != nil {
				return err
			}
			srv.resolve = func() (*config.Config, error) { return resolve(cmd, config.Dev) }
			printBanner(s.Err, srv, set)
			ctx, cancel := context.WithCancel(cmd.Context())
			stopped := make(chan struct{})
			go func() {
				defer close(stopped)
				srv.reload(ctx, s.Err, set)
			}()
			err = srv.run(ctx, s.Err)
			cancel()
			<-stopped
			return err
		},
	}
	config.Register(cmd.Flags(), config.Dev)
	return cmd
}

// reload applies what changes on disk until ctx ends.
func (s *server) reload(ctx context.Context, w io.Writer, set *function.Set) {
	roots := s.watched(set)
	watcher, err := watch.New(watch.Options{Roots: roots, Log: s.log})
	if err != nil {
		s.log.Error("changes are not noticed: watching files failed; restart after an edit", "err", err)
		return
	}
	defer func() { watcher.Close() }()
	for {
		select {
		case <-ctx.Done():
			return
		case change, ok := <-watcher.Changes():
			if !ok {
				return
			}
			set = s.apply(w, set, change.Paths)
		}
		// What a function imports can lie in places that were not watched yet.
		if next := s.watched(set); !slices.Equal(next, roots) {
			again, err := watch.New(watch.Options{Roots: next, Log: s.log})
			if err != nil {
				s.log.Error("watching files failed", "err", err)
				continue
			}
			watcher.Close()
			watcher, roots = again, next
			set = s.apply(w, set, nil) // for what changed in between
		}
	}
}

// apply looks at the disk again and replaces what changed. paths are the files
// that did; functions they belong to are started, so that a mistake shows in
// the terminal without a request.
func (s *server) apply(w io.Writer, before *function.Set, paths []string) *function.Set {
	// Resolved again, because config.toml itself may have come or gone.
	cfg, err := s.resolve()
	if err != nil {
		s.log.Error("the configuration cannot be read; the functions stay as they were", "err", err)
		return before
	}
	set, project, err := cfg.Discover()
	if err != nil {
		s.log.Error("the configuration cannot be read; the functions stay as they were", "err", err)
		return before
	}
	for _, warning := range append(project.Warnings, set.Warnings()...) {
		if !slices.Contains(before.Warnings(), warning) && paths != nil {
			warnAll(w, warning)
		}
	}
	for slug, problem := range set.Problems() {
		if before.Problem(slug) == nil || before.Problem(slug).Error() != problem.Error() {
			fmt.Fprintln(w, paint(w, red, "error:"), problem)
		}
	}
	change, err := s.pool.Apply(set)
	if err != nil {
		if !errors.Is(err, function.ErrClosed) {
			s.log.Error("applying the change failed", "err", err)
		}
		return before
	}
	say := func(what string, slugs []string) {
		if len(slugs) > 0 {
			fmt.Fprintln(w, paint(w, dim, what+" "+strings.Join(slugs, ", ")))
		}
	}
	say("added", change.Added)
	say("removed", change.Removed)
	say("reloading", change.Updated)
	for _, f := range set.Functions() {
		if slices.Contains(change.Added, f.Slug) || slices.ContainsFunc(paths, func(p string) bool { return inside(f, p) }) {
			s.pool.Warm(f.Slug)
		}
	}
	return set
}

func inside(f *function.Function, path string) bool {
	for _, dir := range []string{f.Dir, f.RealDir} {
		if rel, err := filepath.Rel(dir, path); err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
			return true
		}
	}
	return false
}

// watched are the places that decide what is served.
func (s *server) watched(set *function.Set) []string {
	roots := []string{s.cfg.Functions}
	add := func(path string) {
		if path != "" && !strings.HasPrefix(path, s.cfg.Functions+string(filepath.Separator)) {
			roots = append(roots, path)
		}
	}
	add(s.cfg.ProjectFile)
	if s.cfg.ProjectFile == "" {
		add(filepath.Join(filepath.Dir(s.cfg.Functions), "config.toml")) // it may come
	}
	add(s.cfg.EnvFile)
	for _, f := range set.Functions() {
		add(f.Imports.File())
		add(f.NPMRC)
		if !strings.HasPrefix(f.Dir, s.cfg.Functions+string(filepath.Separator)) {
			add(f.Dir)
		}
		for _, path := range append(s.engine.builder.Inputs(f), f.Static...) {
			add(path)
		}
	}
	slices.Sort(roots)
	return slices.Compact(roots)
}
