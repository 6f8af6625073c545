package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/selvedge-dev/selvedge/e2e/harness"
)

var metricsLine = regexp.MustCompile(`(?m)^Metrics: (http://\S+)$`)

// metricsURL is what the server says at its start.
func (s *server) metricsURL() string {
	s.t.Helper()
	var found []string
	harness.Eventually(s.t, 10*time.Second, "the server says where its metrics are", func() bool {
		found = metricsLine.FindStringSubmatch(s.Err.String())
		return found != nil
	})
	return found[1]
}

// A scrape is what Prometheus reads, by name.
type scrape map[string]*dto.MetricFamily

func (s *server) scrape(url string) scrape {
	s.t.Helper()
	res, err := client.Get(url)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(res.Body)
	if err != nil || res.StatusCode != 200 {
		s.t.Fatalf("scrape: %d, %v", res.StatusCode, err)
	}
	return families
}

// value returns a counter, a gauge, or a histogram's count; -1 for none. labels
// are name, value, name, value.
func (c scrape) value(name string, labels ...string) float64 {
	want := map[string]string{}
	for i := 0; i < len(labels); i += 2 {
		want[labels[i]] = labels[i+1]
	}
series:
	for _, m := range c[name].GetMetric() {
		if len(m.GetLabel()) != len(want) {
			continue
		}
		for _, l := range m.GetLabel() {
			if v, ok := want[l.GetName()]; !ok || v != l.GetValue() {
				continue series
			}
		}
		return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	return -1
}

// An expected is a value and where it should be.
type expected struct {
	value  float64
	name   string
	labels []string
}

func (c scrape) differences(want []expected) (wrong []string) {
	for _, e := range want {
		if got := c.value(e.name, e.labels...); got != e.value {
			wrong = append(wrong, fmt.Sprintf("%s%q is %v, want %v", e.name, e.labels, got, e.value))
		}
	}
	return wrong
}

// of reports whether anything is said of a function.
func (c scrape) of(slug string) bool {
	for _, f := range c {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "function" && l.GetValue() == slug {
					return true
				}
			}
		}
	}
	return false
}

func TestMetrics(t *testing.T) {
	keys := keysOf(t)
	env := []string{"REQUIRE_AUTH=true"}
	for name, value := range keys {
		env = append(env, name+"="+value)
	}
	open := ""
	for _, slug := range []string{"ok", "bad", "sock", "dies", "fails"} {
		open += "[functions." + slug + "]\nverify_jwt = false\n"
	}
	dir := project(t, map[string]string{
		"functions/ok/index.ts":     `Deno.serve(() => new Response("0123456789"));`,
		"functions/closed/index.ts": `Deno.serve(() => new Response("closed"));`,
		"functions/never/index.ts":  `Deno.serve(() => new Response("never called"));`,
		"functions/fails/index.ts":  `Deno.serve(() => new Response("my own", { status: 503 }));`,
		"functions/bad/index.ts":    `throw new Error("no luck");`,
		"functions/dies/index.ts":   `Deno.serve(() => { Deno.exit(3); });`,
		"functions/sock/index.ts": `Deno.serve((r) => {
			const { socket, response } = Deno.upgradeWebSocket(r);
			socket.onmessage = (e) => socket.send(e.data);
			return response;
		});`,
		"config.toml": open,
	})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions"), Env: env, Args: []string{"--admin", "127.0.0.1:0", "--prestart", "2"}})
	url := s.metricsURL()

	for range 3 {
		s.call("GET", "/ok", "")
	}
	s.call("POST", "/functions/v1/ok", "x")
	s.call("GET", "/closed", "")
	s.call("GET", "/nope", "")
	s.call("GET", "/nope-neither", "")
	s.call("GET", "/fails", "")
	s.call("GET", "/bad", "")
	s.call("GET", "/dies", "")
	s.call("GET", "/health", "")
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	socket, _, err := websocket.Dial(ctx, strings.Replace(s.URL, "http", "ws", 1)+"/sock", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.CloseNow()

	want := []expected{
		{1, "selvedge_worker_exits_total", []string{"function", "dies", "reason", "exited"}},
		{3, "selvedge_requests_total", []string{"function", "ok", "method", "GET", "code", "200"}},
		{1, "selvedge_requests_total", []string{"function", "ok", "method", "POST", "code", "200"}},
		{1, "selvedge_requests_total", []string{"function", "closed", "method", "GET", "code", "401"}},
		{1, "selvedge_requests_total", []string{"function", "fails", "method", "GET", "code", "503"}},
		{1, "selvedge_requests_total", []string{"function", "bad", "method", "GET", "code", "503"}},
		{2, "selvedge_requests_total", []string{"function", "", "method", "GET", "code", "404"}},
		{1, "selvedge_requests_total", []string{"function", "", "method", "GET", "code", "200"}},
		{4, "selvedge_request_duration_seconds", []string{"function", "ok"}},
		{4, "selvedge_request_queue_seconds", []string{"function", "ok"}},
		{0, "selvedge_request_queue_seconds", []string{"function", "closed"}},
		{1, "selvedge_request_queue_seconds", []string{"function", "bad"}},
		{40, "selvedge_response_body_bytes_total", []string{"function", "ok"}},
		{1, "selvedge_requests_rejected_total", []string{"function", "closed", "reason", "unauthorized_no_auth_header"}},
		{2, "selvedge_requests_rejected_total", []string{"function", "", "reason", "not_found"}},
		{1, "selvedge_requests_rejected_total", []string{"function", "bad", "reason", "boot_error"}},
		{1, "selvedge_requests_rejected_total", []string{"function", "dies", "reason", "worker_error"}},
		{-1, "selvedge_requests_rejected_total", []string{"function", "fails", "reason", "edge_function_error"}},
		{1, "selvedge_cold_start_seconds", []string{"function", "ok", "bundle", "built"}},
		{1, "selvedge_cold_start_phase_seconds", []string{"function", "ok", "phase", "load"}},
		{1, "selvedge_boot_failures_total", []string{"function", "bad", "stage", "load"}},
		{-1, "selvedge_boot_failures_total", []string{"function", "ok", "stage", "load"}},
		{1, "selvedge_workers", []string{"function", "ok", "state", "serving"}},
		{0, "selvedge_workers", []string{"function", "ok", "state", "retiring"}},
		{1, "selvedge_requests_in_flight", nil},
		{1, "selvedge_upgraded_connections", nil},
		{1, "selvedge_requests_in_worker", []string{"function", "sock"}},
		{7, "selvedge_functions", nil},
		{0, "selvedge_log_write_errors_total", nil},
	}
	// A request is counted a moment after its client has the answer.
	var m scrape
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		m = s.scrape(url)
		wrong := m.differences(want)
		if len(wrong) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("in the end:\n%s", strings.Join(wrong, "\n"))
			break
		}
	}
	if sum := m["selvedge_cold_start_seconds"].GetMetric()[0].GetHistogram().GetSampleSum(); sum <= 0 || sum > 60 {
		t.Errorf("a cold start took %v s", sum)
	}
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes", "process_start_time_seconds"} {
		if m.value(name) <= 0 {
			t.Errorf("%s is %v", name, m.value(name))
		}
	}
	if cpu, memory := m.value("selvedge_worker_cpu_seconds_total", "function", "ok"), m.value("selvedge_worker_memory_bytes", "function", "ok"); cpu <= 0 || memory < 1<<20 {
		t.Errorf("the worker used %v s and %v bytes", cpu, memory)
	}
	for slug, want := range map[string]bool{"never": false, "nope": false, "nope-neither": false, "ok": true} {
		if m.of(slug) != want {
			t.Errorf("series of %s: %v", slug, !want)
		}
	}

	socket.Close(websocket.StatusNormalClosure, "")
	harness.Eventually(t, 10*time.Second, "the end of the WebSocket is counted", func() bool {
		m := s.scrape(url)
		return m.value("selvedge_requests_total", "function", "sock", "method", "GET", "code", "101") == 1 &&
			m.value("selvedge_upgraded_connections") == 0
	})
	// Nobody but the admin address tells.
	if a := s.call("GET", "/metrics", ""); a.status != 404 || strings.Contains(a.body, "selvedge_") {
		t.Errorf("the public address answers /metrics: %d %s", a.status, a.body)
	}
	if a := s.call("GET", "/_internal/metric", ""); a.status != 200 || !strings.HasPrefix(a.body, "{") {
		t.Errorf("got %d %s", a.status, a.body)
	}
}

