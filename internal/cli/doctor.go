package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/selvedge-dev/selvedge/internal/config"
	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/machine"
	"github.com/selvedge-dev/selvedge/internal/npmrc"
)

// A finding is the result of one check.
type finding struct {
	Check string `json:"check"`
	// State is "ok", "warn" or "fail", or "off" for what need not be there.
	State string `json:"state"`
	Found string `json:"found"`
	// Next is what to do about it.
	Next string `json:"next,omitempty"`
}

func newDoctor(s Streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check that functions can be built and run here",
		Long: `Check everything that serving functions needs: Deno, the data folder, the
functions folder, the address, the bundler and a worker that answers; and say
which walls of the system stand around workers, and why others do not. Deno is
downloaded if it is missing. The exit code is 1 when a check fails.`,
		Example: "  selvedge doctor\n  selvedge doctor --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			findings := examine(cmd, s)
			failed := false
			for _, f := range findings {
				failed = failed || f.State == "fail"
			}
			if asJSON {
				enc := json.NewEncoder(s.Out)
				enc.SetIndent("", "  ")
				if err := enc.Encode(findings); err != nil {
					return err
				}
			} else {
				printFindings(s, findings)
			}
			if failed {
				return errSilent
			}
			return nil
		},
	}
	config.Register(cmd.Flags(), config.Dev)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func checkMachine() finding {
	here := machine.Here()
	f := finding{Check: "machine", State: "ok", Found: fmt.Sprintf("%s/%s, %d CPUs", runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0))}
	if here.Memory > 0 {
		f.Found += fmt.Sprintf(", %d MB of memory (by %s)", here.Memory>>20, here.MemorySource)
	}
	f.Found += ", selvedge " + currentVersion()
	if here.Err != nil {
		f.State, f.Next = "warn", here.Err.Error()
	}
	return f
}

func printFindings(s Streams, findings []finding) {
	width := 0
	for _, f := range findings {
		width = max(width, len(f.Check))
	}
	for _, f := range findings {
		mark := paint(s.Out, green, "ok  ")
		switch f.State {
		case "warn":
			mark = paint(s.Out, yellow, "warn")
		case "fail":
			mark = paint(s.Out, red, "FAIL")
		case "off":
			mark = paint(s.Out, yellow, "off ")
		}
		fmt.Fprintf(s.Out, "%s  %-*s  %s\n", mark, width, f.Check, f.Found)
		if f.Next != "" {
			fmt.Fprintf(s.Out, "%*s→ %s\n", width+8, "", f.Next)
		}
	}
}

// examine runs the checks in the order in which one needs the other.
func examine(cmd *cobra.Command, s Streams) []finding {
	var out []finding
	add := func(check, state, found, next string) {
		out = append(out, finding{Check: check, State: state, Found: found, Next: next})
	}
	out = append(out, checkMachine())
	cfg, err := resolve(cmd, config.Dev)
	var missing *config.FolderError
	if errors.As(err, &missing) {
		add("functions", "warn", "there is no functions folder here", "make one with `selvedge new hello`")
		cfg, err = resolveWithout(cmd)
	}
	if err != nil {
		add("config", "fail", err.Error(), "")
		return out
	}
	if missing == nil {
		out = append(out, checkFunctions(cfg))
	}
	out = append(out, checkAddress(cfg), checkRegistry(cfg))
	engine, err := newEngine(cmd.Context(), s.Err, cfg)
	if err != nil {
		add("deno", "fail", err.Error(), "")
		return out
	}
	defer engine.Close()
	state, next := "ok", ""
	if engine.binary.Warning != "" {
		state, next = "warn", engine.binary.Warning
	}
	add("deno", state, fmt.Sprintf("%s at %s", engine.binary.Version, engine.binary.Path), next)
	add("data", "ok", cfg.DataDir, "")
	out = append(out, checkWorker(cmd.Context(), engine)...)
	return append(out, checkWalls(engine)...)
}

