package chaos

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/selvedge-dev/selvedge/e2e/harness"
	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
)

const (
	tells    = "functions that run go on, others get a clear error; /health tells; all is well again without a restart"
	patience = 30 * time.Second
)

// told waits until /health answers so, and returns how long that took.
func told(t *testing.T, s *harness.Server, status int, body string) time.Duration {
	t.Helper()
	began := time.Now()
	got := ""
	defer func() {
		if t.Failed() {
			t.Logf("/health says %s, not %d %s", got, status, body)
		}
	}()
	transport := &http.Transport{DisableKeepAlives: true}
	ask := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	harness.Eventually(t, patience, "/health says so", func() bool {
		time.Sleep(20 * time.Millisecond)
		res, err := ask.Get(s.URL + "/health")
		if err != nil {
			got = err.Error()
			return false
		}
		defer res.Body.Close()
		raw, _ := io.ReadAll(res.Body)
		got = fmt.Sprintf("%d %s", res.StatusCode, raw)
		return res.StatusCode == status && string(raw) == body
	})
	return time.Since(began)
}

const (
	well = `{"message":"ok"}`
)

func degraded(code string) string  { return `{"message":"degraded","problems":["` + code + `"]}` }
func unhealthy(code string) string { return `{"message":"unhealthy","problems":["` + code + `"]}` }

// answers fails the test unless the function answers, soon.
func answers(t *testing.T, s *harness.Server, slug string) {
	t.Helper()
	c := newClient(t)
	var o outcome
	defer func() {
		if t.Failed() {
			t.Logf("%s: %s", slug, o)
		}
	}()
	harness.Eventually(t, patience, slug+" answers", func() bool {
		o = c.post(s.URL + "/" + slug)
		if failed(o) {
			time.Sleep(100 * time.Millisecond)
		}
		return !failed(o)
	})
}

// refuses fails the test unless the function cannot be started, and the log has
// the reason.
func refuses(t *testing.T, s *harness.Server, slug, reason string) {
	t.Helper()
	o := newClient(t).post(s.URL + "/" + slug)
	if o.status != http.StatusServiceUnavailable || o.code != "BOOT_ERROR" {
		t.Errorf("%s: %s, want 503 BOOT_ERROR", slug, o)
	}
	if strings.Contains(o.body, reason) {
		t.Errorf("a client is told %q", o.body)
	}
	harness.Eventually(t, patience, "the log says "+reason, func() bool {
		return slices.ContainsFunc(s.Logged("boot_failure"), func(e map[string]any) bool {
			return e["slug"] == slug && strings.Contains(fmt.Sprint(e["msg"], e["detail"]), reason)
		})
	})
}

// says fails the test unless the log has a line with the problem's code.
func says(t *testing.T, s *harness.Server, code string) {
	t.Helper()
	harness.Eventually(t, patience, "the log names "+code, func() bool {
		return strings.Contains(s.Out.String(), `"problem":"`+code+`"`)
	})
}

