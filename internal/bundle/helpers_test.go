package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/selvedge-dev/selvedge/internal/confine"
	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
	"github.com/selvedge-dev/selvedge/internal/deno/release"
	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/upstream"
	"github.com/selvedge-dev/selvedge/internal/worker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// files are a project: paths relative to its folder, with their content.
type files map[string]string

// write lays the files out in dir.
func (fs files) write(t *testing.T, dir string) {
	t.Helper()
	for name, content := range fs {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// A project is a folder with functions/ in it.
type project struct{ dir string }

func newProject(t *testing.T, fs files) *project {
	t.Helper()
	p := &project{dir: denotest.TempDir(t)}
	fs.write(t, p.dir)
	return p
}

func (p *project) path(name string) string { return filepath.Join(p.dir, filepath.FromSlash(name)) }

// function discovers slug.
func (p *project) function(t *testing.T, slug string, change ...func(*function.Options)) *function.Function {
	t.Helper()
	o := function.Options{Root: p.path("functions"), Project: p.dir}
	for _, c := range change {
		c(&o)
	}
	set, err := function.Discover(o)
	if err != nil {
		t.Fatal(err)
	}
	f, ok := set.Lookup(slug)
	if !ok {
		t.Fatalf("no function %s: %v", slug, set.Problems())
	}
	return f
}

// offline is an environment in which no request of the bundler gets anywhere.
func offline() []string {
	const closed = "http://127.0.0.1:9"
	return append(online(), "HTTP_PROXY="+closed, "HTTPS_PROXY="+closed, "ALL_PROXY="+closed, "NPM_CONFIG_REGISTRY="+closed, "JSR_URL="+closed)
}

// online is the tests' own environment without the variables that tests set.
func online() []string {
	var env []string
	for _, kv := range os.Environ() {
		switch name, _, _ := strings.Cut(kv, "="); strings.ToUpper(name) {
		case "NPM_CONFIG_REGISTRY", "JSR_URL", "DENO_DIR":
		default:
			env = append(env, kv)
		}
	}
	return env
}

// isolated gives the builder a package cache of its own.
func isolated(t *testing.T) func(*Options) {
	return func(o *Options) { denotest.IsolatedPackages(t, PackageCache(o.DataDir)) }
}

func environ(env ...string) func(*Options) {
	return func(o *Options) { o.Environ = append(o.Environ, env...) }
}

// newBuilder returns one with a data folder of its own, the packages that all
// tests share, and no way to the network.
func newBuilder(t *testing.T, change ...func(*Options)) *Builder {
	t.Helper()
	o := Options{Deno: denotest.Binary(t), DenoVersion: release.Version, DataDir: denotest.TempDir(t), Environ: offline(), Confiner: confine.New()}
	for _, c := range change {
		c(&o)
	}
	if _, err := os.Lstat(PackageCache(o.DataDir)); err != nil {
		if err := os.Symlink(denotest.Packages(t), PackageCache(o.DataDir)); err != nil {
			t.Fatal(err)
		}
	}
	b, err := NewBuilder(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, pattern := range []string{".build-*", "index/.record-*", "salt.*"} {
			if left, _ := filepath.Glob(filepath.Join(o.DataDir, pattern)); len(left) > 0 {
				t.Errorf("%q is left", left)
			}
		}
	})
	return b
}

func build(t *testing.T, b *Builder, f *function.Function) *Bundle {
	t.Helper()
	made, err := b.Build(t.Context(), f)
	if err != nil {
		var be *function.BootError
		if errors.As(err, &be) {
			t.Fatalf("%v\n%s", be, be.Detail)
		}
		t.Fatal(err)
	}
	return made
}

// A served bundle is one that a worker runs.
type served struct {
	*worker.Worker
	mu   sync.Mutex
	logs []deno.Record
}

// tryServe loads a bundle in a worker of its own.
func tryServe(t *testing.T, b *Builder, made *Bundle) (*served, error) {
	t.Helper()
	r := denotest.Runtime(t)
	r.BundleDir = BundleDir(b.opts.DataDir)
	if b.opts.Prebuilt != "" {
		r.PrebuiltDir = BundleDir(b.opts.Prebuilt)
	}
	h := worker.Host{Runtime: r, RunDir: denotest.RunDir(t)}
	w, err := h.Start(t.Context(), deno.Profile{MemoryMB: 256, Unbundled: made.Unbundled})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	s := &served{Worker: w}
	_, err = w.Load(t.Context(), worker.Assignment{Slug: "fn", Module: made.Module, Boot: 10 * time.Second, Log: func(r deno.Record) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.logs = append(s.logs, r)
	}})
	return s, err
}

func serve(t *testing.T, b *Builder, made *Bundle) *served {
	t.Helper()
	s, err := tryServe(t, b, made)
	if err != nil {
		var be *function.BootError
		errors.As(err, &be)
		t.Fatalf("%v\n%+v", err, be)
	}
	return s
}

