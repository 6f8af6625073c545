package chaos

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/e2e/harness"
	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
)

// workers returns the process ids of a server's workers.
func workers(t *testing.T, s *harness.Server) []int {
	t.Helper()
	var pids []int
	for _, p := range denotest.Processes(t, s.Tmp+"/selvedge-") {
		pid, _, _ := strings.Cut(p, " ")
		if n, err := strconv.Atoi(pid); err == nil && n != s.Cmd.Process.Pid {
			pids = append(pids, n)
		}
	}
	return pids
}

// proportional returns the memory of a process that is its own, and its share
// of what it has in common with others, in bytes; 0 when it is gone.
func proportional(pid int) int64 {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "Pss:" {
			kb, _ := strconv.ParseInt(f[1], 10, 64)
			return kb << 10
		}
	}
	return 0
}

// copyDeno puts a copy of the binary where path is, in one step.
func copyDeno(t *testing.T, path string) {
	t.Helper()
	in, err := os.Open(denotest.Binary(t))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close(), os.Rename(out.Name(), path)); err != nil {
		t.Fatal(err)
	}
}

// ownDeno is a binary that nobody else on the machine runs: what other
// processes have in common with the workers would be counted as theirs.
func ownDeno(t *testing.T) (args []string) {
	t.Helper()
	path := filepath.Join(denotest.TempDir(t), "deno")
	copyDeno(t, path)
	return []string{"--deno", path}
}

// A footprint is what a server takes of the machine.
type footprint struct {
	server, tree            int64 // bytes
	files, processes, paths int
}

func take(t *testing.T, s *harness.Server) footprint {
	t.Helper()
	pid := s.Cmd.Process.Pid
	f := footprint{server: proportional(pid)}
	f.tree = f.server
	for _, w := range workers(t, s) {
		f.tree += proportional(w)
		f.processes++
	}
	open, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	f.files = len(open)
	_ = filepath.WalkDir(s.Tmp, func(string, os.DirEntry, error) error { f.paths++; return nil })
	return f
}

func (f footprint) String() string {
	return fmt.Sprintf("server %d MB, all %d MB, %d open files, %d workers, %d paths", f.server>>20, f.tree>>20, f.files, f.processes, f.paths)
}

// settle waits until the server has no worker but those that wait for a
// function, and returns what it takes then: the least of a few looks.
func settle(t *testing.T, s *harness.Server, processes int) footprint {
	t.Helper()
	harness.Eventually(t, time.Minute, "the workers are gone", func() bool { return len(workers(t, s)) == processes })
	least := take(t, s)
	for end := time.Now().Add(scaled(4*time.Second, 15*time.Second)); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		f := take(t, s)
		least.server, least.tree = min(least.server, f.server), min(least.tree, f.tree)
		least.files, least.paths = min(least.files, f.files), min(least.paths, f.paths)
	}
	return least
}

const prestarted = 2

func TestKilledWorkers(t *testing.T) {
	folder := project(t, map[string]string{
		"functions/fn/index.ts": `Deno.serve(async (r) => { await r.text(); await new Promise((f) => setTimeout(f, 5)); return new Response("ok"); });`,
	})
	s := harness.Start(t, harness.Options{Command: "serve", Functions: folder})
	const clients = 8
	before := startLoad(t, s.URL+"/fn", clients, time.Millisecond)
	time.Sleep(2 * time.Second)
	before.end()
	first := take(t, s).server
	l := startLoad(t, s.URL+"/fn", clients, time.Millisecond)
	kills := 0
	for end := time.Now().Add(scaled(5*time.Second, 60*time.Second)); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if pids := workers(t, s); len(pids) > 0 {
			if syscall.Kill(pids[rand.IntN(len(pids))], syscall.SIGKILL) == nil {
				kills++
			}
		}
	}
	all := l.end()
	lost := count(all, failed)
	undocumented := func(o outcome) bool { return failed(o) && o.err == nil && o.code != "WORKER_ERROR" }
	if n := count(all, undocumented); n > 0 {
		t.Errorf("%d answers are neither the function's nor WORKER_ERROR", n)
		report(t, all, undocumented)
	}
	if lost > kills*clients || kills < 10 {
		t.Errorf("%d requests failed of at most %d that were in flight on a killed worker, %d kills", lost, kills*clients, kills)
	}
	if o := newClient(t).post(s.URL + "/fn"); failed(o) {
		t.Errorf("afterwards: %s", o)
	}
	last := take(t, s).server
	if last > first+first/2+16<<20 {
		t.Errorf("the server grew from %d to %d MB", first>>20, last>>20)
	}
	note(t, "SIGKILL of a random worker each 200 ms under load", "only requests in flight on it fail, with WORKER_ERROR",
		"%d kills, %d of %d requests failed (in flight were up to %d), server %d → %d MB", kills, lost, len(all), kills*clients, first>>20, last>>20)
}

