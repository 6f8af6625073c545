package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/selvedge-dev/selvedge/internal/bundle"
	"github.com/selvedge-dev/selvedge/internal/config"
	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/worker"
)

// A bundleRow is what `selvedge bundle` reports about a function.
type bundleRow struct {
	Slug  string `json:"slug"`
	Bytes int64  `json:"bytes"`
	// BuildMS is the time to build, or to find the bundle unchanged; WarmMS
	// the time to load it once.
	BuildMS   float64 `json:"build_ms"`
	WarmMS    float64 `json:"warm_ms"`
	Cached    bool    `json:"cached"`
	Unbundled bool    `json:"unbundled"`
	Version   string  `json:"version,omitempty"`
	Warning   string  `json:"warning,omitempty"`
	Error     string  `json:"error,omitempty"`
	Detail    string  `json:"detail,omitempty"`
}

func newBundle(s Streams) *cobra.Command {
	var asJSON, noWarm bool
	var out string
	cmd := &cobra.Command{
		Use:   "bundle [NAME...]",
		Short: "Build functions ahead of time",
		Long: `Build the bundles of all functions, or of those named, and load each once so
that its code cache is warm: the first request then finds everything ready.
Loading runs the top level of a function; --no-warm leaves it out.

With --out the bundles go to a folder, with the packages that some functions
need beside theirs: selvedge serve --prebuilt DIR starts from it without
building anything, also where it cannot be written to and there is no network.
The code cache in it holds for the path that it is made at.`,
		Example: `  selvedge bundle
  selvedge bundle --out /app/data
  selvedge bundle hello --json`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, names []string) error {
			cfg, err := resolve(cmd, config.Build)
			if err != nil {
				return err
			}
			set, project, err := discover(s.Err, cfg)
			if err != nil {
				return err
			}
			chosen := set.Functions()
			if len(names) > 0 {
				chosen = nil
				for _, name := range names {
					f, ok := set.Lookup(name)
					if !ok {
						return usage(fmt.Errorf("there is no function %q in %s", name, cfg.Functions))
					}
					chosen = append(chosen, f)
				}
			}
			// So that no bundler or worker outlives an interrupt.
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			engine, err := newEngine(ctx, s.Err, cfg)
			if err != nil {
				return err
			}
			defer engine.Close()
			rows, err := bundleTo(ctx, engine, cfg, project, chosen, out, !noWarm)
			if err != nil {
				return err
			}
			if err := printBundles(s, rows, asJSON); err != nil {
				return err
			}
			if ctx.Err() != nil {
				return errors.New("interrupted; what was built stays built, run the command again for the rest")
			}
			failed := slices.ContainsFunc(rows, func(r bundleRow) bool { return r.Error != "" })
			if failed || len(names) == 0 && len(set.Problems()) > 0 {
				return errSilent
			}
			return nil
		},
	}
	config.Register(cmd.Flags(), config.Build)
	cmd.Flags().StringVar(&out, "out", "", "put what serve --prebuilt starts from into `DIR`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&noWarm, "no-warm", false, "do not load the functions")
	return cmd
}

// bundleTo builds into the data folder and, unless out is "", from there into
// the folder out, where functions are then loaded.
func bundleTo(ctx context.Context, e *engine, cfg *config.Config, project *config.Project, chosen []*function.Function, out string, warm bool) ([]bundleRow, error) {
	if out == "" {
		return bundleAll(ctx, e, cfg, project, chosen, warm, nil), nil
	}
	export, err := e.builder.NewExport(out)
	if err != nil {
		return nil, usage(err)
	}
	rows, err := exportAll(ctx, e, cfg, project, chosen, export, warm)
	if err != nil || ctx.Err() != nil {
		return rows, err
	}
	return rows, export.Finish(ctx, true)
}

func exportAll(ctx context.Context, e *engine, cfg *config.Config, project *config.Project, chosen []*function.Function, export *bundle.Export, warm bool) ([]bundleRow, error) {
	var err error
	run := &e.host.Runtime
	if run.Bootstrap, err = deno.InstallBootstrap(filepath.Join(export.Dir, "runtime")); err != nil {
		return nil, err
	}
	run.BundleDir, run.CacheDir = bundle.BundleDir(export.Dir), filepath.Join(export.Dir, "cache")
	if err := deno.PrepareCacheDir(run.CacheDir); err != nil {
		return nil, err
	}
	return bundleAll(ctx, e, cfg, project, chosen, warm, export), nil
}

