package e2e

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/selvedge-dev/selvedge/e2e/harness"
	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
)

// noNetwork are variables with which no build gets anywhere.
var noNetwork = []string{
	"HTTP_PROXY=http://127.0.0.1:9", "HTTPS_PROXY=http://127.0.0.1:9", "ALL_PROXY=http://127.0.0.1:9",
	"NPM_CONFIG_REGISTRY=http://127.0.0.1:9", "NO_PROXY=",
}

// TestPrebuilt builds the examples in one place and serves them in another, from
// a folder that nothing is written to, with an empty data folder and no network.
func TestPrebuilt(t *testing.T) {
	dir := denotest.TempDir(t)
	project := filepath.Join(dir, "app")
	if err := os.CopyFS(project, os.DirFS(filepath.Join(harness.Repo, "examples"))); err != nil {
		t.Fatal(err)
	}
	prebuilt := filepath.Join(dir, "data")
	build := exec.Command(harness.Binary, "bundle", "--functions", filepath.Join(harness.Repo, "examples", "functions"), "--out", prebuilt)
	build.Env = harness.Environ("SELVEDGE_DATA_DIR="+harness.DataDir, "SELVEDGE_DENO="+denotest.Binary(t))
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	before := times(t, prebuilt)

	s := start(t, options{
		Command: "serve", Functions: filepath.Join(project, "functions"), Args: []string{"--prebuilt", prebuilt},
		Env: append([]string{"SELVEDGE_DATA_DIR=" + filepath.Join(dir, "writable")}, noNetwork...),
	})
	for path, want := range map[string]string{
		"/express": "Hello from Express!", "/hono": "", "/wasm": "", "/shared-import": "", "/supabase-js": "storage",
	} {
		if a := s.call("GET", path, ""); a.status != 200 || !strings.Contains(a.body, want) {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if strings.Contains(s.Err.String(), "not prebuilt") {
		t.Errorf("%s", s.Err)
	}
	for _, boot := range s.Logged("boot") {
		if boot["bundle_cached"] != true {
			t.Errorf("it was built again: %v", boot)
		}
	}
	for name, was := range before {
		if is := times(t, prebuilt)[name]; is != was {
			t.Errorf("%s was changed: %s, it was %s", name, is, was)
		}
	}

	health := exec.Command(harness.Binary, "healthcheck", "--listen", strings.TrimPrefix(s.URL, "http://"))
	health.Env = harness.Environ()
	if out, err := health.CombinedOutput(); err != nil {
		t.Errorf("healthcheck: %v\n%s", err, out)
	}
}

// TestPrebuiltSaysWhatItHasNot: a function that was changed is built where it is
// served, and the server says which one that is.
func TestPrebuiltSaysWhatItHasNot(t *testing.T) {
	dir := denotest.TempDir(t)
	source := filepath.Join(dir, "functions", "a", "index.ts")
	if err := os.MkdirAll(filepath.Dir(source), 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(answer string) {
		t.Helper()
		if err := os.WriteFile(source, []byte(`Deno.serve(() => new Response("`+answer+`"));`), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("built before")
	prebuilt := filepath.Join(dir, "prebuilt")
	build := exec.Command(harness.Binary, "bundle", "--functions", filepath.Join(dir, "functions"), "--out", prebuilt)
	build.Env = harness.Environ("SELVEDGE_DATA_DIR="+harness.DataDir, "SELVEDGE_DENO="+denotest.Binary(t))
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	write("changed")
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions"), Args: []string{"--prebuilt", prebuilt}})
	if !strings.Contains(s.Err.String(), "a is not prebuilt: functions/a/index.ts has changed since; it is built at its first call") {
		t.Errorf("%s", s.Err)
	}
	if a := s.call("GET", "/a", ""); a.body != "changed" {
		t.Errorf("%q", a.body)
	}
}

func times(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			all[path] = info.ModTime().String()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
