package release

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/npmrc"
)

// helperEnv holds a helperTask when the test binary runs as a second process.
const helperEnv = "RELEASE_TEST_HELPER"

type helperTask struct {
	DataDir, Registry, Integrity string
	Size                         int64
}

// helper installs the stand-in's release and prints a line for each event.
func helper() int {
	var task helperTask
	if err := json.Unmarshal([]byte(os.Getenv(helperEnv)), &task); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	npm, err := npmrc.Load(npmrc.Options{GlobalFile: os.DevNull, Environ: []string{"npm_config_registry=" + task.Registry}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	r := recipe{
		version: testVersion,
		pins:    map[Platform]pin{testPlatform: {testPackage, task.Integrity, task.Size}},
		stall:   time.Minute,
		create:  createTemp,
	}
	b, err := ensure(context.Background(), Options{
		DataDir: task.DataDir, Platform: testPlatform, NPM: npm,
		Progress: func(e Event) { fmt.Println("event", e.Stage) },
	}, r)
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	fmt.Println("path", b.Path)
	return 0
}

func (s *stand) helper(t *testing.T, program, dataDir string) (*exec.Cmd, io.Reader) {
	t.Helper()
	p := s.recipe().pins[testPlatform]
	task, err := json.Marshal(helperTask{dataDir, s.URL, p.integrity, p.size})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), helperEnv+"="+string(task))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

func TestGoroutinesShareOneDownload(t *testing.T) {
	s := newStand(t)
	o := s.options(t, "")
	// The download does not go on before the second caller has joined it.
	joined := make(chan struct{})
	s.handle(func(w http.ResponseWriter, r *http.Request) {
		<-joined
		s.serveTarball(w, r)
	})
	var wg sync.WaitGroup
	var mu sync.Mutex
	told := 0
	for range 16 {
		wg.Go(func() {
			o := o
			o.Progress = func(e Event) {
				if e.Stage == StageInstalled {
					mu.Lock()
					told++
					mu.Unlock()
				}
			}
			if _, err := ensure(t.Context(), o, s.recipe()); err != nil {
				t.Error(err)
			}
		})
	}
	waitForCallers(t, o, 16)
	close(joined)
	wg.Wait()
	if n := s.hit(tarballPath); n != 1 || told != 16 {
		t.Errorf("%d downloads, %d callers told; want 1 and 16", n, told)
	}
}

func waitForCallers(t *testing.T, o Options, n int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		running.mu.Lock()
		f := running.byDir[o.testDir()]
		running.mu.Unlock()
		if f == nil {
			continue
		}
		f.mu.Lock()
		got := len(f.listeners)
		f.mu.Unlock()
		if got == n {
			return
		}
	}
	t.Fatalf("never %d callers", n)
}

// The caller that began the download may give up without harm to the others.
func TestLeaderLeaves(t *testing.T) {
	s := newStand(t)
	o := s.options(t, "")
	left := make(chan struct{})
	s.handle(func(w http.ResponseWriter, r *http.Request) {
		<-left
		s.serveTarball(w, r)
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := ensure(ctx, o, s.recipe()); !errors.Is(err, context.Canceled) {
			t.Errorf("leader: %v", err)
		}
		close(left)
	})
	waitForCallers(t, o, 1)
	wg.Go(func() {
		b, err := ensure(t.Context(), o, s.recipe())
		if err != nil {
			t.Errorf("follower: %v", err)
			return
		}
		wantInstalled(t, b, s.binary)
	})
	waitForCallers(t, o, 2)
	cancel()
	wg.Wait()
	if n := s.hit(tarballPath); n != 1 {
		t.Errorf("%d downloads", n)
	}
}

func TestProcessesShareOneDownload(t *testing.T) {
	s := newStand(t)
	dir := t.TempDir()
	waiting := make(chan struct{})
	s.handle(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-waiting:
		case <-time.After(30 * time.Second):
		}
		s.serveTarball(w, r)
	})
	const n = 3
	var wg sync.WaitGroup
	var once sync.Once
	var mu sync.Mutex
	waiters := 0
	for range n {
		cmd, out := s.helper(t, os.Args[0], dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			var all []string
			for lines := bufio.NewScanner(out); lines.Scan(); {
				all = append(all, lines.Text())
				if lines.Text() == "event waiting" {
					mu.Lock()
					waiters++
					if waiters == n-1 {
						once.Do(func() { close(waiting) })
					}
					mu.Unlock()
				}
			}
			if err := cmd.Wait(); err != nil || !strings.HasPrefix(all[len(all)-1], "path ") {
				t.Errorf("process: %v, printed %q", err, all)
			}
		})
	}
	wg.Wait()
	if got := s.hit(tarballPath); got != 1 || waiters != n-1 {
		t.Errorf("%d downloads, %d said that they wait; want 1 and %d", got, waiters, n-1)
	}
	wantInstalled(t, Binary{Path: filepath.Join(dir, "deno", testVersion+"-plan9-sparc", "deno")}, s.binary)
}

func TestKilledProcessBlocksNobody(t *testing.T) {
	s := newStand(t)
	o := s.options(t, "")
	s.handle(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(s.tarball[:100_000])
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	cmd, out := s.helper(t, os.Args[0], o.DataDir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "event download" {
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	left, err := filepath.Glob(filepath.Join(o.testDir(), tempPrefix+"*"))
	if err != nil || len(left) != 1 {
		t.Fatalf("the killed process left %q, %v; want one file", left, err)
	}

	s.handle(s.serveTarball)
	b, err := ensure(t.Context(), o, s.recipe())
	if err != nil {
		t.Fatal(err)
	}
	wantInstalled(t, b, s.binary)
}

// Root may write everywhere, so this runs as another user where it can.
func TestReadOnlyDataDir(t *testing.T) {
	s := newStand(t)
	dir, err := os.MkdirTemp("", "release-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	program := filepath.Join(dir, "helper")
	data, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, data, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd, out := s.helper(t, program, dir)
	cmd.Dir = dir
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o755) })
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	if cmd.Wait() == nil || !strings.Contains(string(text), "permission denied; make "+dir+" a folder") {
		t.Errorf("printed %q", text)
	}
}

func TestWaiterCanBeCancelled(t *testing.T) {
	s := newStand(t)
	o := s.options(t, "")
	if err := os.MkdirAll(o.testDir(), 0o755); err != nil {
		t.Fatal(err)
	}
	// A second open of the file is a second owner, as another process is.
	f, err := os.Create(filepath.Join(o.testDir(), lockName))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.Progress = func(e Event) {
		if e.Stage == StageWaiting {
			cancel()
		}
	}
	if _, err := ensure(ctx, o, s.recipe()); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
