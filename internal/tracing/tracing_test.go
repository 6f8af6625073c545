package tracing

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/selvedge-dev/selvedge/internal/gateway"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A collector keeps what it is sent, and answers with a status.
type collector struct {
	*httptest.Server
	status int

	mu    sync.Mutex
	posts []otlpRequest
	paths []string
	heads []http.Header
}

func startCollector(t *testing.T, status int) *collector {
	c := &collector{status: status}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var post otlpRequest
		d := json.NewDecoder(r.Body)
		d.DisallowUnknownFields()
		if err := d.Decode(&post); err != nil {
			t.Errorf("the post is no OTLP in JSON: %v", err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.posts, c.paths, c.heads = append(c.posts, post), append(c.paths, r.URL.Path), append(c.heads, r.Header)
		w.WriteHeader(c.status)
		io.WriteString(w, "said by the collector")
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) spans() []otlpSpan {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []otlpSpan
	for _, p := range c.posts {
		for _, r := range p.ResourceSpans {
			for _, s := range r.ScopeSpans {
				all = append(all, s.Spans...)
			}
		}
	}
	return all
}

func variables(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func start(t *testing.T, log *slog.Logger, pairs ...string) *Tracer {
	t.Helper()
	s, err := Read(variables(pairs...))
	if err != nil {
		t.Fatal(err)
	}
	tracer := Start(s, "1.2.3", log)
	t.Cleanup(tracer.Close)
	return tracer
}

// call sends a request through the tracer and returns what the function sees.
func call(tracer *Tracer, status int, code string, headers ...string) http.Header {
	r := httptest.NewRequest("POST", "/functions/v1/hello/x?secret=1", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	var seen http.Header
	c := &gateway.Call{Start: time.Now(), RequestID: "request-1", Route: gateway.Route{Slug: "hello"}}
	tracer.Middleware()(func(_ http.ResponseWriter, r *http.Request, c *gateway.Call) {
		seen = r.Header.Clone()
		c.Status, c.ExecutionID = status, "worker-1"
		if code != "" {
			c.Code = gateway.CodeFunctionError
		}
	})(httptest.NewRecorder(), r, c)
	return seen
}

const (
	theTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	caller   = "00-" + theTrace + "-00f067aa0ba902b7-01"
)

func TestSpanOfARequest(t *testing.T) {
	c := startCollector(t, 200)
	tracer := start(t, slog.New(slog.DiscardHandler),
		"OTEL_EXPORTER_OTLP_ENDPOINT", c.URL+"/", "OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20b",
		"OTEL_SERVICE_NAME", "api", "OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging")
	seen := call(tracer, 503, "yes", "traceparent", caller, "tracestate", "a=b")
	tracer.Close()
	spans := c.spans()
	if len(spans) != 1 {
		t.Fatalf("%d spans, want 1", len(spans))
	}
	s := spans[0]
	if s.TraceID != theTrace || s.Parent != "00f067aa0ba902b7" || s.Name != "POST /hello" || s.Kind != kindServer || s.Status.Code != statusError {
		t.Errorf("got %+v", s)
	}
	got := map[string]string{}
	for _, a := range s.Attributes {
		got[a.Key] = a.Value.String + a.Value.Int
	}
	for key, want := range map[string]string{
		"http.request.method": "POST", "http.response.status_code": "503", "url.path": "/functions/v1/hello/x", "url.scheme": "http",
		"http.route": "/hello", "faas.name": "hello", "faas.instance": "worker-1", "selvedge.request_id": "request-1", "error.type": "EDGE_FUNCTION_ERROR",
	} {
		if got[key] != want {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
	if want := "00-" + theTrace + "-" + s.SpanID + "-01"; seen.Get("traceparent") != want || seen.Get("tracestate") != "a=b" {
		t.Errorf("the function sees %q and %q, want %q and the caller's state", seen.Get("traceparent"), seen.Get("tracestate"), want)
	}
	if c.paths[0] != "/v1/traces" || c.heads[0].Get("X-Key") != "a b" {
		t.Errorf("posted to %s with %v", c.paths[0], c.heads[0])
	}
	about, _ := json.Marshal(c.posts[0].ResourceSpans[0].Resource)
	for _, want := range []string{`"api"`, `"staging"`} {
		if !strings.Contains(string(about), want) {
			t.Errorf("the resource is %s, without %s", about, want)
		}
	}
	if text, _ := json.Marshal(c.posts); strings.Contains(string(text), "secret") {
		t.Error("the query is part of a span; it may hold a key")
	}
}

func TestWhoIsSampled(t *testing.T) {
	notSampled := caller[:len(caller)-1] + "0"
	for name, c := range map[string]struct {
		sampler, arg, parent string
		want                 bool
	}{
		"without a caller's":         {"", "", "", true},
		"as the caller says":         {"", "", caller, true},
		"as the caller says not":     {"", "", notSampled, false},
		"all, whatever is said":      {"always_on", "", notSampled, true},
		"none, whatever is said":     {"always_off", "", caller, false},
		"none of a share of nothing": {"traceidratio", "0", caller, false},
		"all of a share of all":      {"traceidratio", "1", notSampled, true},
		"by id, below the half":      {"traceidratio", "0.5", "00-" + theTrace[:16] + "7000000000000000-00f067aa0ba902b7-00", true},
		"by id, above the half":      {"traceidratio", "0.5", "00-" + theTrace[:16] + "9000000000000000-00f067aa0ba902b7-01", false},
		"a broken caller's":          {"parentbased_always_off", "", "00-zz", false},
	} {
		t.Run(name, func(t *testing.T) {
			to := startCollector(t, 200)
			tracer := start(t, slog.New(slog.DiscardHandler), "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", to.URL, "OTEL_TRACES_SAMPLER", c.sampler, "OTEL_TRACES_SAMPLER_ARG", c.arg)
			var seen http.Header
			if c.parent == "" {
				seen = call(tracer, 200, "")
			} else {
				seen = call(tracer, 200, "", "traceparent", c.parent)
			}
			tracer.Close()
			if got := len(to.spans()) == 1; got != c.want {
				t.Errorf("sampled is %v, want %v", got, c.want)
			}
			p, ok := gateway.ParseTraceParent(seen)
			if !ok || p.Sampled != c.want {
				t.Errorf("the function sees %q", seen.Get("traceparent"))
			}
		})
	}
}

func TestLostSpansAreSaid(t *testing.T) {
	c := startCollector(t, 503)
	var said strings.Builder
	tracer := start(t, slog.New(slog.NewTextHandler(&said, nil)), "OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	for range 3 {
		call(tracer, 200, "")
	}
	tracer.Close()
	call(tracer, 200, "") // after the end: it must not block, nor panic
	if text := said.String(); strings.Count(text, "spans are lost") != 1 || !strings.Contains(text, "lost=3") || !strings.Contains(text, "said by the collector") {
		t.Errorf("the log says %q", text)
	}
}

func TestFullTracerDoesNotWait(t *testing.T) {
	c := startCollector(t, 200)
	tracer := start(t, slog.New(slog.DiscardHandler), "OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	began := time.Now()
	for range 20 * maxWaiting {
		tracer.exporter.add(&span{})
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %s", took)
	}
	tracer.Close()
	if n := int64(len(c.spans())) + tracer.exporter.lost.Load(); tracer.exporter.lost.Load() > 0 && n > 20*maxWaiting {
		t.Errorf("%d spans came of %d", n, 20*maxWaiting)
	}
}

func TestReadRefuses(t *testing.T) {
	for name, c := range map[string][]string{
		"no URL":         {"OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318"},
		"no such":        {"OTEL_TRACES_SAMPLER", "sometimes", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://x"},
		"no share":       {"OTEL_TRACES_SAMPLER", "traceidratio", "OTEL_TRACES_SAMPLER_ARG", "2", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://x"},
		"no name=value":  {"OTEL_EXPORTER_OTLP_HEADERS", "hush-hush", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://x"},
		"broken percent": {"OTEL_RESOURCE_ATTRIBUTES", "a=%zz", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://x"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Read(variables(c...))
			if err == nil || s.Endpoint != "" {
				t.Fatalf("got %+v", s)
			}
			if !strings.Contains(err.Error(), c[0]) && !strings.Contains(err.Error(), c[2]) || strings.Contains(err.Error(), "hush") {
				t.Errorf("got %q", err)
			}
		})
	}
	for name, c := range map[string][]string{
		"nothing":  {},
		"disabled": {"OTEL_SDK_DISABLED", "true", "OTEL_EXPORTER_OTLP_ENDPOINT", "nonsense"},
		"none":     {"OTEL_TRACES_EXPORTER", "none", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://x"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Read(variables(c...))
			if tracer := Start(s, "", nil); err != nil || tracer != nil || tracer.Middleware() != nil {
				t.Errorf("got %v, %v", tracer, err)
			}
		})
	}
}
