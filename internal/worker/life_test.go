package worker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/confine"
	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
	"github.com/selvedge-dev/selvedge/internal/function"
)

func TestRetire(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	sub := s.load(t, `
		addEventListener("beforeunload", (e) => console.log("unload", e.type, e.detail.reason));
		globalThis.onbeforeunload = (e) => { console.log("on", e.detail.reason); };
		Deno.serve(() => new Response("ok"));`)
	sub.get(t, "/fn", "")
	began := time.Now()
	sub.Retire(t.Context(), "wall_clock")
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("retiring an idle function took %s", took)
	}
	var texts []string
	for _, r := range sub.logs.all() {
		texts = append(texts, r.Text)
	}
	slices.Sort(texts)
	if !slices.Equal(texts, []string{"on wall_clock", "unload beforeunload wall_clock"}) {
		t.Errorf("logs %q", texts)
	}
	exit := sub.Exit()
	if sub.State() != Exited || !exit.Asked || exit.Lived <= 0 || exit.CPU <= 0 || exit.MaxRSS < 10<<20 {
		t.Errorf("%s %+v", sub.State(), exit)
	}
	if _, err := sub.try(httptest.NewRequest("GET", "/fn", nil)); err == nil {
		t.Error("a retired worker answers")
	}
}

func TestRetireWaits(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	t.Run("for waitUntil", func(t *testing.T) {
		t.Parallel()
		sub := s.load(t, `Deno.serve(() => {
			EdgeRuntime.waitUntil(new Promise((r) => setTimeout(() => { console.log("task done"); r(); }, 400)));
			return new Response("ok");
		});`)
		if sub.Waiting() {
			t.Error("it waits before a request came")
		}
		sub.get(t, "/fn", "req-7")
		eventually(t, "waiting", sub.Waiting)
		began := time.Now()
		sub.Retire(t.Context(), "early_drop")
		if took := time.Since(began); took < 300*time.Millisecond {
			t.Errorf("retired after %s", took)
		}
		if r := sub.logs.find(t, "task done"); r.RequestID != "req-7" {
			t.Errorf("%+v", r)
		}
	})
	t.Run("for what beforeunload gives to waitUntil", func(t *testing.T) {
		t.Parallel()
		sub := s.load(t, `
			addEventListener("beforeunload", () => EdgeRuntime.waitUntil((async () => {
				await new Promise((r) => setTimeout(r, 150));
				console.log("saved");
			})()));
			Deno.serve(() => new Response());`)
		sub.Retire(t.Context(), "memory")
		sub.logs.find(t, "saved")
	})
	t.Run("for all of several, also rejected", func(t *testing.T) {
		t.Parallel()
		sub := s.load(t, `
			const task = (ms, f) => EdgeRuntime.waitUntil(new Promise((r, j) => setTimeout(() => { console.log("task", ms); f ? j(new Error("lost")) : r(); }, ms)));
			Deno.serve(() => { task(20); task(60, true); task(250); return new Response(); });`)
		sub.get(t, "/fn", "")
		eventually(t, "waiting", sub.Waiting)
		sub.Retire(t.Context(), "early_drop")
		sub.logs.find(t, "task 250")
		if r := sub.logs.find(t, "Error: lost"); r.Level != deno.LevelError {
			t.Errorf("%+v", r)
		}
	})
	t.Run("no longer than its context", func(t *testing.T) {
		t.Parallel()
		sub := s.load(t, `Deno.serve(() => { EdgeRuntime.waitUntil(new Promise(() => {})); return new Response(); });`)
		sub.get(t, "/fn", "")
		eventually(t, "waiting", sub.Waiting)
		began := time.Now()
		sub.Retire(within(t, 200*time.Millisecond), "early_drop")
		if took := time.Since(began); took < 200*time.Millisecond || took > 2*time.Second {
			t.Errorf("retired after %s", took)
		}
	})
	t.Run("not for a floating promise", func(t *testing.T) {
		t.Parallel()
		sub := s.load(t, `Deno.serve(() => { new Promise((r) => setTimeout(r, 60000)); return new Response(); });`)
		sub.get(t, "/fn", "")
		began := time.Now()
		sub.Retire(t.Context(), "early_drop")
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("retired after %s", took)
		}
	})
	t.Run("not for one that is dead", func(t *testing.T) {
		t.Parallel()
		sub := s.load(t, `
			addEventListener("beforeunload", () => Deno.exit(7));
			Deno.serve(() => new Response());`)
		sub.Retire(t.Context(), "early_drop")
		if code := sub.Exit().Code; code != 7 {
			t.Errorf("code %d", code)
		}
	})
	t.Run("not for a listener that loops", func(t *testing.T) {
		t.Parallel()
		sub := s.load(t, `
			addEventListener("beforeunload", () => { for (;;); });
			Deno.serve(() => new Response());`)
		sub.Retire(within(t, 200*time.Millisecond), "early_drop")
	})
	t.Run("and a listener's throw is logged", func(t *testing.T) {
		t.Parallel()
		sub := s.load(t, `
			addEventListener("beforeunload", () => { throw new Error("in unload"); });
			Deno.serve(() => new Response());`)
		sub.Retire(t.Context(), "early_drop")
		if exit := sub.Exit(); !strings.Contains(exit.Tail, "in unload") && len(sub.logs.all()) == 0 {
			t.Errorf("nobody says so: %+v", exit)
		}
	})
}

