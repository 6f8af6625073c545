package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// hold sends a request that is not answered before leave is called.
func (s *server) hold(path string) (leave func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if status, err := s.status(ctx, path); err == nil && ctx.Err() == nil {
			s.t.Errorf("%s was answered with %d", path, status)
		}
	}()
	leave = func() {
		cancel()
		<-done
	}
	s.t.Cleanup(leave)
	return leave
}

// status sends a request that ctx ends and returns the answer's status.
func (s *server) status(ctx context.Context, path string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", s.URL+path, nil)
	if err != nil {
		return 0, err
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

// refused checks an answer to a request that was not taken in.
func refused(t *testing.T, a answer, status int, message string, least, most int) {
	t.Helper()
	if a.status != status || a.body != fmt.Sprintf(`{"code":"OVERLOADED","message":%q}`, message) || a.header.Get("Sb-Error-Code") != "OVERLOADED" {
		t.Errorf("got %d %s %v", a.status, a.body, a.header)
	}
	if after, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || after < least || after > most {
		t.Errorf("Retry-After is %q, want %d to %d", a.header.Get("Retry-After"), least, most)
	}
	if a.header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(a.header.Get("Access-Control-Expose-Headers"), "retry-after") {
		t.Errorf("a page cannot read it: %v", a.header)
	}
	if relay := a.header.Get("X-Relay-Error") == "true"; relay != (status == 503) {
		t.Errorf("X-Relay-Error is %t with %d", relay, status)
	}
}

const (
	silent       = `Deno.serve(() => new Promise(() => {}));`
	waitingFor   = "Too many requests are waiting for this function"
	openOnServer = "Too many requests are open on this server"
)

func TestRateLimit(t *testing.T) {
	dir := project(t, map[string]string{
		"functions/a/index.ts":    fmt.Sprintf(hello, "a"),
		"functions/b/index.ts":    fmt.Sprintf(hello, "b"),
		"functions/free/index.ts": fmt.Sprintf(hello, "free"),
		"config.toml":             "[edge_runtime]\nrate_limit = \"3/h\"\n[functions.b]\nrate_limit = \"1/m burst 2\"\n[functions.free]\nrate_limit = \"off\"\n",
	})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions")})
	for slug, n := range map[string]int{"a": 3, "b": 2, "free": 10} {
		for range n {
			if a := s.call("POST", "/"+slug, "x"); a.status != 200 || a.body != slug {
				t.Errorf("%s: %d %q", slug, a.status, a.body)
			}
		}
	}
	const message = "Too many requests, the rate limit of this function is reached"
	refused(t, s.call("POST", "/a", "x", "Origin", "https://app.example"), 429, message, 1000, 1200)
	refused(t, s.call("GET", "/functions/v1/b", ""), 429, message, 1, 60)
	if a := s.call("OPTIONS", "/a", "", "Origin", "https://app.example", "Access-Control-Request-Method", "POST"); a.status != 200 && a.status != 204 {
		t.Errorf("preflight: %d", a.status)
	}
	if a := s.call("GET", "/health", ""); a.status != 200 {
		t.Errorf("health: %d", a.status)
	}
}

func TestFullQueue(t *testing.T) {
	dir := project(t, map[string]string{
		"functions/a/index.ts": silent,
		"config.toml":          "[functions.a]\npolicy = \"per_request\"\nmax_workers = 1\nmax_queue = 1\n",
	})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions")})
	s.hold("/a")
	eventually(t, 20*time.Second, "the first request has a worker", func() bool { return s.metric("requests_in_worker") == 1 })
	leave := s.hold("/a")
	eventually(t, 20*time.Second, "the second one waits", func() bool { return s.metric("requests_queued") == 1 })
	refused(t, s.call("POST", "/a", "x"), 503, waitingFor, 1, 60)
	leave()
	eventually(t, 20*time.Second, "who left does not wait", func() bool { return s.metric("requests_queued") == 0 })
	s.hold("/a")
	eventually(t, 20*time.Second, "the next one waits", func() bool { return s.metric("requests_queued") == 1 })
	refused(t, s.call("GET", "/a", ""), 503, waitingFor, 1, 60)
}

func TestQueueTimeout(t *testing.T) {
	dir := project(t, map[string]string{"functions/a/index.ts": silent})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions"),
		Args: []string{"--max-workers", "1", "--max-concurrency", "1"}, Env: []string{"SELVEDGE_QUEUE_TIMEOUT=5s"}})
	s.hold("/a")
	eventually(t, 20*time.Second, "the first request has a worker", func() bool { return s.metric("requests_in_worker") == 1 })
	began := time.Now()
	// While nobody is served, who is refused may as well wait as long again.
	refused(t, s.call("GET", "/a", ""), 503, waitingFor, 1, 60)
	if took := time.Since(began); took < 5*time.Second || took > 25*time.Second {
		t.Errorf("it was refused after %s", took)
	}
	// Without a queue a function that sleeps is called all the same.
	dir = project(t, map[string]string{"functions/a/index.ts": fmt.Sprintf(hello, "a")})
	s = start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions"), Args: []string{"--max-queue=0"}})
	s.becomes("/a", "a")
}

