package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestServeTellsACollector(t *testing.T) {
	posts := make(chan string, 8)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		posts <- r.URL.Path + " " + string(body)
	}))
	defer collector.Close()
	dir := project(t, map[string]string{"functions/trace/index.ts": `Deno.serve((req) => new Response(req.headers.get("traceparent")));`})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions"), Env: []string{
		"REQUIRE_AUTH=false", "OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL, "OTEL_SERVICE_NAME=shop",
	}})
	const trace = "0af7651916cd43dd8448eb211c80319c"
	a := s.call("GET", "/trace", "", "traceparent", "00-"+trace+"-b7ad6b7169203331-01")
	if !strings.HasPrefix(a.body, "00-"+trace+"-") || strings.Contains(a.body, "b7ad6b7169203331") {
		t.Errorf("the function sees %q, want the gateway's span of the caller's trace", a.body)
	}
	select {
	case post := <-posts:
		path, body, _ := strings.Cut(post, " ")
		span := strings.Split(a.body, "-")[2]
		if path != "/v1/traces" || !json.Valid([]byte(body)) {
			t.Errorf("posted %s", post)
		}
		for _, want := range []string{trace, `"spanId":"` + span + `"`, `"parentSpanId":"b7ad6b7169203331"`, `"GET /trace"`, `"shop"`} {
			if !strings.Contains(body, want) {
				t.Errorf("%s is not in %s", want, body)
			}
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("nothing was posted in 10 s\n%s", s.Out)
	}
	s.Stop()
	if !strings.Contains(s.Out.String(), `"trace_id":"`+trace+`"`) {
		t.Errorf("the log does not name the trace:\n%s", s.Out)
	}
}