// checkWalls says what the system has to keep workers in their place. None of
// it has to be there.
func checkWalls(e *engine) []finding {
	var out []finding
	bundles := finding{"bundles", "ok", "a function cannot find out the names of others' bundles", ""}
	if info, err := os.Stat(e.host.Runtime.BundleDir); err != nil || info.Mode().Perm()&0o444 != 0 {
		bundles.State, bundles.Found = "warn", fmt.Sprintf("a function can find out the names of others' bundles, and read them: %s is open to be listed", e.host.Runtime.BundleDir)
		bundles.Next = "give the folder to the user that runs Selvedge, or choose another --data-dir"
	}
	out = append(out, bundles)
	for _, l := range e.host.Confiner.Layers() {
		f := finding{Check: l.Name, State: "ok", Found: "on: " + l.Detail}
		if !l.On {
			f.State, f.Found = "off", "off: "+l.Detail
		}
		out = append(out, f)
	}
	groups := finding{"control groups", "off", "off: " + e.noGroups, ""}
	if e.groups != nil {
		groups.State, groups.Found = "ok", fmt.Sprintf("on: each worker has one below %s, which bounds memory, threads and its share of the processors", e.groups)
	}
	return append(out, groups)
}

// resolveWithout is the configuration with an empty functions folder, for the
// checks that need none.
func resolveWithout(cmd *cobra.Command) (*config.Config, error) {
	empty, err := os.MkdirTemp("", "selvedge-doctor-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(empty)
	if err := cmd.Flags().Set("functions", empty); err != nil {
		return nil, err
	}
	return resolve(cmd, config.Dev)
}

func checkFunctions(cfg *config.Config) finding {
	f := finding{Check: "functions", State: "ok"}
	set, project, err := cfg.Discover()
	if err != nil {
		f.State, f.Found = "fail", err.Error()
		return f
	}
	f.Found = fmt.Sprintf("%d in %s", set.Len(), cfg.Functions)
	if n := len(set.Problems()); n > 0 {
		f.State = "fail"
		f.Found += fmt.Sprintf(", and %d that cannot be run", n)
		f.Next = "`selvedge config` says why"
	} else if n := len(project.Warnings) + len(set.Warnings()); n > 0 {
		f.State = "warn"
		f.Found += fmt.Sprintf(", %d warnings", n)
		f.Next = "`selvedge config` prints them"
	}
	return f
}

func checkAddress(cfg *config.Config) finding {
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return finding{"address", "warn", err.Error(), "a server may be running already; choose another address with --listen"}
	}
	l.Close()
	return finding{"address", "ok", cfg.Listen + " is free", ""}
}

func checkRegistry(cfg *config.Config) finding {
	npm, err := npmrc.Load(npmrc.Options{ProjectDir: cfg.Functions})
	if err != nil {
		return finding{"registry", "fail", err.Error(), ""}
	}
	return finding{"registry", "ok", npmrc.RedactURL(npm.RegistryFor("@deno/linux-x64-glibc")), ""}
}

// checkWorker builds a function made on the spot and has it answer.
func checkWorker(ctx context.Context, e *engine) []finding {
	root, err := os.MkdirTemp("", "selvedge-doctor-")
	if err != nil {
		return []finding{{"bundler", "fail", err.Error(), "set TMPDIR to a writable folder"}}
	}
	defer os.RemoveAll(root)
	dir := filepath.Join(root, "functions", "probe")
	entry := filepath.Join(dir, "index.ts")
	source := []byte("const answer: string = \"ok\";\nDeno.serve(() => new Response(answer));\n")
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(entry, source, 0o644)); err != nil {
		return []finding{{"bundler", "fail", err.Error(), "set TMPDIR to a writable folder"}}
	}
	set, err := function.Discover(function.Options{Root: filepath.Dir(dir)})
	if err != nil {
		return []finding{{"bundler", "fail", err.Error(), ""}}
	}
	f, ok := set.Lookup("probe")
	if !ok {
		return []finding{{"bundler", "fail", fmt.Sprint(set.Problems()), ""}}
	}
	built, err := e.builder.Build(ctx, f)
	if err != nil {
		return []finding{{"bundler", "fail", err.Error(), "the bundler is fetched from the npm registry once: check the network and the registry above"}}
	}
	out := []finding{{"bundler", "ok", fmt.Sprintf("built a function in %.1f ms", ms(built.Took)), ""}}
	began := time.Now()
	env := func(*function.Function, string, string) map[string]string { return nil }
	if err := warmOne(ctx, e, env, f, built); err != nil {
		return append(out, finding{"worker", "fail", err.Error(), "run Deno by hand: " + e.binary.Path + " --version"})
	}
	return append(out, finding{"worker", "ok", fmt.Sprintf("started, loaded and stopped in %.1f ms (heap limit %d MB)", ms(time.Since(began)), deno.Profile{MemoryMB: f.Limits.MemoryMB}.MemoryMB), ""})
}
