// Package harness runs the real selvedge binary with the real Deno, as a user
// would, and checks that nothing of either is left afterwards.
package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What all tests of a package share; Main sets them.
var (
	Binary  string // the selvedge binary
	DataDir string // bundles and packages of the whole run
	Repo    string // the repository
)

// Main builds the binary and runs the tests of a package; its result is for
// os.Exit.
func Main(m *testing.M) int {
	clean, err := prepare()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer clean()
	return m.Run()
}

func prepare() (clean func(), err error) {
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return nil, fmt.Errorf("find the repository: %w", err)
	}
	Repo = filepath.Dir(strings.TrimSpace(string(mod)))
	tmp, err := os.MkdirTemp("", "selvedge-e2e-")
	if err != nil {
		return nil, err
	}
	clean = func() {
		Reveal(DataDir)
		os.RemoveAll(tmp)
	}
	if err := os.Chmod(tmp, 0o711); err != nil { // as denotest.Open
		clean()
		return nil, err
	}
	resolved, err := filepath.EvalSymlinks(tmp)
	if err != nil {
		clean()
		return nil, err
	}
	DataDir = filepath.Join(resolved, "data")
	Binary = filepath.Join(resolved, "selvedge")
	args := []string{"build", "-o", Binary}
	if raceEnabled {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "./cmd/selvedge")...)
	build.Dir = Repo
	if out, err := build.CombinedOutput(); err != nil {
		clean()
		return nil, fmt.Errorf("build selvedge: %w\n%s", err, out)
	}
	return clean, nil
}

// Reveal lets its owner list the folders of a data folder that serve and bundle
// close to listing, which also keeps users other than root from removing them.
func Reveal(data string) {
	for _, dir := range []string{"bundles", "own"} {
		_ = os.Chmod(filepath.Join(data, dir), 0o755) // it need not be there
	}
}

// Environ is the test's environment without what would configure Selvedge.
func Environ(extra ...string) []string {
	var env []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		switch {
		case strings.HasPrefix(name, "SELVEDGE_"), strings.HasPrefix(name, "SUPABASE_"):
		case name == "JWT_SECRET", name == "ANON_KEY", name == "SERVICE_ROLE_KEY", name == "REQUIRE_AUTH", name == "ENVIRONMENT", name == "PORT":
		default:
			env = append(env, kv)
		}
	}
	return append(env, extra...)
}

// Eventually polls until ok or fails the test.
func Eventually(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", within, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Tail returns the last n bytes of s.
func Tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}
