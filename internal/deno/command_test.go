package deno

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/selvedge-dev/selvedge/internal/egress"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestArgs(t *testing.T) {
	t.Parallel()
	r := Runtime{Binary: "/d/deno", Bootstrap: "/d/bootstrap.js", BundleDir: "/d/bundles", CacheDir: "/d/cache"}
	for name, p := range map[string]Profile{
		"bundled":    {MemoryMB: 256},
		"inspect":    {MemoryMB: 512, Inspect: "127.0.0.1:9229"},
		"limited":    {MemoryMB: 256, Net: Net{Limited: true, Allow: "api.example.com:443,10.0.0.0/8"}},
		"nowhere":    {MemoryMB: 256, Net: Net{Limited: true}},
		"unbundled":  {MemoryMB: 256, Unbundled: Unbundled{CacheDir: "/d/packages"}},
		"config":     {MemoryMB: 256, Unbundled: Unbundled{CacheDir: "/d/packages", Config: "/d/bundles/x/deno.json"}},
		"import-map": {MemoryMB: 256, Unbundled: Unbundled{CacheDir: "/d/packages", ImportMap: "/d/bundles/x/import_map.json"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := strings.Join(r.Args(p, "/run/w1"), "\n") + "\n"
			golden := filepath.Join("testdata", "args", name+".txt")
			if *update {
				if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s\nwant:\n%s\nrun the test with -update if this is meant", got, want)
			}
		})
	}
}

// What a worker is started with decides what a function can do: these hold in
// every profile.
func TestArgsAlwaysWall(t *testing.T) {
	t.Parallel()
	r := Runtime{Binary: "/d/deno", Bootstrap: "/d/bootstrap.js", BundleDir: "/d/bundles", CacheDir: "/d/cache"}
	for _, p := range []Profile{{MemoryMB: 1}, {Unbundled: Unbundled{CacheDir: "/p", Config: "/c"}}, {Inspect: "x"}, {Net: Net{Limited: true}}, {Net: Net{Watched: true}}} {
		args := r.Args(p, "/run/w1")
		for _, want := range []string{"--no-prompt", "--no-remote", "--cached-only", "--deny-import", "--deny-net=" + egress.Deny{}.Flag(), "--allow-write=/run/w1/tmp,/run/w1/c.sock,/run/w1/w.sock,/run/w1/n.sock", "--ignore-env=" + hiddenEnv} {
			if !slices.Contains(args, want) {
				t.Errorf("%+v: no %s", p, want)
			}
		}
		for _, arg := range args {
			for _, never := range []string{"--allow-all", "-A", "--allow-run", "--allow-ffi", "--allow-import", "--unstable"} {
				if strings.HasPrefix(arg, never) && arg != "--unstable-no-legacy-abort" { // it only narrows
					t.Errorf("%+v: %s", p, arg)
				}
			}
		}
		if args[len(args)-1] != r.Bootstrap {
			t.Errorf("%+v: it ends with %q", p, args[len(args)-1])
		}
	}
}

func TestArgsDenyFurtherNetworks(t *testing.T) {
	t.Parallel()
	r := Runtime{Deny: egress.NewDeny([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})}
	for _, arg := range r.Args(Profile{}, "/run/w1") {
		if list, ok := strings.CutPrefix(arg, "--deny-net=169.254.0.0/16,"); ok && strings.HasSuffix(list, ",10.0.0.0/8") {
			return
		}
	}
	t.Errorf("%q", r.Args(Profile{}, "/run/w1"))
}

func TestCommasInPaths(t *testing.T) {
	t.Parallel()
	r := Runtime{BundleDir: "/a,b/bundles", CacheDir: "/a,b/cache", Bootstrap: "/a,b/b.js"}
	args := r.Args(Profile{}, "/run,/w1")
	const own = "/run,,/w1/tmp,/run,,/w1/c.sock,/run,,/w1/w.sock,/run,,/w1/n.sock"
	for _, want := range []string{"--allow-read=/a,,b/bundles," + own, "--allow-write=" + own} {
		if !slices.Contains(args, want) {
			t.Errorf("no %s in %q", want, args)
		}
	}
}