func bundleAll(ctx context.Context, e *engine, cfg *config.Config, project *config.Project, chosen []*function.Function, warm bool, export *bundle.Export) []bundleRow {
	rows := make([]bundleRow, len(chosen))
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	env := workerEnv(cfg, project.Name())
	var wg sync.WaitGroup
	for i, f := range chosen {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			rows[i] = bundleOne(ctx, e, env, f, warm, export)
		})
	}
	wg.Wait()
	return rows
}

type envFunc func(f *function.Function, version, executionID string) map[string]string

func bundleOne(ctx context.Context, e *engine, env envFunc, f *function.Function, warm bool, export *bundle.Export) bundleRow {
	row := bundleRow{Slug: f.Slug}
	add := func(b *bundle.Bundle, err error) (*bundle.Bundle, error) {
		if export == nil || err != nil {
			return b, err
		}
		return export.Add(ctx, f, b)
	}
	original, err := e.builder.Build(ctx, f)
	built, err := add(original, err)
	if err != nil {
		row.fail(err)
		return row
	}
	row.took(built)
	if !warm {
		return row
	}
	began := time.Now()
	err = warmOne(ctx, e, env, f, built)
	var fault *function.BootError
	if errors.As(err, &fault) && built.Packages && !row.Unbundled {
		if plain, berr := add(e.builder.BuildUnbundled(ctx, f)); berr == nil {
			if lerr := warmOne(ctx, e, env, f, plain); lerr == nil {
				row.took(plain)
				err = plain.Keep()
			} else if _, berr := add(original, nil); berr != nil { // it was no better
				row.fail(berr)
			}
		}
	}
	row.WarmMS = ms(time.Since(began))
	if err != nil {
		// It may need what only the place it is deployed to has.
		row.Warning = "it did not load here: " + err.Error()
	}
	return row
}

// warmOne loads a bundle once, which leaves V8's code cache behind.
func warmOne(ctx context.Context, e *engine, env envFunc, f *function.Function, built *bundle.Bundle) error {
	w, err := e.host.Start(ctx, worker.ProfileOf(f, built.Unbundled))
	if err != nil {
		return err
	}
	defer w.Stop()
	_, err = w.Load(ctx, worker.Assignment{
		Slug: f.Slug, Module: built.Module, Env: env(f, built.Version(), w.ID), Boot: f.Limits.Boot,
	})
	return err
}

func (r *bundleRow) took(b *bundle.Bundle) {
	r.Bytes, r.BuildMS, r.Cached, r.Version = b.Size, ms(b.Took), b.Cached, b.Version()
	r.Unbundled = b.Unbundled != (deno.Unbundled{})
}

func (r *bundleRow) fail(err error) {
	r.Error = err.Error()
	var fault *function.BootError
	if errors.As(err, &fault) {
		r.Error, r.Detail = fault.Message, fault.Detail
	}
}

func ms(d time.Duration) float64 {
	return float64(d.Round(100*time.Microsecond)) / float64(time.Millisecond)
}

func printBundles(s Streams, rows []bundleRow, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(s.Out)
		enc.SetIndent("", "  ")
		return enc.Encode(rows)
	}
	t := tabwriter.NewWriter(s.Out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "FUNCTION\tSIZE\tBUILD\tWARM\tRESULT")
	for _, r := range rows {
		result := "built"
		switch {
		case r.Error != "":
			result = "failed"
		case r.Unbundled:
			result = "runs from source"
		case r.Cached:
			result = "unchanged"
		}
		fmt.Fprintf(t, "%s\t%s\t%.1f ms\t%.1f ms\t%s\n", r.Slug, size(r.Bytes), r.BuildMS, r.WarmMS, result)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, r := range rows {
		if r.Warning != "" {
			warnAll(s.Err, r.Slug+": "+r.Warning)
		}
		if r.Error != "" {
			fmt.Fprintf(s.Err, "%s %s: %s\n%s\n", paint(s.Err, red, "error:"), r.Slug, r.Error, r.Detail)
		}
	}
	return nil
}

// size writes a number of bytes in decimal units.
func size(n int64) string {
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	default:
		return fmt.Sprintf("%d B", n)
	}
}
