// Package denotest gives tests the real Deno that Selvedge runs functions on,
// and checks that they leave nothing of it behind.
package denotest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/deno/release"
)

// dataDir is the product's own data folder: a developer who has run Selvedge
// once has the binary already.
func dataDir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the user's cache folder: %w", err)
	}
	return filepath.Join(cache, "selvedge"), nil
}

var binary = sync.OnceValues(func() (string, error) {
	dir, err := dataDir()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	b, err := release.Ensure(ctx, release.Options{DataDir: dir})
	return b.Path, err
})

// Binary returns the pinned Deno, which is downloaded if need be.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Runtime returns what workers need, with an empty bundle folder and an empty
// cache of the test's own. Modules that workers are to load go below BundleDir.
func Runtime(t testing.TB) deno.Runtime {
	t.Helper()
	dir := TempDir(t)
	bootstrap, err := deno.InstallBootstrap(filepath.Join(dir, "bootstrap"))
	if err != nil {
		t.Fatal(err)
	}
	r := deno.Runtime{
		Binary:    Binary(t),
		Bootstrap: bootstrap,
		BundleDir: filepath.Join(dir, "bundles"),
		CacheDir:  filepath.Join(dir, "cache"),
	}
	for _, d := range []string{r.BundleDir, r.CacheDir} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := deno.PrepareCacheDir(r.CacheDir); err != nil {
		t.Fatal(err)
	}
	return r
}

// TempDir is a temporary folder without symbolic links in its path, which is
// how Deno reports paths.
func TempDir(t testing.TB) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// RunDir returns a folder for workers with a path short enough for unix
// sockets. When the test ends, it fails if a worker's folder or a process that
// names it is left.
func RunDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "svt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		left, err := os.ReadDir(dir)
		if err != nil {
			t.Error(err)
		}
		for _, e := range left {
			if e.IsDir() {
				t.Errorf("the folder %s of a worker is left", e.Name())
			}
		}
		for _, p := range Processes(t, dir) {
			t.Errorf("a process is left: %s", p)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// Processes returns the command lines of the live processes that have part in
// theirs.
func Processes(t testing.TB, part string) []string {
	t.Helper()
	var found []string
	if files, _ := filepath.Glob("/proc/[0-9]*/cmdline"); len(files) > 0 {
		for _, file := range files {
			// Empty for a zombie; an error when it went meanwhile.
			if raw, err := os.ReadFile(file); err == nil && strings.Contains(string(raw), part) {
				found = append(found, strings.Split(file, "/")[2]+" "+strings.ReplaceAll(string(raw), "\x00", " "))
			}
		}
		return found
	}
	out, err := exec.Command("ps", "-axo", "pid=,command=").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, part) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

// Packages returns a DENO_DIR that all tests of this user share, so that the
// bundler and public packages are downloaded once. Tests with a registry or a
// server of their own use IsolatedPackages.
func Packages(t testing.TB) string {
	t.Helper()
	dir, err := packages()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

var packages = sync.OnceValues(func() (string, error) {
	deno, err := binary()
	if err != nil {
		return "", err
	}
	data, err := dataDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(data, "test-packages")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", err
	}
	// One process fetches the bundler; the kernel drops the lock with it.
	lock, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	if found, _ := filepath.Glob(filepath.Join(dir, "dl", "esbuild-*", "esbuild*")); len(found) > 0 {
		return dir, nil
	}
	entry := filepath.Join(dir, "empty.js")
	if err := os.WriteFile(entry, nil, 0o600); err != nil {
		return "", err
	}
	cmd := exec.Command(deno, "bundle", "--quiet", "--no-config", "--no-lock", "--output="+filepath.Join(dir, "out.js"), entry)
	cmd.Env = append(os.Environ(), "DENO_DIR="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("fetch the bundler: %s", out), err)
	}
	return dir, nil
})

// IsolatedPackages fills dir as a DENO_DIR that has the bundler and nothing
// else.
func IsolatedPackages(t testing.TB, dir string) {
	t.Helper()
	shared := Packages(t)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(shared, "dl"), filepath.Join(dir, "dl")); err != nil {
		t.Fatal(err)
	}
}