func TestEndlessLoop(t *testing.T) {
	t.Parallel()
	sub := loaded(t, `Deno.serve(() => { console.log("before the loop"); for (;;); });`)
	failed := make(chan error, 1)
	go func() {
		_, err := sub.try(httptest.NewRequest("GET", "/fn", nil))
		failed <- err
	}()
	sub.logs.find(t, "before the loop")
	began := time.Now()
	sub.Stop()
	if took := time.Since(began); took > 1500*time.Millisecond {
		t.Errorf("stopping took %s", took)
	}
	if err := <-failed; !errors.Is(err, function.ErrWorkerGone) {
		t.Errorf("the request ends in %v", err)
	}
	if exit := sub.Exit(); !exit.Asked || exit.Code != 128+int(syscall.SIGTERM) || exit.CPU <= 0 {
		t.Errorf("%+v", exit)
	}
	if err := syscall.Kill(sub.PID(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the process is still there: %v", err)
	}
}

func TestStopIsSafeToRepeat(t *testing.T) {
	t.Parallel()
	sub := loaded(t, `Deno.serve(() => new Response());`)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(sub.Stop)
		wg.Go(func() { sub.Retire(t.Context(), "early_drop") })
	}
	wg.Wait()
	if sub.State() != Exited {
		t.Error(sub.State())
	}
}

