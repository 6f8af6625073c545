package harness

import (
	"bytes"
	"encoding/json"
	"fmt"
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

// A Server is a running selvedge process.
type Server struct {
	Cmd    *exec.Cmd
	URL    string
	Tmp    string // its TMPDIR, which names its workers' folders
	Out    *Buffer
	Err    *Buffer
	Exited chan struct{} // closed when it has ended

	t       testing.TB
	keepTmp bool // it is the test's
}

// Options of a server; the zero value serves the examples in development.
type Options struct {
	Command   string // "dev" or "serve"
	Functions string
	Args      []string
	Env       []string
	Dir       string
	// Tmp is its TMPDIR, "" for one of its own. Its path must be short.
	Tmp string
	// OpenFiles is its limit of open files, 0 for the test's own.
	OpenFiles int
}

var served = regexp.MustCompile(`(?:serves \d+ functions?|functions? of \S+).* on (?:\x1b\[\d+m)?(https?://[^\s\x1b]+)`)

// Start runs a server and waits until it listens. It is stopped, and checked
// for leftovers, when the test ends.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	if o.Command == "" {
		o.Command = "dev"
	}
	if o.Functions == "" {
		o.Functions = filepath.Join(Repo, "examples", "functions")
	}
	// A short path: unix sockets lie below it.
	tmp := o.Tmp
	if tmp == "" {
		var err error
		if tmp, err = os.MkdirTemp("", "sve"); err != nil {
			t.Fatal(err)
		}
	}
	binary := denotest.Binary(t)
	if os.Geteuid() == 0 { // workers have users of their own
		binary = denotest.OpenBinary(t)
		denotest.Open(t, tmp)
	}
	s := &Server{t: t, Tmp: tmp, Out: &Buffer{}, Err: &Buffer{}, Exited: make(chan struct{}), keepTmp: o.Tmp != ""}
	args := append([]string{o.Command, "--functions", o.Functions, "--listen", "127.0.0.1:0"}, o.Args...)
	s.Cmd = exec.Command(Binary, args...)
	if o.OpenFiles > 0 {
		s.Cmd = exec.Command("sh", append([]string{"-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, o.OpenFiles), Binary}, args...)...)
	}
	s.Cmd.Dir = o.Dir
	s.Cmd.Env = append(Environ(
		"TMPDIR="+tmp, "SELVEDGE_DATA_DIR="+DataDir, "SELVEDGE_DENO="+binary,
		"SELVEDGE_LOG_FORMAT=json", "REQUIRE_AUTH=false",
		"SELVEDGE_DRAIN_DELAY=0", // no load balancer is in front
	), o.Env...)
	s.Cmd.Stdout, s.Cmd.Stderr = s.Out, s.Err
	if err := s.Cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = s.Cmd.Wait()
		close(s.Exited)
	}()
	t.Cleanup(s.cleanup)
	Eventually(t, 20*time.Second, "the server listens", func() bool {
		select {
		case <-s.Exited:
			t.Fatalf("the server ended: %s", s.Err)
		default:
		}
		m := served.FindStringSubmatch(s.Err.String())
		if m == nil {
			return false
		}
		s.URL = strings.Replace(m[1], "localhost", "127.0.0.1", 1)
		return true
	})
	return s
}

// Stop asks the server to end and returns its exit code.
func (s *Server) Stop() int {
	s.t.Helper()
	_ = s.Cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.Exited:
	case <-time.After(40 * time.Second):
		_ = s.Cmd.Process.Kill()
		<-s.Exited
		s.t.Errorf("the server did not end within 40 s:\n%s\n%s", s.Err, s.Out)
	}
	return s.Cmd.ProcessState.ExitCode()
}

func (s *Server) cleanup() {
	s.Stop()
	if strings.Contains(s.Err.String(), "DATA RACE") {
		s.t.Errorf("data race:\n%s", s.Err)
	}
	Eventually(s.t, 3*time.Second, "no process of a worker is left", func() bool {
		return len(denotest.Processes(s.t, s.Tmp+"/")) == 0
	})
	if left, _ := filepath.Glob(filepath.Join(s.Tmp, "selvedge-*")); len(left) > 0 && s.Cmd.ProcessState.ExitCode() >= 0 {
		s.t.Errorf("folders are left: %v", left)
	}
	if !s.keepTmp {
		os.RemoveAll(s.Tmp)
	}
	if s.t.Failed() {
		s.t.Logf("stderr:\n%s\nend of stdout:\n%s", Tail(s.Err.String(), 4000), Tail(s.Out.String(), 4000))
	}
}

// Logged returns the log lines of an event.
func (s *Server) Logged(event string) []map[string]any {
	var found []map[string]any
	for line := range strings.Lines(s.Out.String()) {
		var m map[string]any
		if json.Unmarshal([]byte(line), &m) == nil && m["event"] == event {
			found = append(found, m)
		}
	}
	return found
}

// A Buffer collects output while it is being written.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *Buffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *Buffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
