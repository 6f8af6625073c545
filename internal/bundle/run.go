package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
)

// run executes deno with args in the function's folder. What it prints in vain
// comes back as a *sourceFault.
func (b *Builder) run(ctx context.Context, f *function.Function, args ...string) error {
	cmd := exec.CommandContext(ctx, b.opts.Deno, args...)
	cmd.Dir = f.Dir
	cmd.Env = append(b.environ(), "DENO_DIR="+PackageCache(b.opts.DataDir), "NO_COLOR=1", "DENO_NO_UPDATE_CHECK=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit) && exit.ExitCode() == 1:
		return &sourceFault{output: strings.TrimSpace(out.String())}
	case errors.As(err, &exit):
		return fmt.Errorf("deno %s: %w: %s", args[0], err, strings.TrimSpace(out.String()))
	default:
		return fmt.Errorf("run %s: %w; `selvedge doctor` says whether Deno is in order", b.opts.Deno, err)
	}
}

// environ is the bundler's environment without what would change its output
// or where it puts it.
func (b *Builder) environ() []string {
	var env []string
	for _, kv := range b.opts.Environ {
		name, _, _ := strings.Cut(kv, "=")
		if name == "DENO_DIR" || name == "NO_COLOR" || name == "FORCE_COLOR" || name == "DENO_V8_FLAGS" || name == "DENO_NO_UPDATE_CHECK" {
			continue
		}
		env = append(env, kv)
	}
	return env
}

// resolveArgs are the flags that make specifiers resolve as discovery decided.
// The lock file is read from a copy in scratch: a build changes no source.
func resolveArgs(f *function.Function, scratch string) ([]string, error) {
	args := []string{"--quiet", "--node-modules-dir=none"}
	switch {
	case f.Imports.DenoConfig != "":
		args = append(args, "--config="+f.Imports.DenoConfig)
	case f.Imports.ImportMap != "":
		args = append(args, "--no-config", "--import-map="+f.Imports.ImportMap)
	case f.Imports.PackageJSON == "":
		args = append(args, "--no-config")
	}
	lock := lockFile(f)
	if lock == "" {
		return append(args, "--no-lock"), nil
	}
	raw, err := os.ReadFile(lock)
	if err != nil {
		return nil, fmt.Errorf("read lock file: %w", err)
	}
	copied := filepath.Join(scratch, "deno.lock")
	if err := os.WriteFile(copied, raw, 0o600); err != nil {
		return nil, err
	}
	return append(args, "--lock="+copied), nil
}