func TestProcessEnds(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	for name, c := range map[string]struct {
		source string
		code   int
		tail   string
	}{
		"Deno.exit":         {`Deno.serve(() => Deno.exit(5));`, 5, ""},
		"uncaught":          {`Deno.serve(() => { setTimeout(() => { throw new Error("uncaught one"); }); return new Promise(() => {}); });`, 1, "uncaught one"},
		"rejection":         {`Deno.serve(() => { Promise.reject(new Error("unhandled one")); return new Promise(() => {}); });`, 1, "unhandled one"},
		"memory":            {`Deno.serve(() => { const all = []; for (;;) all.push(new Array(1000).fill(0)); });`, 133, "out of memory"},
		"node:http, thrown": {`import http from "node:http"; http.createServer(() => { throw new Error("uncaught one"); }).listen();`, 1, "uncaught one"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sub := s.load(t, c.source)
			_, err := sub.try(httptest.NewRequest("GET", "/fn", nil))
			if !errors.Is(err, function.ErrWorkerGone) {
				t.Errorf("the request ends in %v", err)
			}
			exit := sub.ended(t)
			if exit.Code != c.code || exit.Asked || !strings.Contains(exit.Tail, c.tail) {
				t.Errorf("%+v", exit)
			}
			if strings.Contains(exit.Tail, "\x1e") {
				t.Errorf("a frame is in the tail: %q", exit.Tail)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	// Not parallel: it sets variables of the supervisor.
	for _, name := range []string{"JWT_SECRET", "AWS_SECRET_ACCESS_KEY", "DENO_AUTH_TOKENS", "LD_LIBRARY_PATH", "TZ", "HTTPS_PROXY", "NODE_EXTRA_CA_CERTS"} {
		t.Setenv(name, "")
		if name != "NODE_EXTRA_CA_CERTS" && name != "LD_LIBRARY_PATH" {
			t.Setenv(name, "of-the-supervisor")
		}
	}
	t.Setenv("TZ", "Asia/Tokyo")
	own := map[string]string{"GREETING": "hällo\nworld", "EMPTY": "", "SUPABASE_URL": "http://x", "DENO_DEPLOYMENT_ID": "p_fn_1", "NO_COLOR": "0"}
	sub := loaded(t, `
		const before = Deno.env.toObject();
		import process from "node:process";
		Deno.serve(() => Response.json({ before, node: { ...process.env }, tmp: Deno.env.get("TMPDIR"), cwd: Deno.cwd(),
			write: (() => { Deno.writeTextFileSync(Deno.env.get("TMPDIR") + "/x", "y"); return Deno.readTextFileSync(Deno.makeTempFileSync()); })(),
			hour: new Date(0).getHours(), args: Deno.args, argv: process.argv.slice(2) }));`, func(a *Assignment) { a.Env = own })
	got := sub.get(t, "/fn", "")
	for _, bad := range []string{"of-the-supervisor", "DENO_DIR", "DENO_NO_UPDATE_CHECK", "JWT_SECRET", "AWS_", "PATH\":", "HTTPS_PROXY"} {
		if strings.Contains(got, bad) {
			t.Errorf("the function sees %s: %s", bad, got)
		}
	}
	for _, want := range []string{`"GREETING":"hällo\nworld"`, `"EMPTY":""`, `"SUPABASE_URL":"http://x"`, `"NO_COLOR":"0"`, `"hour":9`, `"write":""`} {
		if !strings.Contains(got, want) {
			t.Errorf("the function does not see %s: %s", want, got)
		}
	}
}

func TestOwnFolder(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	first := s.load(t, `Deno.serve(() => { Deno.writeTextFileSync(Deno.env.get("TMPDIR") + "/secret", "s"); return new Response(Deno.env.get("TMPDIR")); });`)
	tmp := first.get(t, "/fn", "")
	if info, err := os.Stat(filepath.Dir(tmp)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info, err)
	}
	second := s.load(t, `Deno.serve(async (req) => {
		const tries = {};
		const path = new URL(req.url).searchParams.get("tmp");
		for (const [name, f] of Object.entries({
			read: () => Deno.readTextFileSync(path + "/secret"), list: () => [...Deno.readDirSync(path)],
			write: () => Deno.writeTextFileSync(path + "/mine", ""), connect: () => Deno.connect({ transport: "unix", path: path + "/../w.sock" }),
			passwd: () => Deno.readTextFileSync("/etc/passwd"), run: () => new Deno.Command("/bin/true").outputSync(),
			ffi: () => Deno.dlopen("libc.so.6", {}), metadata: () => fetch("http://169.254.169.254/"),
		})) {
			try { await f(); tries[name] = "done"; } catch (e) { tries[name] = e.name; }
		}
		return Response.json(tries);
	});`)
	got := second.get(t, "/fn?tmp="+tmp, "")
	want := `{"read":"NotCapable","list":"NotCapable","write":"NotCapable","connect":"NotCapable","passwd":"NotCapable","run":"NotCapable","ffi":"NotCapable","metadata":"NotCapable"}`
	if got != want {
		t.Errorf("%s", got)
	}
	first.Stop()
	if _, err := os.Stat(filepath.Dir(tmp)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of a stopped worker: %v", err)
	}
}

const orphanEnv = "SELVEDGE_TEST_ORPHAN"

// orphanHelper is the supervisor that TestOrphan kills. It prints the worker's
// process id and waits.
func orphanHelper() {
	fail := func(err error) {
		fmt.Println("error", err)
		os.Exit(1)
	}
	parts := strings.Split(os.Getenv(orphanEnv), "\n")
	h := Host{Runtime: deno.Runtime{Binary: parts[0], Bootstrap: parts[1], BundleDir: parts[2], CacheDir: parts[3]}, RunDir: parts[4]}
	if parts[6] != "" {
		h.Confiner = confine.New()
		if err := h.OwnUsers(NewUsers(firstUser, lastUser)); err != nil {
			fail(err)
		}
	}
	w, err := h.Start(context.Background(), deno.Profile{MemoryMB: 256})
	if err != nil {
		fail(err)
	}
	if parts[5] != "" {
		if _, err := w.Load(context.Background(), Assignment{Slug: "fn", Module: parts[5], Boot: boot, Log: func(deno.Record) {}}); err != nil {
			fail(err)
		}
	}
	fmt.Println("pid", w.PID())
	runtime.GC()
	select {}
}

func TestOrphan(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{
		"idle":    "",
		"serving": `Deno.serve(() => new Response());`,
		"looping": `Deno.serve(() => new Response()); setTimeout(() => { for (;;); }, 1);`,
		"walled":  `Deno.serve(() => new Response()); setTimeout(() => { for (;;); }, 2);`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			walls := ""
			if name == "walled" { // as another user, where there can be one
				walls = "on"
			}
			if (name == "looping" || name == "walled") && runtime.GOOS != "linux" {
				t.Skip("only Linux can end a looping process whose parent has died")
			}
			s := newStand(t)
			module := ""
			if source != "" {
				module = s.module(t, source)
			}
			r := s.Runtime
			helper := exec.Command(os.Args[0], "-test.run=^$")
			helper.Env = append(os.Environ(), orphanEnv+"="+strings.Join([]string{r.Binary, r.Bootstrap, r.BundleDir, r.CacheDir, s.RunDir, module, walls}, "\n"))
			out, err := helper.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := helper.Start(); err != nil {
				t.Fatal(err)
			}
			line, _ := bufio.NewReader(out).ReadString('\n')
			pid, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "pid ")))
			if err != nil {
				t.Errorf("the helper says %q", line)
			} else if found := denotest.Processes(t, s.RunDir); len(found) == 0 {
				t.Error("the worker is not running")
			}
			if err := helper.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = helper.Wait()
			if pid != 0 {
				eventually(t, "the worker's end", func() bool { return len(denotest.Processes(t, s.RunDir)) == 0 })
			}
			// What a killed server leaves is removed by the next; see TestRunDir.
			left, _ := filepath.Glob(filepath.Join(s.RunDir, "w*"))
			for _, dir := range left {
				os.RemoveAll(dir)
			}
		})
	}
}

