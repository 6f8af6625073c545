package worker

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/deno"
)

// stdServe is what serve() of the standard library's http/server.ts does, in
// its versions before 0.177, which many functions still import.
const stdServe = `
class Server {
  #handler;
  constructor(handler) { this.#handler = handler; }
  async listenAndServe(options) {
    const listener = Deno.listen(options);
    for (;;) {
      let conn;
      try { conn = await listener.accept(); } catch { break; }
      this.#serveHttp(Deno.serveHttp(conn), conn);
    }
  }
  async #serveHttp(httpConn, conn) {
    for (;;) {
      const event = await httpConn.nextRequest();
      if (event === null) break;
      this.#respond(event, conn);
    }
  }
  async #respond(event, conn) {
    let response;
    try {
      response = await this.#handler(event.request, { localAddr: conn.localAddr, remoteAddr: conn.remoteAddr });
    } catch { response = new Response("Internal Server Error", { status: 500 }); }
    try { await event.respondWith(response); } catch {}
  }
}
const serve = (handler, options = {}) => new Server(handler).listenAndServe({ port: 8000, hostname: "0.0.0.0", ...options });
`

const answer = `(req) => new Response("hello " + req.method + " " + new URL(req.url).pathname)`

func TestEntryForms(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	for name, source := range map[string]string{
		"Deno.serve(handler)":              `Deno.serve(` + answer + `);`,
		"Deno.serve(options, handler)":     `Deno.serve({ port: 4507, hostname: "127.0.0.1" }, ` + answer + `);`,
		"Deno.serve({handler})":            `Deno.serve({ port: 1, handler: ` + answer + ` });`,
		"Deno.serve({}, handler) in async": `await 0; setTimeout(() => Deno.serve({}, ` + answer + `), 20);`,
		"Deno.serve with signal":           `const c = new AbortController(); Deno.serve({ signal: c.signal }, ` + answer + `); c.abort();`,
		"Deno.serve with onListen": `
			let heard;
			Deno.serve({ port: 1234, onListen: (addr) => { heard = addr; } }, (req) =>
				new Response(heard.transport + heard.port === "tcp1234" ? "hello " + req.method + " " + new URL(req.url).pathname : "not heard"));`,
		"await finished":           `await Deno.serve(` + answer + `).finished;`,
		"async handler":            `Deno.serve(async (req) => { await new Promise((r) => setTimeout(r, 1)); return (` + answer + `)(req); });`,
		"export default {fetch}":   `export default { fetch: ` + answer + ` };`,
		"default fetch uses this":  `export default { greeting: "hello ", fetch(req) { return new Response(this.greeting + req.method + " " + new URL(req.url).pathname); } };`,
		"default class instance":   `class App { fetch(req) { return (` + answer + `)(req); } } export default new App();`,
		"export default and serve": `Deno.serve(` + answer + `); export default { fetch: () => new Response("wrong") };`,
		"std serve":                stdServe + `serve(` + answer + `);`,
		"std serve, awaited":       stdServe + `await serve(` + answer + `, { port: 9999 });`,
		"for await of connections": `
			for await (const conn of Deno.listen({ port: 80 })) {
				(async () => { for await (const e of Deno.serveHttp(conn)) e.respondWith((` + answer + `)(e.request)); })();
			}`,
		"node:http": `
			import { createServer } from "node:http";
			createServer((req, res) => res.end("hello " + req.method + " " + req.url)).listen(3000);`,
		"node:http, no port, callback": `
			import http from "node:http";
			const server = http.createServer();
			server.on("request", (req, res) => res.end("hello " + req.method + " " + req.url));
			server.listen(0, "127.0.0.1", () => {});`,
		"node:http, listening after load": `
			import http from "node:http";
			setTimeout(() => http.createServer((req, res) => res.end("hello " + req.method + " " + req.url)).listen(8080), 30);`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sub := s.load(t, source)
			for range 2 {
				if got := sub.get(t, "/fn/x", ""); got != "hello GET /fn/x" {
					t.Errorf("it answers %q", got)
				}
			}
			want := deno.ModeServe
			if strings.HasPrefix(name, "node:") {
				want = deno.ModeNode
			}
			if sub.ready.Mode != want {
				t.Errorf("mode is %q, want %q", sub.ready.Mode, want)
			}
			if sub.ready.Evaluate <= 0 || sub.State() != Ready {
				t.Errorf("evaluate took %s, state is %s", sub.ready.Evaluate, sub.State())
			}
			for _, r := range sub.logs.all() {
				t.Errorf("it logs %+v", r)
			}
		})
	}
}

func TestRequestAsTheClientSentIt(t *testing.T) {
	t.Parallel()
	sub := loaded(t, `Deno.serve(async (req, info) => Response.json({
		url: req.url, method: req.method, body: await req.text(), id: req.headers.get("sb-request-id"),
		remote: info.remoteAddr.hostname, transport: info.remoteAddr.transport, host: req.headers.get("host"),
	}, { status: 201, headers: [["set-cookie", "a=1"], ["set-cookie", "b=2"]] }));`)
	r := httptest.NewRequest(http.MethodPost, "/fn/a%20b?q=1&q=2", strings.NewReader("the body"))
	r.Header.Set("Sb-Request-Id", "id-1")
	r.Header.Set("X-Forwarded-For", "203.0.113.7, 10.0.0.1")
	rec := sub.do(t, r)
	want := `{"url":"https://fn.example/fn/a%20b?q=1&q=2","method":"POST","body":"the body","id":"id-1","remote":"203.0.113.7","transport":"tcp","host":"fn.example"}`
	if rec.Code != 201 || rec.Body.String() != want {
		t.Errorf("%d %s, want %s", rec.Code, rec.Body, want)
	}
	if got := rec.Header()["Set-Cookie"]; len(got) != 2 {
		t.Errorf("cookies %q", got)
	}
}

