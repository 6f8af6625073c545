package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/e2e/harness"
)

// connector connects where and how its caller says, and answers how it went.
const connector = `
	const how = {
		fetch: async (host, port) => await (await fetch("http://" + host + ":" + port + "/")).text(),
		redirect: async (host, port, via) => await (await fetch(via + "/?to=" + encodeURIComponent("http://" + host + ":" + port + "/"))).text(),
		connect: async (host, port) => { (await Deno.connect({ hostname: host, port })).close(); return "hello"; },
		http: async (host, port) => {
			const http = await import("node:http");
			return await new Promise((resolve, reject) => http.get({ host, port }, (r) => { r.setEncoding("utf8"); r.on("data", resolve); }).on("error", reject));
		},
		net: async (host, port) => {
			const net = await import("node:net");
			return await new Promise((resolve, reject) => { const c = net.connect(port, host, () => { c.destroy(); resolve("hello"); }).on("error", reject); });
		},
		worker: async (host, port) => {
			const w = new Worker("data:text/javascript," + encodeURIComponent("try { postMessage(await (await fetch('http://" + host + ":" + port + "/')).text()) } catch (e) { postMessage(e.message) }"), { type: "module" });
			try { return await new Promise((resolve) => w.onmessage = (e) => resolve(e.data)); } finally { w.terminate(); }
		},
		packet: async (host, port) => {
			const s = (await import("node:dgram")).createSocket("udp4");
			return await new Promise((resolve, reject) => { s.on("error", reject); s.send("x", port, host, (e) => e ? reject(e) : resolve("hello")); }).finally(() => { try { s.close(); } catch { /* it never was open */ } });
		},
		lookup: async (host) => (await Deno.resolveDns(host, "A")) && "hello",
		widen: async (host, port) => (await Deno.permissions.request({ name: "net", host: host + ":" + port })).state,
	};
	Deno.serve(async (req) => {
		const q = new URL(req.url).searchParams;
		try {
			return new Response(await how[q.get("by")](q.get("host"), Number(q.get("port")), q.get("via")));
		} catch (e) {
			return new Response("refused: " + e.message);
		}
	});`

// A target answers hello, or with a redirect, and counts.
type target struct {
	*httptest.Server
	port  string
	count atomic.Int64
}