func TestManyLives(t *testing.T) {
	folder := project(t, map[string]string{
		"functions/fn/index.ts": `Deno.serve(async (r) => { await r.text(); return new Response("ok"); });`,
		"config.toml":           "[functions.fn]\npolicy = \"oneshot\"\n",
	})
	s := harness.Start(t, harness.Options{Command: "serve", Functions: folder, Args: append(ownDeno(t), "--prestart", strconv.Itoa(prestarted))})
	live := func(n int) {
		var wg sync.WaitGroup
		for range 4 {
			c := newClient(t)
			wg.Go(func() {
				for range n / 4 {
					if o := c.post(s.URL + "/fn"); failed(o) {
						t.Error(o)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	live(100)
	first := settle(t, s, prestarted)
	lives := scaled(200, 10000)
	live(lives)
	last := settle(t, s, prestarted)
	if last.server > first.server+first.server/4+8<<20 || last.files > first.files+8 || last.paths > first.paths+4 {
		t.Errorf("after 100 lives: %s; after %d more: %s", first, lives, last)
	}
	note(t, fmt.Sprintf("%d worker lives", lives), "memory, open files, processes and folders back to what they were after the first 100",
		"after 100: %s; at the end: %s", first, last)
}

func TestMemoryComesBack(t *testing.T) {
	functions := scaled(10, 50)
	files := map[string]string{}
	for i := range functions {
		files[fmt.Sprintf("functions/f%d/index.ts", i)] = `const line = "x".repeat(150);
			Deno.serve(async (r) => {
				await r.text();
				const a = [];
				for (let i = 0; i < 20000; i++) a.push({ i });
				for (let i = 0; i < 5; i++) console.log(line); // what the server keeps of it is memory, too
				return new Response("" + a.length);
			});`
	}
	s := harness.Start(t, harness.Options{Command: "serve", Functions: project(t, files),
		Args: append(ownDeno(t), "--prestart", strconv.Itoa(prestarted), "--worker-idle", "2s")})
	c := newClient(t)
	c.post(s.URL + "/f0") // what is made once is made
	first := settle(t, s, prestarted)
	var hot footprint
	for range scaled(20, 200) {
		for i := range functions {
			if o := c.post(fmt.Sprintf("%s/f%d", s.URL, i)); failed(o) {
				t.Fatal(o)
			}
		}
	}
	hot = take(t, s)
	began := time.Now()
	last := settle(t, s, prestarted)
	limit := first.tree + first.tree/10 + scaled[int64](16<<20, 0)
	for last.tree > limit && time.Since(began) < 2*time.Minute {
		time.Sleep(time.Second)
		last = take(t, s)
	}
	if last.tree > limit {
		t.Errorf("at the start %s; hot %s; idle again %s", first, hot, last)
	}
	note(t, fmt.Sprintf("%d functions hot, then idle", functions), "memory of all processes within 10 % of the start",
		"start %d MB (server %d), hot %d MB (server %d), idle for %.0f s %d MB (server %d): %+.1f %%",
		first.tree>>20, first.server>>20, hot.tree>>20, hot.server>>20, time.Since(began).Seconds(), last.tree>>20, last.server>>20,
		100*float64(last.tree-first.tree)/float64(first.tree))
}
