package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/selvedge-dev/selvedge/e2e/harness"
	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
)

// TestCommands runs the scripts of testdata/script, each in a folder of its
// own, with the real binary as `selvedge`.
func TestCommands(t *testing.T) {
	deno := denotest.Binary(t)
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(harness.Binary)+string(filepath.ListSeparator)+env.Getenv("PATH"))
			env.Setenv("SELVEDGE_DATA_DIR", harness.DataDir)
			env.Setenv("SELVEDGE_DENO", deno)
			env.Setenv("REQUIRE_AUTH", "false")
			env.Setenv("HOME", env.WorkDir)
			for _, kv := range os.Environ() { // how this machine reaches its registry
				name, value, _ := strings.Cut(kv, "=")
				if n := strings.ToLower(name); strings.HasSuffix(n, "_proxy") || strings.HasPrefix(n, "npm_config_") || strings.Contains(n, "_cert") {
					env.Setenv(name, value)
				}
			}
			return nil
		},
	})
}

// TestInvoke calls a running server as a user would.
func TestInvoke(t *testing.T) {
	s := start(t, options{Command: "serve"})
	for _, c := range []struct {
		args      []string
		in        string
		out, errs string
		code      int
	}{
		{args: []string{"hello-world", "--data", `{"name":"CLI"}`}, out: `{"message":"Hello CLI!"}`, errs: "200 OK\n"},
		{args: []string{"hello-world", "--data", "-"}, in: `{"name":"stdin"}`, out: `{"message":"Hello stdin!"}`, errs: "200 OK\n"},
		{args: []string{"path-params/users/1", "--method", "get"}, out: `{"id":"1","name":"Ada"}`, errs: "200 OK\n"},
		{args: []string{"nope"}, out: `{"code":"NOT_FOUND","message":"Requested function was not found"}`, errs: "404 Not Found\n", code: 1},
	} {
		out, errs, code := runIn(t, c.in, append([]string{"invoke", "--url", s.URL}, c.args...)...)
		if trim(out) != c.out || errs != c.errs || code != c.code {
			t.Errorf("invoke %q: %q %q %d, want %q %q %d", c.args, out, errs, code, c.out, c.errs, c.code)
		}
	}
}