func TestMetricsOfARemovedFunction(t *testing.T) {
	dir := project(t, map[string]string{
		"functions/goes/index.ts":  `Deno.serve(() => new Response("goes"));`,
		"functions/stays/index.ts": `Deno.serve(() => new Response("stays"));`,
	})
	s := start(t, options{Functions: filepath.Join(dir, "functions"), Args: []string{"--admin=127.0.0.1:0"}})
	url := s.metricsURL()
	s.call("GET", "/goes", "")
	s.call("GET", "/stays", "")
	harness.Eventually(t, 10*time.Second, "both are counted", func() bool {
		m := s.scrape(url)
		return m.of("goes") && m.of("stays")
	})
	if err := os.RemoveAll(filepath.Join(dir, "functions", "goes")); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, 20*time.Second, "the series are gone", func() bool { return !s.scrape(url).of("goes") })
	if !s.scrape(url).of("stays") {
		t.Error("those of the other function are gone too")
	}
}

func TestAdminSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	s := start(t, options{Args: []string{"--admin", "unix:" + path}})
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	res, err := (&http.Client{Transport: transport, Timeout: 20 * time.Second}).Get("http://localhost/health")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("got %d", res.StatusCode)
	}
	// A second server does not take it over.
	_, errs, code := runIn(t, "", "dev", "--functions", filepath.Join(harness.Repo, "examples", "functions"), "--listen", "127.0.0.1:0", "--admin", "unix:"+path)
	if code != 2 || !strings.Contains(errs, "--admin") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if code := s.Stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}

// TestTraceContext: the function sees what the client sent, and the log names
// the trace.
func TestTraceContext(t *testing.T) {
	dir := project(t, map[string]string{"functions/trace/index.ts": `Deno.serve((r) =>
		Response.json(["traceparent", "tracestate", "baggage"].map((name) => r.headers.get(name))));`})
	s := start(t, options{Functions: filepath.Join(dir, "functions")})
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	for i, c := range []struct{ parent, state, baggage, logged string }{
		{"00-" + trace + "-00f067aa0ba902b7-01", "congo=t61rcWkgMzE", "userId=alice;p=1", trace},
		{"not a traceparent", "congo=t61rcWkgMzE", "", ""},
	} {
		a := s.call("GET", fmt.Sprint("/trace/", i), "", "traceparent", c.parent, "tracestate", c.state, "baggage", c.baggage)
		if want := fmt.Sprintf(`[%q,%q,%q]`, c.parent, c.state, c.baggage); a.body != want {
			t.Errorf("the function saw %s, want %s", a.body, want)
		}
		var line map[string]any
		harness.Eventually(t, 10*time.Second, "the request is logged", func() bool {
			for _, m := range s.Logged("request") {
				if m["path"] == fmt.Sprint("/trace/", i) {
					line = m
				}
			}
			return line != nil
		})
		if got, _ := line["trace_id"].(string); got != c.logged {
			t.Errorf("the log has the trace %q, want %q", got, c.logged)
		}
	}
}