func TestMaxRequests(t *testing.T) {
	dir := project(t, map[string]string{"functions/a/index.ts": silent, "functions/b/index.ts": fmt.Sprintf(hello, "b")})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions"), Args: []string{"--max-requests", "1"}})
	leave := s.hold("/a")
	eventually(t, 20*time.Second, "the request has a worker", func() bool { return s.metric("requests_in_worker") == 1 })
	refused(t, s.call("GET", "/b", ""), 503, openOnServer, 1, 1)
	leave()
	eventually(t, 20*time.Second, "there is room again", func() bool { return s.call("GET", "/b", "").status == 200 })
}

func TestAdmissionMistakes(t *testing.T) {
	for config, want := range map[string]string{
		"[functions.a]\nrate_limit = 100":         `config.toml:2: functions.a.rate_limit: it is a whole number; write a text such as "100/s"`,
		"[functions.a]\n\nrate_limit = \"100/d\"": `config.toml:3: functions.a.rate_limit: "100/d": "d" is no unit of time; write "100/s"`,
		"[edge_runtime]\nmax_queue = -1":          "config.toml:2: edge_runtime.max_queue: -1 is out of range; write a number from 0",
		"[functions.a]\nqueue_timeout_s = \"1\"":  "config.toml:2: functions.a.queue_timeout_s: it is a text; write a whole number",
	} {
		dir := project(t, map[string]string{"functions/a/index.ts": silent, "config.toml": config})
		_, errs, code := runIn(t, "", "serve", "--functions", filepath.Join(dir, "functions"), "--require-auth=false", "--listen", "127.0.0.1:0")
		if code != 2 || !strings.Contains(errs, want) {
			t.Errorf("exit code %d: %s\nwant %s", code, errs, want)
		}
	}
}

// TestHotFunctionStarvesNobody has one function called by more than it can
// serve, with everything against the others: it burns CPU, has starts waiting
// without end that take long, and a full queue. Alone, the quiet ones answer in
// 1 ms, and start in 5.
func TestHotFunctionStarvesNobody(t *testing.T) {
	const quietBound, coldBound, refusalBound = time.Second, 8 * time.Second, time.Second
	for name, hot := range map[string]struct{ source, config string }{
		"it burns CPU": {
			`Deno.serve(() => { const end = performance.now() + 20; while (performance.now() < end); return new Response("burnt"); });`,
			"policy = \"per_request\"\nmax_queue = 10",
		},
		"it starts without end": {
			`await new Promise((r) => setTimeout(r, 1000)); Deno.serve(() => new Response("at last"));`,
			"policy = \"oneshot\"\nmax_workers = 40\nmax_queue = 4",
		},
	} {
		t.Run(name, func(t *testing.T) {
			const colds = 6
			files := map[string]string{
				"functions/hot/index.js":   hot.source,
				"functions/quiet/index.ts": fmt.Sprintf(hello, "quiet"),
				"config.toml":              "[functions.hot]\n" + hot.config + "\n",
			}
			for i := range colds {
				files[fmt.Sprintf("functions/cold%d/index.ts", i)] = fmt.Sprintf(hello, "cold")
			}
			dir := project(t, files)
			functions := filepath.Join(dir, "functions")
			if out, errs, code := runIn(t, "", "bundle", "--functions", functions); code != 0 {
				t.Fatalf("%s%s", out, errs)
			}
			s := start(t, options{Command: "serve", Functions: functions})
			s.becomes("/quiet", "quiet")

			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			var all sync.WaitGroup
			var mu sync.Mutex
			var refusals []time.Duration
			served := 0
			for range 60 {
				all.Go(func() {
					for ctx.Err() == nil {
						began := time.Now()
						status, err := s.status(ctx, "/hot")
						if err != nil {
							if ctx.Err() == nil {
								t.Error(err)
							}
							return
						}
						mu.Lock()
						switch status {
						case 200:
							served++
						case 503:
							refusals = append(refusals, time.Since(began))
						default:
							t.Errorf("the hot function answered %d", status)
						}
						mu.Unlock()
						if status == 503 {
							time.Sleep(50 * time.Millisecond)
						}
					}
				})
			}
			many := func() bool { mu.Lock(); defer mu.Unlock(); return len(refusals) > 100 }
			eventually(t, 30*time.Second, "the hot function's queue is full", many)
			var warm, cold []time.Duration
			for i := range 150 {
				began := time.Now()
				s.becomes("/quiet", "quiet")
				warm = append(warm, time.Since(began))
				if i%25 == 0 {
					began = time.Now()
					s.becomes(fmt.Sprintf("/cold%d", i/25), "cold")
					cold = append(cold, time.Since(began))
				}
			}
			stop()
			all.Wait()
			p99 := func(d []time.Duration) time.Duration { slices.Sort(d); return d[len(d)*99/100] }
			t.Logf("quiet: p99 %s; cold: at most %s; hot: %d served, %d refused, p99 %s",
				p99(warm), slices.Max(cold), served, len(refusals), p99(refusals))
			if p99(warm) > quietBound || slices.Max(cold) > coldBound || p99(refusals) > refusalBound {
				t.Errorf("bounds are %s, %s and %s for a refusal", quietBound, coldBound, refusalBound)
			}
		})
	}
}
