// Package e2e runs the real selvedge binary with the real Deno, as a user
// would, and checks that nothing of either is left afterwards.
package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
)

// Paths that all tests share; TestMain sets them.
var (
	binary  string // the selvedge binary
	dataDir string // bundles and packages of the whole run
	repo    string // the repository
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		wd, err := os.Getwd()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		repo = filepath.Dir(wd)
		tmp, err := os.MkdirTemp("", "selvedge-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(tmp)
		if tmp, err = filepath.EvalSymlinks(tmp); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		dataDir = filepath.Join(tmp, "data")
		binary = filepath.Join(tmp, "selvedge")
		args := []string{"build", "-o", binary}
		if raceEnabled {
			args = append(args, "-race")
		}
		build := exec.Command("go", append(args, "./cmd/selvedge")...)
		build.Dir = repo
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build selvedge: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// A server is a running selvedge process.
type server struct {
	t      *testing.T
	cmd    *exec.Cmd
	url    string
	tmp    string // its TMPDIR, which names its workers' folders
	out    *lockedBuffer
	err    *lockedBuffer
	exited chan struct{}
}

// lockedBuffer collects output while it is being written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// options of a server; the zero value serves the examples in development.
type options struct {
	command   string // "dev" or "serve"
	functions string
	args      []string
	env       []string
	dir       string
}

var served = regexp.MustCompile(`(?:serves \d+ functions|functions of \S+).* on (?:\x1b\[\d+m)?(http://[^\s\x1b]+)`)

// environ is the test's environment without what would configure Selvedge.
func environ(extra ...string) []string {
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

// start runs a server and waits until it listens. It is stopped, and checked
// for leftovers, when the test ends.
func start(t *testing.T, o options) *server {
	t.Helper()
	if o.command == "" {
		o.command = "dev"
	}
	if o.functions == "" {
		o.functions = filepath.Join(repo, "examples", "functions")
	}
	// A short path: unix sockets lie below it.
	tmp, err := os.MkdirTemp("", "sve")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, tmp: tmp, out: &lockedBuffer{}, err: &lockedBuffer{}, exited: make(chan struct{})}
	args := append([]string{o.command, "--functions", o.functions, "--listen", "127.0.0.1:0"}, o.args...)
	s.cmd = exec.Command(binary, args...)
	s.cmd.Dir = o.dir
	s.cmd.Env = append(environ(
		"TMPDIR="+tmp, "SELVEDGE_DATA_DIR="+dataDir, "SELVEDGE_DENO="+denotest.Binary(t),
		"SELVEDGE_LOG_FORMAT=json", "REQUIRE_AUTH=false",
	), o.env...)
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.err
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = s.cmd.Wait()
		close(s.exited)
	}()
	t.Cleanup(s.cleanup)
	eventually(t, 20*time.Second, "the server listens", func() bool {
		select {
		case <-s.exited:
			t.Fatalf("the server ended: %s", s.err)
		default:
		}
		m := served.FindStringSubmatch(s.err.String())
		if m == nil {
			return false
		}
		s.url = strings.Replace(m[1], "localhost", "127.0.0.1", 1)
		return true
	})
	return s
}

// stop asks the server to end and returns its exit code.
func (s *server) stop() int {
	s.t.Helper()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(40 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.exited
		s.t.Errorf("the server did not end within 40 s:\n%s\n%s", s.err, s.out)
	}
	return s.cmd.ProcessState.ExitCode()
}

func (s *server) cleanup() {
	s.stop()
	if strings.Contains(s.err.String(), "DATA RACE") {
		s.t.Errorf("data race:\n%s", s.err)
	}
	eventually(s.t, 3*time.Second, "no process of a worker is left", func() bool {
		return len(denotest.Processes(s.t, s.tmp+"/")) == 0
	})
	if left, _ := filepath.Glob(filepath.Join(s.tmp, "selvedge-*")); len(left) > 0 && s.cmd.ProcessState.ExitCode() >= 0 {
		s.t.Errorf("folders are left: %v", left)
	}
	os.RemoveAll(s.tmp)
	if s.t.Failed() {
		s.t.Logf("stderr:\n%s\nend of stdout:\n%s", tail(s.err.String(), 4000), tail(s.out.String(), 4000))
	}
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
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
	req, err := http.NewRequest(method, s.url+path, r)
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

// logged returns the log lines of an event.
func (s *server) logged(event string) []map[string]any {
	var found []map[string]any
	for line := range strings.Lines(s.out.String()) {
		var m map[string]any
		if json.Unmarshal([]byte(line), &m) == nil && m["event"] == event {
			found = append(found, m)
		}
	}
	return found
}

// saidBy returns what a function logged.
func (s *server) saidBy(slug string) string {
	var all strings.Builder
	for _, m := range s.logged("log") {
		if m["slug"] == slug {
			fmt.Fprintln(&all, m["msg"])
		}
	}
	return all.String()
}

// eventually polls until ok or fails the test.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", within, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
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
	cmd := exec.Command(binary, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = environ("SELVEDGE_DATA_DIR="+dataDir, "SELVEDGE_DENO="+denotest.Binary(t))
	cmd.Stdin = strings.NewReader(in)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func trim(s string) string { return strings.TrimSpace(s) }