func newTarget(t *testing.T) *target {
	t.Helper()
	s := &target{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		fmt.Fprint(w, "hello")
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.count.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	_, s.port, _ = net.SplitHostPort(s.Listener.Addr().String())
	return s
}

func (s *server) connects(slug, by, host, port string, via *target) string {
	s.t.Helper()
	q := url.Values{"by": {by}, "host": {host}, "port": {port}}
	if via != nil {
		q.Set("via", via.URL)
	}
	a := s.call("GET", "/"+slug+"?"+q.Encode(), "")
	if a.status != 200 && by != "packet" { // Deno has no handler for its refusal: the worker ends
		s.t.Errorf("%s by %s to %s:%s: %d %s", slug, by, host, port, a.status, a.body)
	}
	return a.body
}

func TestAllowNet(t *testing.T) {
	good, other := newTarget(t), newTarget(t)
	settings := func(list string) string {
		return fmt.Sprintf(`
[functions.some]
allow_net = [%s]
[functions.none]
allow_net = []
[functions.node]
allow_net = []
[functions.dry]
allow_net = ["127.0.0.1:%s"]
allow_net_dry_run = true
`, list, good.port)
	}
	list := fmt.Sprintf(`"127.0.0.1:%s", "localhost:%s"`, good.port, good.port)
	dir := project(t, map[string]string{
		"functions/some/index.ts": connector,
		"functions/none/index.ts": connector,
		"functions/any/index.ts":  connector,
		"functions/dry/index.ts":  connector,
		"functions/node/index.ts": `import http from "node:http"; http.createServer((_, res) => res.end("served")).listen(8000);`,
		"config.toml":             settings(list),
	})
	s := start(t, options{Functions: filepath.Join(dir, "functions")})

	t.Run("what is on the list", func(t *testing.T) {
		for _, by := range []string{"fetch", "connect", "http", "net", "worker"} {
			for _, host := range []string{"127.0.0.1", "localhost"} {
				if got := s.connects("some", by, host, good.port, nil); got != "hello" {
					t.Errorf("%s to %s: %s", by, host, got)
				}
			}
		}
	})
	t.Run("what is not", func(t *testing.T) {
		for _, slug := range []string{"some", "none"} {
			for _, by := range []string{"fetch", "connect", "http", "net", "worker", "packet", "lookup", "widen"} {
				for _, host := range []string{"127.0.0.1", "localhost", "example.com"} {
					if got := s.connects(slug, by, host, other.port, nil); got == "hello" || got == "granted" {
						t.Errorf("%s by %s to %s: %s", slug, by, host, got)
					} else if by == "packet" && !strings.Contains(got, "WORKER_ERROR") {
						t.Errorf("Deno lets a function see that its packet is refused, and docs/configuration.md says otherwise: %s", got)
					}
				}
			}
		}
		if got := s.connects("some", "redirect", "127.0.0.1", other.port, good); !strings.HasPrefix(got, "refused: ") {
			t.Errorf("by a redirect: %s", got)
		}
		if n := other.count.Load(); n != 0 {
			t.Errorf("it was reached %d times", n)
		}
	})
	t.Run("without a list", func(t *testing.T) {
		if got := s.connects("any", "fetch", "127.0.0.1", other.port, nil); got != "hello" {
			t.Error(got)
		}
	})
	t.Run("a node:http server with an empty one serves", func(t *testing.T) { s.becomes("/node", "served") })

	t.Run("dry run", func(t *testing.T) {
		for range 2 {
			for _, to := range []*target{good, other} {
				if got := s.connects("dry", "fetch", "localhost", to.port, nil); got != "hello" {
					t.Error(got)
				}
			}
		}
		if got := s.connects("dry", "connect", "127.0.0.1", good.port, nil); got != "hello" {
			t.Error(got)
		}
		says := func(place, level string) int {
			n := 0
			for _, e := range s.Logged("log") {
				if msg, _ := e["msg"].(string); e["slug"] == "dry" && e["level"] == level && strings.HasPrefix(msg, "allow_net_dry_run: the function connects to "+place) {
					n++
				}
			}
			return n
		}
		for place, level := range map[string]string{"localhost:" + good.port: "WARN", "localhost:" + other.port: "WARN", "127.0.0.1:" + good.port: "INFO"} {
			harness.Eventually(t, 10*time.Second, place+" is logged", func() bool { return says(place, level) > 0 })
			if n := says(place, level); n != 1 {
				t.Errorf("%s is logged %d times", place, n)
			}
		}
	})

	t.Run("a change replaces the workers", func(t *testing.T) {
		write(t, filepath.Join(dir, "config.toml"), settings(fmt.Sprintf(`"127.0.0.1:%s"`, other.port)))
		harness.Eventually(t, 20*time.Second, "the new list holds", func() bool {
			return s.connects("some", "fetch", "127.0.0.1", other.port, nil) == "hello"
		})
		if got := s.connects("some", "fetch", "127.0.0.1", good.port, nil); !strings.HasPrefix(got, "refused: ") {
			t.Errorf("the old list holds on: %s", got)
		}
	})
}

// TestAllowNetOfADeniedAddress lists an address of --deny-net, and a name that
// leads there.
func TestAllowNetOfADeniedAddress(t *testing.T) {
	good := newTarget(t)
	dir := project(t, map[string]string{
		"functions/some/index.ts": connector,
		"config.toml":             fmt.Sprintf("[edge_runtime]\nallow_net = [\"localhost:%s\", \"127.0.0.1\"]\n", good.port),
	})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions"), Args: []string{"--deny-net", "loopback,::1"}})
	for _, by := range []string{"fetch", "connect", "http", "net"} {
		for _, host := range []string{"localhost", "127.0.0.1"} {
			if got := s.connects("some", by, host, good.port, nil); !strings.HasPrefix(got, "refused: ") {
				t.Errorf("%s to %s: %s", by, host, got)
			}
		}
	}
	if !strings.Contains(s.Err.String(), "127.0.0.1") {
		t.Errorf("nobody is told that the list has a denied address: %s", s.Err)
	}
	if n := good.count.Load(); n != 0 {
		t.Errorf("it was reached %d times", n)
	}
}

func TestAllowNetIsChecked(t *testing.T) {
	dir := project(t, map[string]string{
		"functions/a/index.ts": `Deno.serve(() => new Response("a"));`,
		"config.toml":          "[functions.a]\nallow_net = [\"https://api.example.com/v1\", \"*\"]\n",
	})
	cmd := exec.Command(harness.Binary, "config", "--functions", filepath.Join(dir, "functions"))
	cmd.Env = harness.Environ()
	out, err := cmd.CombinedOutput()
	for _, want := range []string{"config.toml:2: functions.a.allow_net: ", "write api.example.com:443", "leave allow_net out"} {
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%v: %s\nhas no %q", err, out, want)
		}
	}
	write(t, filepath.Join(dir, "config.toml"), "[functions.a]\nallow_net = [\"API.example.com:443\"]\n")
	cmd = exec.Command(harness.Binary, "config", "--functions", filepath.Join(dir, "functions"))
	cmd.Env = harness.Environ()
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "api.example.com:443") {
		t.Errorf("%v: %s", err, out)
	}
}
