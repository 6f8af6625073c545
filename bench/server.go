package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	// startPatience bounds a process's start, stopPatience its end.
	startPatience = 30 * time.Second
	stopPatience  = 20 * time.Second
	// refillPatience bounds the wait for the pre-started processes.
	refillPatience = 60 * time.Second
	// settle follows a refill, so that what a process does right after its
	// start is over too.
	settle = 100 * time.Millisecond
)

// A server is a running selvedge.
type server struct {
	addr    string
	started time.Time
	cmd     *exec.Cmd
	logPath string
	stderr  tail
	ended   chan struct{} // closed when the process was waited for
	err     error         // how it ended
	// prestarted is how many processes it keeps ahead.
	prestarted int64
}

// listening is the line by which selvedge says where it serves.
var listening = regexp.MustCompile(`^Selvedge .* on http://[^ ]*:(\d+)$`)

// A launch is how a server is started.
type launch struct {
	command   string // serve or dev
	functions string // the folder
	args, env []string
	// noLog sends the log, which it writes as always, to /dev/null: at full
	// speed a file would fill the disk and keep it busy.
	noLog bool
}

// start runs `selvedge serve` or `dev` for callers without tokens.
func (l *lab) start(ctx context.Context, command, functions string, args ...string) (*server, error) {
	return l.launch(ctx, launch{command: command, functions: functions, args: append([]string{"--require-auth=false"}, args...)})
}

// launch runs selvedge on a port of the system's choice and returns when it
// says that it listens.
func (l *lab) launch(ctx context.Context, how launch) (*server, error) {
	var logFile *os.File
	var err error
	if how.noLog {
		logFile, err = os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	} else {
		logFile, err = os.CreateTemp(l.dir, "log-*.jsonl")
	}
	if err != nil {
		return nil, err
	}
	defer logFile.Close()
	all := slices.Concat([]string{
		how.command, "--functions", how.functions, "--data-dir", l.dataDir, "--listen", "127.0.0.1:0",
	}, l.denoArgs, how.args)
	s := &server{
		cmd:     exec.Command(l.selvedge, all...),
		logPath: logFile.Name(),
		ended:   make(chan struct{}),
	}
	s.cmd.Dir, s.cmd.Env = l.dir, l.environ(how.env...)
	s.cmd.Stdout = logFile
	// Its own group, so that an interrupt of the benchmark does not reach it
	// before the benchmark stops it.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	said, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	s.cmd.Stderr = w
	s.started = time.Now()
	err = s.cmd.Start()
	w.Close()
	if err != nil {
		said.Close()
		return nil, err
	}
	port := make(chan string, 1)
	go s.follow(said, port)
	timer := time.NewTimer(startPatience)
	defer timer.Stop()
	select {
	case p := <-port:
		s.addr = "127.0.0.1:" + p
		return s, nil
	case <-s.ended:
		return nil, fmt.Errorf("selvedge %s ended while starting: %w\n%s", how.command, s.err, s.stderr.String())
	case <-timer.C:
		err = fmt.Errorf("selvedge %s did not say that it serves within %s\n%s", how.command, startPatience, s.stderr.String())
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	return nil, errors.Join(err, s.stop())
}

// follow reads what the server says until it ends, and waits for it.
func (s *server) follow(said *os.File, port chan<- string) {
	defer close(s.ended)
	defer said.Close()
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		if m := listening.FindSubmatch(lines.Bytes()); m != nil {
			select {
			case port <- string(m[1]):
			default:
			}
		}
		s.stderr.add(lines.Bytes())
	}
	s.err = s.cmd.Wait()
}

// stop ends the server the way an operator does and waits until it is gone.
// An exit code other than 0 is an error.
func (s *server) stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(stopPatience)
	defer timer.Stop()
	select {
	case <-s.ended:
	case <-timer.C:
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		<-s.ended
		return fmt.Errorf("selvedge did not stop within %s and was killed\n%s", stopPatience, s.stderr.String())
	}
	if s.err != nil {
		return fmt.Errorf("selvedge stopped with %w\n%s", s.err, s.stderr.String())
	}
	return nil
}

func (s *server) pid() int { return s.cmd.Process.Pid }

// call asks a function for its answer and fails on any other than want.
func (s *server) call(ctx context.Context, function, want string) (time.Duration, error) {
	took, err := get(ctx, s.addr, "/functions/v1/"+function, want)
	if err != nil {
		err = fmt.Errorf("call %s: %w\n%s", function, err, s.stderr.String())
	}
	return took, err
}

// metrics are the counters of /_internal/metric.
func (s *server) metrics(ctx context.Context) (map[string]int64, error) {
	body, err := fetch(ctx, s.addr, "/_internal/metric")
	if err != nil {
		return nil, err
	}
	var m map[string]int64
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	return m, nil
}

// waitPrestarted waits until the number of processes ahead no longer grows,
// which makes it the number that refilled waits for.
func (s *server) waitPrestarted(ctx context.Context) error {
	const still = 400 * time.Millisecond
	changed := time.Now()
	for began := changed; time.Since(changed) < still || s.prestarted == 0; {
		m, err := s.metrics(ctx)
		if err != nil {
			return err
		}
		if n := m["workers_idle_prestarted"]; n != s.prestarted {
			s.prestarted, changed = n, time.Now()
		}
		if time.Since(began) > refillPatience {
			return fmt.Errorf("no process was started ahead within %s", refillPatience)
		}
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// refilled waits until the server is as ready as it was before a call.
func (s *server) refilled(ctx context.Context) error {
	for began := time.Now(); ; {
		m, err := s.metrics(ctx)
		if err != nil {
			return err
		}
		if m["workers_idle_prestarted"] >= s.prestarted && m["workers_starting"] == 0 {
			return sleep(ctx, settle)
		}
		if time.Since(began) > refillPatience {
			return fmt.Errorf("the pre-started processes were not there again within %s: %v", refillPatience, m)
		}
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// A phase is what the server's log says about a function's first call, in
// milliseconds.
type phase struct{ queue, bundle, spawn, load, request float64 }

// phases reads the log: how each function's boot went, and how long the first
// request took in all.
func (s *server) phases() (map[string]phase, error) {
	raw, err := os.ReadFile(s.logPath)
	if err != nil {
		return nil, err
	}
	found := map[string]phase{}
	for line := range bytes.Lines(raw) {
		var e struct {
			Event, Slug string
			Queue       float64 `json:"queue_ms"`
			Bundle      float64 `json:"bundle_ms"`
			Spawn       float64 `json:"spawn_ms"`
			Load        float64 `json:"load_ms"`
			Duration    float64 `json:"duration_ms"`
		}
		if json.Unmarshal(line, &e) != nil {
			return nil, fmt.Errorf("read %s: not JSON: %s", filepath.Base(s.logPath), line)
		}
		p := found[e.Slug]
		switch {
		case e.Event == "boot":
			p.queue, p.bundle, p.spawn, p.load = e.Queue, e.Bundle, e.Spawn, e.Load
		case e.Event == "request" && p.request == 0:
			p.request = e.Duration
		default:
			continue
		}
		found[e.Slug] = p
	}
	return found, nil
}

// A tail keeps the last of what a process said.
type tail struct {
	mu    sync.Mutex
	lines [][]byte
}

func (t *tail) add(line []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, bytes.Clone(line))
	if len(t.lines) > 20 {
		t.lines = t.lines[1:]
	}
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.Join(t.lines, []byte("\n")))
}

// sleep waits unless ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
