package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/selvedge-dev/selvedge/internal/bundle"
	"github.com/selvedge-dev/selvedge/internal/cgroup"
	"github.com/selvedge-dev/selvedge/internal/config"
	"github.com/selvedge-dev/selvedge/internal/confine"
	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/deno/release"
	"github.com/selvedge-dev/selvedge/internal/egress"
	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/npmrc"
	"github.com/selvedge-dev/selvedge/internal/worker"
)

// ensureDeno finds or fetches the Deno binary of a platform, saying on w how it
// goes.
func ensureDeno(ctx context.Context, w io.Writer, cfg *config.Config, platform release.Platform) (release.Binary, error) {
	npm, err := npmrc.Load(npmrc.Options{ProjectDir: cfg.Functions})
	if err != nil {
		return release.Binary{}, usage(err)
	}
	warnAll(w, npm.Warnings()...)
	binary, err := release.Ensure(ctx, release.Options{
		DataDir: cfg.DataDir, Platform: platform, NPM: npm, Override: cfg.Deno, Progress: release.ProgressBar(w),
	})
	if err != nil {
		return binary, err
	}
	if binary.Warning != "" {
		warnAll(w, binary.Warning)
	}
	return binary, nil
}

// An engine is what building and running functions needs.
type engine struct {
	binary  release.Binary
	builder *bundle.Builder
	host    *worker.Host
	runDir  *worker.RunDir
	// groups are the system's control groups; where there are none, noGroups says
	// why.
	groups   *cgroup.Tree
	noGroups string
}

// newEngine prepares the data folder and a folder for workers.
func newEngine(ctx context.Context, w io.Writer, cfg *config.Config) (*engine, error) {
	binary, err := ensureDeno(ctx, w, cfg, release.HostPlatform())
	if err != nil {
		return nil, err
	}
	prebuilt, err := usePrebuilt(w, cfg, binary)
	if err != nil {
		return nil, err
	}
	bootstrap := ""
	if prebuilt != "" {
		bootstrap = deno.FindBootstrap(filepath.Join(prebuilt, "runtime"))
	}
	if bootstrap == "" {
		if bootstrap, err = deno.InstallBootstrap(filepath.Join(cfg.DataDir, "runtime")); err != nil {
			return nil, err
		}
	}
	cache := filepath.Join(cfg.DataDir, "cache")
	if err := deno.PrepareCacheDir(cache); err != nil {
		return nil, err
	}
	var prebuiltBundles string
	if prebuilt != "" {
		prebuiltBundles = bundle.BundleDir(prebuilt)
		if err := deno.SeedCodeCache(filepath.Join(prebuilt, "cache"), cache); err != nil {
			return nil, err
		}
	}
	deny := egress.NewDeny(cfg.DenyNet)
	runDir, err := worker.OpenRunDir()
	if err != nil {
		return nil, err
	}
	host := &worker.Host{
		RunDir:   runDir.Path,
		Confiner: confiner(cfg),
		Runtime: deno.Runtime{
			Binary:      binary.Path,
			Bootstrap:   bootstrap,
			BundleDir:   bundle.BundleDir(cfg.DataDir),
			PrebuiltDir: prebuiltBundles,
			CacheDir:    cache,
			Deny:        deny,
		},
	}
	if err := host.OwnUsers(workerUsers(cfg, host)); err != nil {
		return nil, errors.Join(err, runDir.Close())
	}
	warnAll(w, host.FitWalls(ctx)...)
	builder, err := bundle.NewBuilder(bundle.Options{
		Deno: binary.Path, DenoVersion: binary.Version, DataDir: cfg.DataDir, Prebuilt: prebuilt, Environ: buildEnviron(os.Environ()),
		Deny: deny, Hide: true, Confiner: host.Confiner,
	})
	if err != nil {
		return nil, errors.Join(err, runDir.Close())
	}
	e := &engine{binary: binary, builder: builder, runDir: runDir, host: host}
	e.openGroups(cfg)
	host.Warn = func(line string) { warnAll(w, line) }
	return e, nil
}

// usePrebuilt returns the prebuilt folder, "" where there is none or it is of no
// use to this version.
func usePrebuilt(w io.Writer, cfg *config.Config, binary release.Binary) (string, error) {
	if cfg.Prebuilt == "" {
		return "", nil
	}
	marker, err := bundle.ReadMarker(cfg.Prebuilt)
	if err != nil {
		return "", usage(fmt.Errorf("%s holds no prebuilt functions: %w; make them with `selvedge bundle --out %s`", cfg.Prebuilt, err, cfg.Prebuilt))
	}
	if want := bundle.NewMarker(binary.Version); marker != want {
		warnAll(w, fmt.Sprintf("what is prebuilt in %s was made with Deno %s (format %d), this is %s (%d): functions are built at their first call; run `selvedge bundle --out` again",
			cfg.Prebuilt, marker.Deno, marker.Format, want.Deno, want.Format))
		return "", nil
	}
	// Deno resolves links in what it reports.
	return filepath.EvalSymlinks(cfg.Prebuilt)
}

