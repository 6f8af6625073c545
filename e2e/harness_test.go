// Package e2e runs the real selvedge binary with the real Deno, as a user
// would, and checks that nothing of either is left afterwards.
package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/e2e/harness"
	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// A server is a running selvedge process.
type server struct {
	*harness.Server
	t *testing.T
}

type options = harness.Options

// start runs a server and waits until it listens. It is stopped, and checked
// for leftovers, when the test ends.
func start(t *testing.T, o options) *server {
	t.Helper()
	return &server{harness.Start(t, o), t}
}

// An answer is a response that was read to its end.
type answer struct {
	status int
	header http.Header
	body   string
}

// call sends a request; body "" is none.
func (s *server) call(method, path, body string, headers ...string) answer {
	s.t.Helper()
	a, err := s.try(method, path, body, headers...)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (s *server) try(method, path, body string, headers ...string) (answer, error) {
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, s.URL+path, r)
	if err != nil {
		return answer{}, err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(b)}, err
}

var client = &http.Client{
	Timeout:       60 * time.Second,
	Transport:     &http.Transport{MaxIdleConnsPerHost: 200},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// metric reads a counter of the pool.
func (s *server) metric(name string) int {
	s.t.Helper()
	a := s.call("GET", "/_internal/metric", "")
	var m map[string]any
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		s.t.Fatalf("metrics: %v in %s", err, a.body)
	}
	v, ok := m[name].(float64)
	if !ok {
		s.t.Fatalf("no metric %s in %s", name, a.body)
	}
	return int(v)
}

// saidBy returns what a function logged.
func (s *server) saidBy(slug string) string {
	var all strings.Builder
	for _, m := range s.Logged("log") {
		if m["slug"] == slug {
			fmt.Fprintln(&all, m["msg"])
		}
	}
	return all.String()
}

func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	harness.Eventually(t, within, what, ok)
}

// project writes files below a new folder and returns it; keys are slash paths.
func project(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := denotest.TempDir(t)
	for name, content := range files {
		write(t, filepath.Join(dir, filepath.FromSlash(name)), content)
	}
	return dir
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// runIn executes a command of the binary to its end, with in as its stdin.
func runIn(t *testing.T, in string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.Command(harness.Binary, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = harness.Environ("SELVEDGE_DATA_DIR="+harness.DataDir, "SELVEDGE_DENO="+denotest.Binary(t))
	cmd.Stdin = strings.NewReader(in)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func trim(s string) string { return strings.TrimSpace(s) }
