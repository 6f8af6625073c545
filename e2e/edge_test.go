package e2e

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// echoEdge tells what a function sees of a request and reads all of its body.
const echoEdge = `Deno.serve(async (req, info) => {
	const body = await req.arrayBuffer();
	console.log("read to its end");
	return Response.json({ url: req.url, remote: info.remoteAddr.hostname, chain: req.headers.get("x-forwarded-for"), length: body.byteLength });
});`

var asIfProxied = []string{"X-Forwarded-For", "6.6.6.6, 203.0.113.7", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "api.example.com"}

func TestServeBehindATrustedProxy(t *testing.T) {
	dir := project(t, map[string]string{"functions/echo/index.ts": echoEdge})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions"), Env: []string{"REQUIRE_AUTH=false", "SELVEDGE_TRUSTED_PROXIES=loopback"}})
	a := s.call("GET", "/functions/v1/echo/x", "", asIfProxied...)
	if want := `{"url":"https://api.example.com/echo/x","remote":"203.0.113.7","chain":"203.0.113.7, 127.0.0.1","length":0}`; a.body != want {
		t.Errorf("got %s, want %s", a.body, want)
	}
}

func TestServeTrustsNobodyUnlessTold(t *testing.T) {
	dir := project(t, map[string]string{"functions/echo/index.ts": echoEdge})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions"), Env: []string{"REQUIRE_AUTH=false"}})
	for range 2 {
		a := s.call("GET", "/functions/v1/echo/x", "", asIfProxied...)
		if want := `{"url":"` + s.URL + `/echo/x","remote":"127.0.0.1","chain":"127.0.0.1","length":0}`; a.body != want {
			t.Errorf("got %s, want %s", a.body, want)
		}
	}
	s.Stop()
	if n := strings.Count(s.Out.String(), "--trusted-proxies"); n != 1 {
		t.Errorf("the log says %d times what to do:\n%s", n, s.Out)
	}
}

// TestServeKeepsConnections measures how long a connection is kept for a next
// request. Load balancers must give up first.
func TestServeKeepsConnections(t *testing.T) {
	dir := project(t, map[string]string{"functions/echo/index.ts": echoEdge})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions"), Env: []string{"REQUIRE_AUTH=false", "SELVEDGE_KEEP_ALIVE=2s"}})
	c, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for range 2 {
		time.Sleep(time.Second)
		if _, err := io.WriteString(c, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
	}
	began := time.Now()
	_ = c.SetDeadline(began.Add(20 * time.Second))
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("error %v, want the end", err)
	}
	if took := time.Since(began); took < 1900*time.Millisecond || took > 10*time.Second {
		t.Errorf("closed after %s", took)
	}
}

func TestServeBoundsBodies(t *testing.T) {
	dir := project(t, map[string]string{
		"functions/small/index.ts": echoEdge, "functions/big/index.ts": echoEdge, "functions/any/index.ts": echoEdge,
		"config.toml": "[functions.big]\nmax_body_mb = 2\n[functions.any]\nmax_body_mb = \"off\"\n",
	})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions"), Env: []string{"REQUIRE_AUTH=false", "SELVEDGE_MAX_BODY=512KB"}})
	const kb = 1 << 10
	for _, tc := range []struct {
		slug   string
		size   int
		length bool // known beforehand
		status int
	}{
		{"small", 512 * kb, true, 200}, {"small", 512*kb + 1, true, 413}, {"small", 512 * kb, false, 200}, {"small", 512*kb + 1, false, 413},
		{"big", 2048 * kb, true, 200}, {"big", 2048*kb + 1, false, 413}, {"any", 8192 * kb, true, 200}, {"any", 8192 * kb, false, 200},
	} {
		var body io.Reader = strings.NewReader(strings.Repeat("x", tc.size))
		if !tc.length {
			body = io.MultiReader(body) // whose length net/http cannot tell
		}
		res, err := http.Post(s.URL+"/"+tc.slug, "text/plain", body)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != tc.status || tc.status == 413 && res.Header.Get("sb-error-code") != "REQUEST_TOO_LARGE" {
			t.Errorf("%s with %d bytes, length known %t: %d %s", tc.slug, tc.size, tc.length, res.StatusCode, b)
		}
	}
	s.Stop()
	if n := strings.Count(s.Out.String(), "read to its end"); n != 5 {
		t.Errorf("functions took %d bodies for whole, want 5:\n%s", n, s.Out)
	}
}