func TestEnv(t *testing.T) {
	t.Parallel()
	r := Runtime{CacheDir: "/d/cache"}
	host := map[string]string{"JWT_SECRET": "x", "AWS_REGION": "x", "PATH": "x", "HOME": "/root", "DENO_DIR": "/elsewhere", "DENO_CERT": "/ca.pem", "https_proxy": "http://p"}
	lookup := func(name string) (string, bool) { v, ok := host[name]; return v, ok }
	got := r.Env(Profile{}, "/run/w1", lookup)
	slices.Sort(got)
	want := []string{"DENO_CERT=/ca.pem", "DENO_DIR=/d/cache", "DENO_NO_UPDATE_CHECK=1", "DENO_SERVE_ADDRESS=unix:/run/w1/n.sock", "DENO_WEBGPU_BACKEND=none", "HOME=/run/w1/tmp", "NO_COLOR=1", "TMPDIR=/run/w1/tmp", "TZ=UTC", "https_proxy=http://p"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	host["TZ"] = "Asia/Tokyo"
	got = r.Env(Profile{Unbundled: Unbundled{CacheDir: "/d/packages", OwnDir: "/d/own/x"}}, "/run/w1", lookup)
	if !slices.Contains(got, "TZ=Asia/Tokyo") || slices.Contains(got, "TZ=UTC") || !slices.Contains(got, "DENO_DIR=/d/own/x") {
		t.Errorf("%q", got)
	}
}

func TestInstallBootstrap(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new")
	path, err := InstallBootstrap(dir)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := os.Stat(path)
	again, err := InstallBootstrap(dir)
	after, _ := os.Stat(path)
	if err != nil || again != path || !os.SameFile(before, after) {
		t.Errorf("installed twice: %s, %v", again, err)
	}
	// A damaged file is replaced.
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := InstallBootstrap(dir); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(path); string(b) != string(bootstrap) {
		t.Error("a damaged bootstrap stays")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.tmp")); len(left) > 0 {
		t.Errorf("%q is left", left)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := InstallBootstrap(filepath.Join(file, "x")); err == nil || !strings.Contains(err.Error(), "--data-dir") {
		t.Errorf("%v", err)
	}
}

func TestPrepareCacheDir(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cache")
	stored := filepath.Join(dir, "location_data", "x", "local_storage")
	for _, before := range []func() error{
		func() error { return nil },
		func() error { return nil },
		func() error { // as it was with an earlier version
			return errors.Join(os.Remove(filepath.Join(dir, "location_data")), os.MkdirAll(filepath.Dir(stored), 0o755), os.WriteFile(stored, nil, 0o600))
		},
	} {
		if err := errors.Join(before(), PrepareCacheDir(dir)); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(stored), 0o755); err == nil {
			t.Error("there can be storage")
		}
	}
}

func TestPrepareOwnDir(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	packages, dir := filepath.Join(root, "packages"), filepath.Join(root, "own", "x")
	if err := os.MkdirAll(filepath.Join(packages, NPMDir), 0o755); err != nil {
		t.Fatal(err)
	}
	link, precious := filepath.Join(dir, NPMDir), filepath.Join(root, "precious")
	for name, before := range map[string]func() error{
		"as it was":         func() error { return nil },
		"of other packages": func() error { return errors.Join(os.Remove(link), os.Symlink(root, link)) },
		"a folder":          func() error { return errors.Join(os.Remove(link), os.MkdirAll(filepath.Join(link, "a"), 0o755)) },
		"a link out of it":  func() error { return errors.Join(os.Remove(link), os.Symlink(precious, link)) },
		"and for what is no": func() error {
			return errors.Join(os.Remove(filepath.Join(dir, "location_data")), os.Symlink(precious, filepath.Join(dir, "location_data")))
		},
	} {
		if err := errors.Join(PrepareOwnDir(dir, packages, 0), os.WriteFile(precious, []byte("kept"), 0o600), before(), PrepareOwnDir(dir, packages, 0)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if at, err := os.Readlink(link); err != nil || at != filepath.Join(packages, NPMDir) {
			t.Errorf("%s: it leads to %s, %v", name, at, err)
		}
		if b, err := os.ReadFile(precious); err != nil || string(b) != "kept" {
			t.Errorf("%s: a file elsewhere is %q, %v", name, b, err)
		}
	}
}
