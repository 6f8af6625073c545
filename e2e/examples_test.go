package e2e

import (
	"bufio"
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// TestExamples calls every example function as examples/README.md says.
func TestExamples(t *testing.T) {
	s := start(t, options{Command: "serve"})
	const json = "application/json"
	for _, c := range []struct {
		method, path, body, contentType string
		status                          int
		want                            string
	}{
		{"POST", "/hello-world", `{"name":"Functions"}`, json, 200, `{"message":"Hello Functions!"}`},
		{"POST", "/functions/v1/hello-world", `{"name":"Prefix"}`, json, 200, `{"message":"Hello Prefix!"}`},
		{"POST", "/json-body", `{"item":"tea","quantity":2}`, json, 201, `{"ordered":"tea","quantity":2}`},
		{"POST", "/json-body", `{"item":""}`, json, 400, `{"error":"invalid order","problems":["item must be a non-empty string","quantity must be a positive integer"]}`},
		{"POST", "/json-body", `nope`, json, 400, `{"error":"the body is not JSON"}`},
		{"GET", "/json-body", ``, "", 405, `{"error":"use POST"}`},
		{"GET", "/path-params/users/1", ``, "", 200, `{"id":"1","name":"Ada"}`},
		{"GET", "/functions/v1/path-params/users", ``, "", 200, `{"ids":["1","2"]}`},
		{"GET", "/path-params/users/9", ``, "", 404, `{"error":"no user 9"}`},
		{"GET", "/websocket-echo", ``, "", 426, "expected a WebSocket\n"},
		{"GET", "/wasm?a=2&b=3", ``, "", 200, `{"imported":5,"instantiated":5}`},
		{"GET", "/supabase-js", ``, "", 200, `{"avatar":"http://localhost:54321/storage/v1/object/public/avatars/ada.png","as":"anon"}`},
		{"GET", "/express", ``, "", 200, "Hello from Express!"},
		{"GET", "/express/users/42", ``, "", 200, `{"id":"42"}`},
		{"POST", "/express/echo", `{"a":1}`, json, 200, `{"received":{"a":1}}`},
		{"POST", "/node-http", `some text`, "text/plain", 200, `{"method":"POST","url":"/node-http","bytes":9}`},
		{"GET", "/hono", ``, "", 200, "Hello from Hono!"},
		{"GET", "/hono/greet/Ada", ``, "", 200, `{"hello":"Ada"}`},
		{"POST", "/hono/echo", `{"a":1}`, json, 201, `{"a":1}`},
		{"GET", "/hono/none", ``, "", 404, `{"error":"no such route"}`},
		{"GET", "/shared-import", ``, "", 200, `{"shared":true}`},
		{"OPTIONS", "/shared-import", ``, "", 204, ``},
	} {
		a := s.call(c.method, c.path, c.body, "Content-Type", c.contentType)
		if a.status != c.status || a.body != c.want {
			t.Errorf("%s %s %s: got %d %q, want %d %q", c.method, c.path, c.body, a.status, a.body, c.status, c.want)
		}
		if a.header.Get("sb-request-id") == "" || a.header.Get("x-deno-execution-id") == "" {
			t.Errorf("%s %s: headers miss the request or execution id: %v", c.method, c.path, a.header)
		}
	}
	eventually(t, 5*time.Second, "the console's output is logged", func() bool { return s.saidBy("hello-world") != "" })
	if said := s.saidBy("hello-world"); !strings.Contains(said, "Hello from Functions!") {
		t.Errorf("hello-world's console output is not in the log: %q", said)
	}
}

func TestExampleBackgroundTask(t *testing.T) {
	s := start(t, options{Command: "serve"})
	began := time.Now()
	a := s.call("POST", "/background-task", `{"ms":300}`)
	if a.status != 202 || a.body != `{"accepted":true}` {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the answer waited for the task: %s", took)
	}
	eventually(t, 5*time.Second, "the task finishes after the answer", func() bool {
		return strings.Contains(s.saidBy("background-task"), "job finished after 300 ms")
	})
	// Stopping waits for a task that is still running.
	s.call("POST", "/background-task", `{"ms":700}`)
	if code := s.Stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	said := s.saidBy("background-task")
	if !strings.Contains(said, "job finished after 700 ms") {
		t.Errorf("the running task was cut: %q", said)
	}
	if !strings.Contains(said, "worker stops (termination)") {
		t.Errorf("beforeunload was not dispatched with its reason: %q", said)
	}
}

func TestExampleSSEIsFlushedAtOnce(t *testing.T) {
	s := start(t, options{Command: "serve"})
	res, err := http.Get(s.URL + "/sse?count=3&every=300")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if ct := res.Header.Get("Content-Type"); !strings.HasPrefix(ct, "text/event-stream") {
		t.Errorf("content type %q", ct)
	}
	var at []time.Time
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "data:") {
			at = append(at, time.Now())
		}
	}
	if len(at) != 3 {
		t.Fatalf("%d events, want 3", len(at))
	}
	for i := 1; i < len(at); i++ {
		if gap := at[i].Sub(at[i-1]); gap < 150*time.Millisecond {
			t.Errorf("event %d came %s after the one before: the stream was buffered", i, gap)
		}
	}
}

