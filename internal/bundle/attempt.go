package bundle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/selvedge-dev/selvedge/internal/confine"
	"github.com/selvedge-dev/selvedge/internal/egress"
	"github.com/selvedge-dev/selvedge/internal/function"
)

// An attempt is one build of a function.
type attempt struct {
	*Builder
	f *function.Function
	// scratch is a folder for what the bundler needs, tree the one that becomes
	// the bundle. Both lie in dir, on the same file system as the bundles.
	dir, scratch, tree string
	// base is the folder of the project that tree stands for, and entry where
	// the entrypoint lies below either.
	base, entry string

	environ []string
	resolve []string // the flags that make specifiers resolve
	main    string   // what the bundler starts from
	// proxy refuses connections; nil where the environment has one that it
	// cannot stand before.
	proxy *egress.Proxy
}

// policy is what the system lets a bundler do: read what the function may be
// made of, and download packages.
func (a *attempt) policy() confine.Policy {
	read, run := confine.Libraries(a.opts.Deno)
	read = append(read, confine.SystemFiles(func(name string) (string, bool) { v := a.lookup(name); return v, v != "" })...)
	read = append(read, a.f.Within...)
	shared, _ := filepath.Glob(filepath.Join(a.f.RealRoot, "_*")) // the pattern is well-formed
	read = append(read, shared...)
	read = append(read, a.f.Configs...)
	for _, file := range []string{a.f.Imports.File(), a.f.NPMRC, lockFile(a.f)} {
		if file != "" {
			read = append(read, file)
		}
	}
	if home := a.lookup("HOME"); home != "" {
		read = append(read, filepath.Join(home, ".npmrc"))
	}
	cache := PackageCache(a.opts.DataDir)
	return confine.Policy{
		Run:   append(run, filepath.Join(cache, "dl")), // where Deno keeps its bundler
		Read:  read,
		Write: []string{a.dir, cache, filepath.Join(cache, "dl")},
	}
}

// begin prepares an attempt. end must be called after it.
func (b *Builder) begin(f *function.Function) (*attempt, error) {
	a := &attempt{Builder: b, f: f, base: filepath.Dir(f.Root)}
	var err error
	if a.entry, err = place(a.base, f.Entrypoint); err != nil {
		return nil, err
	}
	if err := a.makeFolders(); err != nil {
		a.end()
		return nil, fmt.Errorf("prepare bundle: %w; check the space and rights of %s, or choose another --data-dir", err, b.opts.DataDir)
	}
	if a.resolve, err = resolveArgs(f, a.scratch); err == nil {
		a.main, err = mainModule(f, a.scratch)
	}
	if err == nil {
		a.environ, err = b.environ(f, a.scratch)
	}
	if err == nil {
		a.proxy, err = egress.Listen(b.opts.Deny, a.chosen(), a.environ)
		if errors.Is(err, egress.ErrProxyKind) {
			a.proxy, err = nil, nil
		}
	}
	if a.proxy != nil {
		a.environ = a.proxy.Environ(a.environ)
	}
	if err != nil {
		a.end()
		return nil, fmt.Errorf("prepare bundle of function %s: %w", f.Slug, err)
	}
	return a, nil
}

func (a *attempt) makeFolders() error {
	dir, err := os.MkdirTemp(a.opts.DataDir, ".build-")
	if err != nil {
		return err
	}
	a.dir = dir
	// Deno resolves links in what it reports, so there must be none.
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	a.scratch, a.tree = filepath.Join(real, "scratch"), filepath.Join(real, "tree")
	return errors.Join(os.Mkdir(a.scratch, 0o700), os.Mkdir(a.tree, 0o755))
}

func (a *attempt) end() {
	if a.proxy != nil {
		a.proxy.Close()
	}
	if a.dir != "" {
		os.RemoveAll(a.dir)
	}
}

// run executes deno with args on a module, in the function's folder. What it
// prints in vain comes back as a *sourceFault. stdout is nil where that is not
// wanted by itself.
func (a *attempt) run(ctx context.Context, stdout *bytes.Buffer, module string, args ...string) error {
	args = slices.Concat(args, a.resolve, []string{module})
	cmd := exec.CommandContext(ctx, a.opts.Deno, args...)
	cmd.Dir = a.f.Dir
	cmd.Env = append(slices.Clone(a.environ), "DENO_DIR="+PackageCache(a.opts.DataDir), "TMPDIR="+a.scratch, "NO_COLOR=1", "DENO_NO_UPDATE_CHECK=1",
		"NO_DENO_BUNDLE_HACK=1") // require is provided without moving columns; see provideRequire
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if stdout != nil {
		cmd.Stdout = stdout
	}
	_, err := a.opts.Confiner.Start(cmd, a.policy())
	if err == nil {
		err = cmd.Wait()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		// Deno has ended well; its bundler's own process, which it does not
		// wait for, still holds the pipe.
		_ = cmd.Cancel()
		err = nil
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
		return fmt.Errorf("run %s: %w; `selvedge doctor` says whether Deno is in order", a.opts.Deno, err)
	}
}

// resolveArgs are the flags that make specifiers resolve as discovery decided.
// The lock file is read from a copy in scratch: a build changes no source.
func resolveArgs(f *function.Function, scratch string) ([]string, error) {
	args := []string{"--quiet", "--node-modules-dir=none", "--allow-import"}
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

// mainModule is what the bundler starts from: the entrypoint, or where that is
// reached through a link, a module that imports it. The bundler follows the
// link of its main module only, and ../_shared would be looked for beside the
// link's target.
func mainModule(f *function.Function, scratch string) (string, error) {
	l, err := newLinks(f)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(f.Entrypoint)
	if err != nil {
		return "", err
	}
	if rel, err := filepath.Rel(l.base, f.Entrypoint); err == nil && filepath.Join(l.realBase, rel) == real {
		return f.Entrypoint, nil
	}
	// A function without a default export gets one that is undefined.
	specifier, err := json.Marshal(fileURL(f.Entrypoint))
	if err != nil {
		return "", err
	}
	file := filepath.Join(scratch, "main.js")
	text := fmt.Sprintf("import * as module from %s;\nexport default module.default;\n", specifier)
	return file, os.WriteFile(file, []byte(text), 0o600)
}

func fileURL(path string) string { return (&url.URL{Scheme: "file", Path: path}).String() }
