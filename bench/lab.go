package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/selvedge-dev/selvedge/internal/deno/release"
)

// A lab is where everything is measured: the programs, and a folder that goes
// when the run ends.
type lab struct {
	root     string // the module's folder
	dir      string
	dataDir  string
	selvedge string
	deno     string
	// denoArgs select the binary for selvedge where it is not the pinned one.
	denoArgs []string
	denoDir  string // the peers' DENO_DIR
	quick    bool
	progress io.Writer
}

// profileFile is what the compiler optimises a release by: see `make profile`.
const profileFile = "cmd/selvedge/serve.pgo"

// newLab builds Selvedge as a release is built, and gets Deno.
func newLab(ctx context.Context, o options, progress io.Writer) (*lab, error) {
	mod, err := output(ctx, "", "go", "env", "GOMOD")
	if err != nil {
		return nil, err
	}
	if mod == "" || mod == os.DevNull {
		return nil, errors.New("run the benchmark in Selvedge's repository")
	}
	dir, err := os.MkdirTemp("", "bench-selvedge-")
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, err
	}
	l := &lab{
		root:     filepath.Dir(mod),
		dir:      dir,
		dataDir:  filepath.Join(dir, "data"),
		denoDir:  filepath.Join(dir, "peer-deno-dir"),
		selvedge: filepath.Join(dir, "selvedge"),
		quick:    o.quick,
		progress: progress,
	}
	fmt.Fprintln(progress, "building selvedge, getting Deno")
	_, err = output(ctx, l.root, "go", "build", "-trimpath", "-pgo="+profileFile, "-ldflags=-s -w", "-o", l.selvedge, "./cmd/selvedge")
	if err == nil {
		err = l.getDeno(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// getDeno takes the binary that SELVEDGE_DENO names, or else puts a copy of the
// pinned one, from the user's own data folder, into the lab's. A copy of its
// own shares no memory pages with other programs' Deno processes, which would
// make ours look smaller than they are.
func (l *lab) getDeno(ctx context.Context) error {
	if chosen := os.Getenv("SELVEDGE_DENO"); chosen != "" {
		binary, err := release.Ensure(ctx, release.Options{Override: chosen})
		l.deno, l.denoArgs = binary.Path, []string{"--deno", binary.Path}
		return err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return fmt.Errorf("find the user's cache folder: %w", err)
	}
	binary, err := release.Ensure(ctx, release.Options{DataDir: filepath.Join(cache, "selvedge")})
	if err != nil {
		return err
	}
	folder := filepath.Dir(binary.Path)
	if err := os.CopyFS(filepath.Join(l.dataDir, "deno", filepath.Base(folder)), os.DirFS(folder)); err != nil {
		return fmt.Errorf("copy Deno: %w", err)
	}
	// This finds the copy, and downloads only if copying was not enough.
	binary, err = release.Ensure(ctx, release.Options{DataDir: l.dataDir})
	l.deno = binary.Path
	return err
}

// close removes the lab's folder. It is an error if a process of the lab is
// left, since every experiment ends what it started.
func (l *lab) close() error {
	left := processesNaming(l.dir)
	for range 20 { // an orphan of an experiment that failed ends by itself
		if len(left) == 0 {
			break
		}
		time.Sleep(100 * time.Millisecond)
		left = processesNaming(l.dir)
	}
	err := os.RemoveAll(l.dir)
	if len(left) > 0 {
		err = errors.Join(err, fmt.Errorf("processes are left: %s", strings.Join(left, "; ")))
	}
	return err
}

// samples is n, or few of them for a smoke test.
func (l *lab) samples(n int) int {
	if l.quick {
		return max(1, n/8)
	}
	return n
}

// environ is the environment of everything that is started: the caller's
// without what would configure Selvedge or Deno otherwise.
func (l *lab) environ(extra ...string) []string {
	var env []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		switch {
		case strings.HasPrefix(name, "SELVEDGE_"), strings.HasPrefix(name, "SUPABASE_"), strings.HasPrefix(name, "DENO_"),
			name == "PORT", name == "JWT_SECRET", name == "CORS_ORIGINS", name == "ENVIRONMENT", name == "SB_REGION",
			name == "REQUIRE_AUTH", name == "VERIFY_JWT", name == "FORCE_COLOR":
		default:
			env = append(env, kv)
		}
	}
	return append(append(env, "NO_COLOR=1", "DENO_NO_UPDATE_CHECK=1"), extra...)
}

// project makes a functions folder with a function for each source and returns
// it. The slugs are those of slug(name, i).
func (l *lab) project(name string, n int, source func(i int) string) (string, error) {
	root := filepath.Join(l.dir, name, "functions")
	for i := range n {
		dir := filepath.Join(root, slug(name, i))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, "index.ts"), []byte(source(i)), 0o644); err != nil {
			return "", err
		}
	}
	return root, nil
}

func slug(name string, i int) string { return fmt.Sprintf("%s-%04d", name, i) }

// script writes a file for a peer to run.
func (l *lab) script(name, source string) (string, error) {
	dir := filepath.Join(l.dir, "peer")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	return path, os.WriteFile(path, []byte(source), 0o644)
}

// bundle builds all functions of a folder ahead of time and loads each once.
func (l *lab) bundle(ctx context.Context, functions string) error {
	args := append([]string{"bundle", "--functions", functions, "--data-dir", l.dataDir}, l.denoArgs...)
	cmd := exec.CommandContext(ctx, l.selvedge, args...)
	cmd.Dir, cmd.Env = l.dir, l.environ()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("selvedge bundle: %w\n%s", err, out)
	}
	if bytes.Contains(out, []byte("did not load")) || bytes.Contains(out, []byte("runs from source")) {
		return fmt.Errorf("selvedge bundle did not bundle everything:\n%s", out)
	}
	return nil
}

// output runs a program to its end and returns what it printed, trimmed.
func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(append([]string{filepath.Base(name)}, args...), " "), err, errs.Bytes())
	}
	return strings.TrimSpace(string(out)), nil
}