// killAll ends all workers of a server, those that wait among them.
func killAll(t *testing.T, s *harness.Server) {
	t.Helper()
	all := workers(t, s)
	for _, pid := range all {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	harness.Eventually(t, patience, "they are gone", func() bool {
		return !slices.ContainsFunc(workers(t, s), func(pid int) bool { return slices.Contains(all, pid) })
	})
}

// A disk is a small file system of its own.
type disk struct{ dir string }

func newDisk(t *testing.T, size string) *disk {
	t.Helper()
	dir, err := os.MkdirTemp("", "svd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := unix.Mount("none", dir, "tmpfs", 0, "mode=700,nr_inodes=3000,size="+size); err != nil {
		t.Skipf("no small file system can be mounted here (%v): it takes root", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return &disk{dir}
}

func (d *disk) filler() string { return filepath.Join(d.dir, "filler") }

// fill leaves neither a byte nor a name. It can be repeated.
func (d *disk) fill(t *testing.T) {
	t.Helper()
	if err := os.MkdirAll(d.filler(), 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(d.filler(), "bytes"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	for err == nil {
		_, err = f.Write(make([]byte, 4<<10))
	}
	f.Close()
	for i := 0; errors.Is(err, syscall.ENOSPC); i++ {
		name := filepath.Join(d.filler(), fmt.Sprint(i))
		if _, there := os.Lstat(name); there == nil {
			continue
		}
		if werr := os.WriteFile(name, nil, 0o600); errors.Is(werr, syscall.ENOSPC) {
			return
		} else if werr != nil {
			err = werr
		}
	}
	t.Fatal(err)
}

func (d *disk) free() { os.RemoveAll(d.filler()) }

// data makes the disk a data folder that can build.
func (d *disk) data(t *testing.T) []string {
	denotest.IsolatedPackages(t, filepath.Join(d.dir, "packages"))
	return []string{"SELVEDGE_DATA_DIR=" + d.dir}
}

// trio is a project of three functions that do the same.
func trio(t *testing.T) string {
	files := map[string]string{}
	for _, slug := range []string{"a", "b", "c"} {
		files["functions/"+slug+"/index.ts"] = `// ` + slug + `
			Deno.serve(async (r) => new Response(Deno.env.get("SB_EXECUTION_ID") + await r.text()));`
	}
	return project(t, files)
}

func TestDataFolderFull(t *testing.T) {
	d := newDisk(t, "24m")
	s := harness.Start(t, harness.Options{Command: "serve", Functions: trio(t), Env: d.data(t)})
	answers(t, s, "a")
	d.fill(t)
	first := told(t, s, 200, degraded("data_full"))
	says(t, s, "data_full")
	answers(t, s, "a")
	killAll(t, s) // and again in a new worker, since it was built before
	answers(t, s, "a")
	refuses(t, s, "b", "no space left on device")
	d.free()
	last := told(t, s, 200, well)
	answers(t, s, "b")
	note(t, "the data folder's disk is full", tells, "/health: degraded after %.1f s, ok again %.1f s after there was room", first.Seconds(), last.Seconds())
}

func TestDataFolderReadOnly(t *testing.T) {
	d := newDisk(t, "24m")
	s := harness.Start(t, harness.Options{Command: "serve", Functions: trio(t), Env: d.data(t)})
	answers(t, s, "a")
	// Workers have files of it open, so that it cannot be mounted again, but
	// something can be mounted over it.
	err := errors.Join(unix.Mount(d.dir, d.dir, "", unix.MS_BIND, ""),
		unix.Mount("", d.dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
	if err != nil {
		t.Fatal(err)
	}
	first := told(t, s, 200, degraded("data_read_only"))
	says(t, s, "data_read_only")
	answers(t, s, "a")
	killAll(t, s)
	answers(t, s, "a")
	refuses(t, s, "b", "read-only file system")
	if err := unix.Unmount(d.dir, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	last := told(t, s, 200, well)
	answers(t, s, "b")
	note(t, "the data folder is read-only", tells, "/health: degraded after %.1f s, ok again %.1f s after it could be written to", first.Seconds(), last.Seconds())
}

func TestTemporaryFolderFull(t *testing.T) {
	d := newDisk(t, "8m")
	s := harness.Start(t, harness.Options{Command: "serve", Functions: trio(t), Tmp: d.dir, Args: []string{"--prestart", "1"}})
	answers(t, s, "a")
	harness.Eventually(t, patience, "a process waits", func() bool {
		res, err := http.Get(s.URL + "/_internal/metric")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		raw, _ := io.ReadAll(res.Body)
		return strings.Contains(string(raw), `"workers_idle_prestarted":1`)
	})
	d.fill(t)
	first := told(t, s, 200, degraded("tmp_full"))
	says(t, s, "tmp_full")
	answers(t, s, "a")
	harness.Eventually(t, patience, "no worker is there or can be started", func() bool {
		for range 10 { // one that ends leaves room for another one
			killAll(t, s)
			d.fill(t)
		}
		return strings.Contains(s.Out.String(), `"problem":"starts_fail"`)
	})
	refuses(t, s, "b", "no space left on device")
	told(t, s, 503, `{"message":"unhealthy","problems":["tmp_full","starts_fail"]}`)
	d.free()
	last := told(t, s, 200, well)
	answers(t, s, "a")
	answers(t, s, "b")
	note(t, "the temporary folder's disk is full", tells, "/health: degraded after %.1f s, 503 without any worker, ok again %.1f s after there was room", first.Seconds(), last.Seconds())
}

func TestDenoRemoved(t *testing.T) {
	binary := filepath.Join(denotest.TempDir(t), "deno")
	provide := func() {
		t.Helper()
		copyDeno(t, binary)
	}
	provide()
	s := harness.Start(t, harness.Options{Command: "serve", Functions: trio(t), Args: []string{"--deno", binary}})
	answers(t, s, "a")
	if err := os.Remove(binary); err != nil {
		t.Fatal(err)
	}
	first := told(t, s, 200, degraded("deno_missing"))
	says(t, s, "deno_missing")
	answers(t, s, "a")
	killAll(t, s)
	none := told(t, s, 503, unhealthy("deno_missing"))
	refuses(t, s, "b", "no such file or directory")
	provide()
	last := told(t, s, 200, well)
	answers(t, s, "a")
	answers(t, s, "b")
	note(t, "the Deno binary is removed", tells, "/health: degraded after %.1f s, 503 %.1f s after the last worker was gone, ok again %.1f s after it was put back",
		first.Seconds(), none.Seconds(), last.Seconds())

	provide() // in the place of the one before
	harness.Eventually(t, patience, "the log says that it was replaced", func() bool {
		return strings.Contains(s.Out.String(), "the Deno binary was replaced")
	})
	answers(t, s, "c")
	if n := len(s.Logged("uncaught_exception")); n > 10 {
		t.Errorf("%d workers ended by themselves", n)
	}
	note(t, "the Deno binary is replaced", "functions that run go on, others start with what is there; the log says so", "so it was")
}

// TestPaused stops the server, and its workers in a second round, for longer
// than they may live and be idle. That time counts for nobody.
func TestPaused(t *testing.T) {
	files := map[string]string{
		"functions/fn/index.ts": `Deno.serve(async (r) => {
			const ms = Number(await r.text());
			if (ms > 0) await new Promise((f) => setTimeout(f, ms));
			return new Response(Deno.env.get("SB_EXECUTION_ID"));
		});`,
	}
	s := harness.Start(t, harness.Options{Command: "serve", Functions: project(t, files),
		Args: []string{"--worker-idle", "3s", "--timeout", "10s", "--prestart", "1"}})
	call := func(body string) outcome {
		o := outcome{sent: time.Now()}
		res, err := http.Post(s.URL+"/fn", "text/plain", strings.NewReader(body))
		if o.err = err; err == nil {
			defer res.Body.Close()
			raw, _ := io.ReadAll(res.Body)
			o.status, o.body = res.StatusCode, string(raw)
		}
		return o
	}
	first := call("0")
	gap := scaled(6*time.Second, 30*time.Second)
	for _, all := range []bool{false, true} {
		pids := []int{s.Cmd.Process.Pid}
		if all {
			pids = append(workers(t, s), pids...)
		}
		flying := make(chan outcome, 1)
		go func() { flying <- call("400") }()
		time.Sleep(150 * time.Millisecond) // it has reached the worker
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGSTOP)
		}
		time.Sleep(gap)
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
		if o := <-flying; failed(o) || o.body != first.body {
			t.Errorf("the request that was under way, workers stopped too: %t: %s, want %s", all, o, first)
		}
		time.Sleep(600 * time.Millisecond) // all that looks after workers has looked
		if o := call("0"); failed(o) || o.body != first.body {
			t.Errorf("the next request, workers stopped too: %t: %s, want %s", all, o, first)
		}
		for _, e := range s.Logged("shutdown") {
			if e["slug"] == "fn" {
				t.Errorf("the worker was stopped: %v", e)
			}
		}
	}
	// Time that is not lost counts as ever.
	harness.Eventually(t, patience, "the idle worker ends", func() bool { return len(s.Logged("shutdown")) > 0 })
	note(t, "the server, then its workers too, are stopped (SIGSTOP) for longer than a worker may be idle and live", "no worker is judged by it, no request is lost",
		"twice %s with 3 s and 5 s allowed; the same worker answered", gap)
}

// TestOpenFiles takes all descriptors that clients can take, then all others.
func TestOpenFiles(t *testing.T) {
	const files = 400
	s := harness.Start(t, harness.Options{Command: "serve", Functions: trio(t), OpenFiles: files, Args: []string{"--prestart", "1"}})
	answers(t, s, "a")
	var idle []net.Conn
	defer func() {
		for _, c := range idle {
			c.Close()
		}
	}()
	for i := range 2 * files {
		c, err := net.DialTimeout("tcp", strings.TrimPrefix(s.URL, "http://"), 10*time.Second)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		idle = append(idle, c)
		if i%2 == 0 { // half of them say nothing
			fmt.Fprintf(c, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
		}
	}
	took := told(t, s, 200, well)
	answers(t, s, "a")
	answers(t, s, "b") // which needs a worker
	if !strings.Contains(s.Out.String(), "open files are short") {
		t.Error("the log does not say that open files are short")
	}
	// Those in use stay; those that are too many are told so.
	held := make(chan outcome, 300)
	for range cap(held) {
		c := newClient(t)
		go func() { held <- c.post(s.URL + "/a?" + strings.Repeat("x", 100)) }()
	}
	refused := 0
	for range cap(held) {
		if o := <-held; o.err != nil || o.status != 200 && o.code != "OVERLOADED" {
			t.Errorf("one of many: %s", o)
		} else if o.status != 200 {
			refused++
		}
	}

	// Now nobody gets any more.
	pid := s.Cmd.Process.Pid
	for _, c := range idle {
		c.Close()
	}
	idle = nil
	c := newClient(t)
	c.post(s.URL + "/a")
	limit := func(n uint64) {
		if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: files}, nil); err != nil {
			t.Fatal(err)
		}
	}
	limit(4)
	harness.Eventually(t, patience, "/health says open_files", func() bool {
		time.Sleep(20 * time.Millisecond)
		res, err := c.http.Get(s.URL + "/health")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		raw, _ := io.ReadAll(res.Body)
		return res.StatusCode == 200 && string(raw) == degraded("open_files")
	})
	says(t, s, "open_files")
	// On a connection that is there already.
	if o := c.post(s.URL + "/a"); failed(o) {
		t.Errorf("a worker that is connected: %s", o)
	}
	if o := c.post(s.URL + "/c"); o.status != http.StatusServiceUnavailable {
		t.Errorf("a function that needs a worker: %s", o)
	}
	limit(files)
	last := told(t, s, 200, well)
	answers(t, s, "c")
	note(t, "all open files are taken", tells, "by %d idle connections where %d files may be open: /health answered after %.1f s, %d of 300 requests at once got OVERLOADED; by lowering the limit: ok again after %.1f s",
		2*files, files, took.Seconds(), refused, last.Seconds())
}