// get returns the body of the answer.
func (s *served) get(t *testing.T) string {
	t.Helper()
	rec := httptest.NewRecorder()
	_, err := s.Upstream().Forward(rec, httptest.NewRequest("GET", "/fn", nil), upstream.Options{
		Path: "/fn", Absolute: s.Absolute(), Scheme: "http", Host: "x", FirstByte: 10 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	return rec.Body.String()
}

func (s *served) log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out strings.Builder
	for _, r := range s.logs {
		out.WriteString(r.Text + "\n")
	}
	return out.String()
}

// answer builds a function, runs it and returns what it answers.
func answer(t *testing.T, b *Builder, f *function.Function) string {
	t.Helper()
	made := build(t, b, f)
	if made.Unbundled != (deno.Unbundled{}) {
		t.Errorf("%s runs unbundled", f.Slug)
	}
	return serve(t, b, made).get(t)
}

// bootError builds what must not build.
func bootError(t *testing.T, b *Builder, f *function.Function) *function.BootError {
	t.Helper()
	_, err := b.Build(t.Context(), f)
	var be *function.BootError
	if !errors.As(err, &be) {
		t.Fatalf("error %v, want a BootError", err)
	}
	return be
}

// counting is a Deno that counts the bundlers it starts.
type counting struct{ file string }

func countRuns(t *testing.T) (*counting, func(*Options)) {
	dir := denotest.TempDir(t)
	c := &counting{file: filepath.Join(dir, "runs")}
	script := filepath.Join(dir, "deno")
	text := fmt.Sprintf("#!/bin/sh\ntest \"$1\" = info || echo \"$1\" >> '%s'\nexec '%s' \"$@\"\n", c.file, denotest.Binary(t))
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return c, func(o *Options) { o.Deno, o.Confiner = script, nil } // it writes to a file of its own
}

func (c *counting) runs(t *testing.T) int {
	t.Helper()
	raw, err := os.ReadFile(c.file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return bytes.Count(raw, []byte("\n"))
}

// A registry is a stand-in for an npm registry.
type registry struct {
	*httptest.Server
	token    string
	packages map[string]files // by name@version
	mu       sync.Mutex
	refused  int
	asked    int
}

func newRegistry(t *testing.T, token string, packages map[string]files) *registry {
	t.Helper()
	r := &registry{token: token, packages: packages}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.asked++
	denied := r.token != "" && req.Header.Get("Authorization") != "Bearer "+r.token
	if denied {
		r.refused++
	}
	r.mu.Unlock()
	if denied {
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	path, _ := url.PathUnescape(strings.TrimPrefix(req.URL.EscapedPath(), "/"))
	for id, content := range r.packages {
		if path == tarballPath(id) {
			_, _ = w.Write(tarball(id, content))
			return
		}
	}
	versions := map[string]any{}
	latest := ""
	for id, content := range r.packages {
		at := strings.LastIndex(id, "@")
		if id[:at] != path {
			continue
		}
		packed := tarball(id, content)
		sum := sha512.Sum512(packed)
		var manifest map[string]any
		if err := json.Unmarshal([]byte(packageJSON(id, content)), &manifest); err != nil {
			panic(err)
		}
		manifest["dist"] = map[string]any{"tarball": r.URL + "/" + tarballPath(id), "integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:])}
		latest = id[at+1:]
		versions[latest] = manifest
	}
	if latest == "" {
		http.NotFound(w, req)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"name": path, "dist-tags": map[string]string{"latest": latest}, "versions": versions})
}

// tarballPath is where the public registry has name@version: Deno takes it for
// granted where a lock file names no other place.
func tarballPath(id string) string {
	at := strings.LastIndex(id, "@")
	name := id[:at]
	return name + "/-/" + name[strings.LastIndex(name, "/")+1:] + "-" + id[at+1:] + ".tgz"
}

func packageJSON(id string, content files) string {
	at := strings.LastIndex(id, "@")
	fields := map[string]any{}
	if own := content["package.json"]; own != "" {
		if err := json.Unmarshal([]byte(own), &fields); err != nil {
			panic(err)
		}
	}
	fields["name"], fields["version"] = id[:at], id[at+1:]
	raw, _ := json.Marshal(fields)
	return string(raw)
}

func tarball(id string, content files) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	tw := tar.NewWriter(z)
	add := func(name, text string) {
		_ = tw.WriteHeader(&tar.Header{Name: "package/" + name, Mode: 0o644, Size: int64(len(text))})
		_, _ = tw.Write([]byte(text))
	}
	add("package.json", packageJSON(id, content))
	names := make([]string, 0, len(content))
	for name := range content {
		names = append(names, name)
	}
	for _, name := range sorted(names) { // the same bytes every time
		if name != "package.json" {
			add(name, content[name])
		}
	}
	_ = tw.Close()
	_ = z.Close()
	return out.Bytes()
}

// newJSR is a stand-in for the JSR registry with one version of each package,
// by scope/name@version.
func newJSR(t *testing.T, packages map[string]files) string {
	t.Helper()
	mux := http.NewServeMux()
	for id, content := range packages {
		at := strings.LastIndex(id, "@")
		name, version := id[:at], id[at+1:]
		manifest := map[string]any{}
		for file, text := range content {
			sum := sha256.Sum256([]byte(text))
			manifest["/"+file] = map[string]any{"size": len(text), "checksum": "sha256-" + hex.EncodeToString(sum[:])}
			mux.HandleFunc("/@"+name+"/"+version+"/"+file, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/typescript")
				_, _ = w.Write([]byte(text))
			})
		}
		reply := func(path string, v any) {
			mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_ = json.NewEncoder(w).Encode(v)
			})
		}
		scope, short, _ := strings.Cut(name, "/")
		reply("/@"+name+"/meta.json", map[string]any{"scope": scope, "name": short, "latest": version, "versions": map[string]any{version: map[string]any{}}})
		reply("/@"+name+"/"+version+"_meta.json", map[string]any{"manifest": manifest, "exports": map[string]string{".": "./mod.ts"}})
	}
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL + "/"
}

// modules serves files over HTTP, the TypeScript ones as such.
func modules(content files) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := content[strings.TrimPrefix(r.URL.Path, "/")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		kind := "text/javascript"
		if strings.HasSuffix(r.URL.Path, ".ts") {
			kind = "text/typescript"
		}
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write([]byte(text))
	})
}

// within bounds a context of a test.
func bounded(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