func TestExampleWebSocket(t *testing.T) {
	s := start(t, options{Command: "serve"})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, strings.Replace(s.URL, "http", "ws", 1)+"/functions/v1/websocket-echo", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	for _, m := range []struct {
		kind websocket.MessageType
		text string
	}{{websocket.MessageText, "hello"}, {websocket.MessageBinary, "\x00\x01"}, {websocket.MessageText, strings.Repeat("x", 20000)}} {
		if err := c.Write(ctx, m.kind, []byte(m.text)); err != nil {
			t.Fatal(err)
		}
		kind, back, err := c.Read(ctx)
		if err != nil || kind != m.kind || !strings.Contains(string(back), m.text) {
			t.Fatalf("echo of %.20q: %v %.40q %v", m.text, kind, back, err)
		}
	}
	if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Errorf("close: %v", err)
	}
	eventually(t, 5*time.Second, "the function sees the close", func() bool {
		return strings.Contains(s.saidBy("websocket-echo"), "closed with code 1000")
	})
}

func TestClientGoneAbortsTheSignal(t *testing.T) {
	dir := project(t, map[string]string{
		"functions/a/index.ts": `Deno.serve((req) => { req.signal.addEventListener("abort", () => console.log("client gone")); return req.url.endsWith("/warm") ? new Response("warm") : new Promise((r) => setTimeout(() => r(new Response("late")), 5000)); });
`,
	})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions")})
	s.call("GET", "/a/warm", "")
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := http.DefaultClient.Do(req); err == nil {
		res.Body.Close()
		t.Fatal("the request was answered before its client left")
	}
	eventually(t, 2*time.Second, "the function hears of it", func() bool { return strings.Contains(s.saidBy("a"), "client gone") })
}

// TestFrameworksThatListen: these serve by themselves, through node:http or
// Deno's own server.
func TestFrameworksThatListen(t *testing.T) {
	dir := project(t, map[string]string{
		"functions/fastify/index.ts": `import Fastify from "npm:fastify@5.12.8"; const app = Fastify(); app.get("/fastify", async () => ({ hello: "fastify" })); app.listen({ port: 3000 });`,
		"functions/oak/index.ts":     `import { Application } from "npm:@oakserver/oak@14.1.0"; const app = new Application(); app.use((ctx) => { ctx.response.body = "oak"; }); app.listen({ port: 8000 });`,
	})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions")})
	for path, want := range map[string]string{"/fastify": `{"hello":"fastify"}`, "/oak": "oak"} {
		if a := s.call("GET", path, ""); a.status != 200 || a.body != want {
			t.Errorf("%s: %d %q", path, a.status, a.body)
		}
	}
}