// warnUnbuilt says which functions the prebuilt folder has not as they are.
func warnUnbuilt(w io.Writer, e *engine, set *function.Set) {
	if e.host.Runtime.PrebuiltDir == "" {
		return
	}
	for _, f := range set.Functions() {
		if err := e.builder.CheckPrebuilt(f); err != nil {
			warnAll(w, fmt.Sprintf("%s is not prebuilt: %v; it is built at its first call", f.Slug, err))
		}
	}
}

func confiner(cfg *config.Config) *confine.Confiner {
	if cfg.SystemWalls == "off" {
		return confine.Off("switched off by --system-walls")
	}
	return confine.New()
}

// workerUsers are what workers run as. Where there are none the confiner says
// why.
func workerUsers(cfg *config.Config, host *worker.Host) *worker.Users {
	for _, ids := range cfg.WorkerUIDs {
		if confine.Mapped(ids.First, ids.Last) {
			return worker.NewUsers(ids.First, ids.Last)
		}
	}
	if host.Confiner.On(confine.OwnUser) {
		why := "switched off by --worker-uids"
		if len(cfg.WorkerUIDs) > 0 {
			why = "the server's user namespace has no such users; name some that it has with --worker-uids"
		}
		host.Confiner = host.Confiner.Without(confine.OwnUser, why)
	}
	return nil
}

// groupMaker gives the host control groups under the name it knows.
type groupMaker struct{ *cgroup.Tree }

func (m groupMaker) Make(l cgroup.Limits) (worker.Group, error) {
	g, err := m.Tree.Make(l)
	if err != nil {
		return nil, err // not g: a nil *cgroup.Group would not be a nil Group
	}
	return g, nil
}

// openGroups is called when no process of the engine runs.
func (e *engine) openGroups(cfg *config.Config) {
	if cfg.SystemWalls == "off" {
		e.noGroups = "switched off by --system-walls"
		return
	}
	tree, err := cgroup.Open()
	if err != nil {
		e.noGroups = err.Error()
		return
	}
	e.groups, e.host.Groups = tree, groupMaker{tree}
}

// Close removes the workers' folder and control groups; all of them must have
// ended.
func (e *engine) Close() error {
	if e.groups != nil {
		e.groups.Close()
	}
	return e.runDir.Close()
}

// gatewayOnly are variables that a bundler has no business with.
var gatewayOnly = []string{"JWT_SECRET", "ANON_KEY", "SERVICE_ROLE_KEY", "SUPABASE_", "SELVEDGE_KEYS", "SELVEDGE_FUNCTION_SECRETS", "AWS_", "ECS_"}

func buildEnviron(environ []string) []string {
	var kept []string
	for _, kv := range environ {
		secret := false
		for _, prefix := range gatewayOnly {
			secret = secret || strings.HasPrefix(kv, prefix)
		}
		if !secret {
			kept = append(kept, kv)
		}
	}
	return kept
}

// workerEnv returns what pool.Options.Env wants.
func workerEnv(cfg *config.Config, project string) func(f *function.Function, version, executionID string) map[string]string {
	return func(f *function.Function, version, executionID string) map[string]string {
		env := map[string]string{}
		for _, kv := range config.FunctionEnv(cfg, f, config.Worker{
			Project: project, Slug: f.Slug, Version: version, ExecutionID: executionID,
		}) {
			name, value, _ := strings.Cut(kv, "=")
			env[name] = value
		}
		return env
	}
}

// deniedPlaces says which places of allow_net are in vain.
func deniedPlaces(cfg *config.Config, set *function.Set) []string {
	deny := egress.NewDeny(cfg.DenyNet)
	var warnings []string
	for _, f := range set.Functions() {
		for _, place := range f.Net.Allow {
			host, _, err := net.SplitHostPort(place)
			if err != nil {
				host = place
			}
			if a, ok := egress.ParseHost(host); ok && deny.Contains(a) {
				warnings = append(warnings, fmt.Sprintf("function %s: allow_net has %s, an address that functions never reach", f.Slug, place))
			}
		}
	}
	return warnings
}

// discover finds the functions and says what is odd about them.
func discover(w io.Writer, cfg *config.Config) (*function.Set, *config.Project, error) {
	set, project, err := cfg.Discover()
	if err != nil {
		return nil, nil, usage(err)
	}
	warnAll(w, cfg.Warnings()...)
	warnAll(w, project.Warnings...)
	warnAll(w, set.Warnings()...)
	warnAll(w, deniedPlaces(cfg, set)...)
	for _, problem := range set.Problems() {
		fmt.Fprintln(w, paint(w, red, "error:"), problem)
	}
	return set, project, nil
}