func TestHandlerFaults(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	type want struct {
		status     int
		body, logs string
	}
	broken := want{500, "Internal Server Error", "Error: no luck"}
	for name, c := range map[string]struct {
		source string
		want   want
	}{
		"throws":           {`Deno.serve(() => { throw new Error("no luck"); });`, broken},
		"rejects":          {`Deno.serve(async () => { await 0; throw new Error("no luck"); });`, broken},
		"throws a string":  {`Deno.serve(() => { throw "no luck"; });`, want{500, "Internal Server Error", "no luck"}},
		"throws undefined": {`Deno.serve(() => { throw undefined; });`, want{500, "Internal Server Error", "undefined"}},
		"throws a trap": {`Deno.serve(() => { throw new Proxy({}, { get() { throw new Error("trap"); }, getPrototypeOf() { throw new Error("trap"); } }); });`,
			want{500, "Internal Server Error", ""}},
		"returns nothing":      {`Deno.serve(() => {});`, want{502, "Bad Gateway", "did not return a Response but undefined"}},
		"returns null":         {`Deno.serve(async () => null);`, want{502, "Bad Gateway", "did not return a Response but null"}},
		"returns an object":    {`Deno.serve(() => ({ status: 200, body: "x" }));`, want{502, "Bad Gateway", "did not return a Response but object"}},
		"resolves to a string": {`Deno.serve(async () => "x");`, want{502, "Bad Gateway", "did not return a Response but string"}},
		"own onError":          {`Deno.serve({ onError: (e) => new Response("own " + e.message, { status: 418 }) }, () => { throw new Error("no luck"); });`, want{418, "own no luck", ""}},
		"own onError, async":   {`Deno.serve({ onError: async (e) => new Response("own " + e.message, { status: 418 }) }, async () => { throw new Error("no luck"); });`, want{418, "own no luck", ""}},
		"own onError throws":   {`Deno.serve({ onError: () => { throw new Error("worse"); } }, () => { throw new Error("no luck"); });`, want{500, "Internal Server Error", "Error: worse"}},
		"own onError rejects":  {`Deno.serve({ onError: async () => { throw new Error("worse"); } }, () => { throw new Error("no luck"); });`, want{500, "Internal Server Error", "Error: worse"}},
		"own onError, no answer": {`Deno.serve({ onError: () => 1 }, () => { throw new Error("no luck"); });`,
			want{502, "Bad Gateway", "did not return a Response but number"}},
		"default fetch throws": {`export default { fetch() { throw new Error("no luck"); } };`, broken},
		"respondWith rejects":  {stdServe + `serve(() => Promise.reject(new Error("no luck")));`, want{500, "Internal Server Error", ""}},
		"respondWith nothing":  {stdServe + `serve(() => 1);`, want{502, "Bad Gateway", "did not return a Response but number"}},
		"response used twice": {`const r = new Response("x"); Deno.serve(async () => { await r.clone(); return r; });`,
			want{200, "x", ""}},
		"another realm's thenable": {`Deno.serve(() => ({ then(resolve) { resolve(new Response("thenable")); } }));`, want{200, "thenable", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sub := s.load(t, c.source)
			r := httptest.NewRequest(http.MethodGet, "/fn", nil)
			r.Header.Set("Sb-Request-Id", "req-1")
			rec := sub.do(t, r)
			if rec.Code != c.want.status || rec.Body.String() != c.want.body {
				t.Errorf("%d %q", rec.Code, rec.Body)
			}
			if c.want.logs != "" {
				if got := sub.logs.find(t, c.want.logs); got.Level != deno.LevelError || got.Raw || got.RequestID != "req-1" {
					t.Errorf("log record %+v", got)
				}
			}
			if sub.State() != Ready {
				t.Errorf("state %s", sub.State())
			}
		})
	}
}

func TestAbortReachesTheFunction(t *testing.T) {
	t.Parallel()
	sub := loaded(t, `Deno.serve((req) => new Promise((resolve) => {
		console.log("waiting");
		req.signal.addEventListener("abort", () => { console.log("aborted"); resolve(new Response()); });
	}));`)
	ctx := within(t, soon)
	r := httptest.NewRequest(http.MethodGet, "/fn", nil)
	done := make(chan error, 1)
	ctx2, cancel := context.WithCancel(ctx)
	go func() {
		_, err := sub.try(r.WithContext(ctx2))
		done <- err
	}()
	sub.logs.find(t, "waiting")
	cancel()
	if err := <-done; err == nil {
		t.Error("no error for a client that has gone")
	}
	sub.logs.find(t, "aborted")
}

func TestStreamsAreNotHeldBack(t *testing.T) {
	t.Parallel()
	sub := loaded(t, `Deno.serve(() => {
		let n = 0;
		return new Response(new ReadableStream({
			async pull(c) {
				if (n++ === 3) return c.close();
				await new Promise((r) => setTimeout(r, 1));
				c.enqueue(new TextEncoder().encode("data: " + n + "\n\n"));
			},
		}), { headers: { "content-type": "text/event-stream" } });
	});`)
	if got := sub.get(t, "/fn", ""); got != "data: 1\n\ndata: 2\n\ndata: 3\n\n" {
		t.Errorf("%q", got)
	}
}