func TestRunDir(t *testing.T) {
	parent := denotest.TempDir(t)
	t.Setenv("TMPDIR", parent)
	live, err := OpenRunDir()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(live.Path); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info, err)
	}
	abandoned := filepath.Join(parent, runDirPattern+"dead")
	foreign := filepath.Join(parent, runDirPattern+"notes") // no lock file in it
	for _, dir := range []string{filepath.Join(abandoned, "w1", "tmp"), foreign} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{filepath.Join(abandoned, "lock"), filepath.Join(abandoned, "w1", "tmp", "x"), filepath.Join(foreign, "x")} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	second, err := OpenRunDir()
	if err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]bool{live.Path: true, second.Path: true, foreign: true, abandoned: false} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s: %v", dir, err)
		}
	}
	for _, d := range []*RunDir{live, second} {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(d.Path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", d.Path, err)
		}
	}
	t.Setenv("TMPDIR", filepath.Join(parent, "missing"))
	if _, err := OpenRunDir(); err == nil || !strings.Contains(err.Error(), "TMPDIR") {
		t.Errorf("error %v", err)
	}
}

// Servers that start at the same moment must not take each other's folder for
// an abandoned one.
func TestRunDirsAtOnce(t *testing.T) {
	t.Setenv("TMPDIR", denotest.TempDir(t))
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 25 {
				d, err := OpenRunDir()
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := os.Stat(filepath.Join(d.Path, "lock")); err != nil {
					t.Errorf("it was taken away: %v", err)
				}
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestManyRequestsAtOnce(t *testing.T) {
	t.Parallel()
	sub := loaded(t, `Deno.serve(async (req) => {
		await new Promise((r) => setTimeout(r, Math.random() * 5));
		console.log(req.headers.get("sb-request-id"));
		return new Response(req.headers.get("sb-request-id"));
	});`)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			id := fmt.Sprintf("req-%d", i)
			r := httptest.NewRequest(http.MethodGet, "/fn", nil)
			r.Header.Set("Sb-Request-Id", id)
			rec, err := sub.try(r)
			if err != nil || rec.Body.String() != id {
				t.Errorf("%s: %v %q", id, err, rec.Body)
			}
		})
	}
	wg.Wait()
	eventually(t, "all logs", func() bool { return len(sub.logs.all()) == 100 })
	for _, r := range sub.logs.all() {
		if r.Raw || r.RequestID != r.Text {
			t.Errorf("%+v", r)
		}
	}
}

// A function's requests go out as the machine's administrator wants it, though
// the function does not see the variables that say so.
func TestProxyAndCertificates(t *testing.T) {
	// Not parallel: it sets variables of the supervisor.
	tlsServer, ca := denotest.TLSServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "tls") }))
	denotest.Open(t, filepath.Dir(ca))
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "proxied "+r.URL.String()) }))
	defer proxy.Close()
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "DENO_CERT", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
	const source = `Deno.serve(async (req) => {
		const url = new URL(req.url).searchParams.get("url");
		try { return new Response(await (await fetch(url)).text()); } catch (e) { return new Response(String(e)); }
	});`
	for name, c := range map[string]struct{ variable, value, url, want string }{
		"proxy":               {"HTTP_PROXY", proxy.URL, "http://far.example/x", "proxied http://far.example/x"},
		"lower case proxy":    {"http_proxy", proxy.URL, "http://far.example/x", "proxied http://far.example/x"},
		"SSL_CERT_FILE":       {"SSL_CERT_FILE", ca, tlsServer, "tls"},
		"DENO_CERT":           {"DENO_CERT", ca, tlsServer, "tls"},
		"NODE_EXTRA_CA_CERTS": {"NODE_EXTRA_CA_CERTS", ca, tlsServer, "tls"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(c.variable, c.value)
			if strings.HasSuffix(c.variable, "CERT_FILE") {
				t.Setenv("DENO_TLS_CA_STORE", "system")
			}
			sub := loaded(t, source)
			if got := sub.get(t, "/fn?url="+c.url, ""); got != c.want {
				t.Errorf("%q", got)
			}
		})
	}
}
