package conformance

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// curl runs the program with arguments of a test's own.
type curl struct {
	path string
	to   target
}

func lookCurl(t *testing.T, to target) *curl {
	path, err := exec.LookPath("curl")
	if err != nil {
		need(t, "curl is not in PATH")
	}
	return &curl{path, to}
}

// A result is what curl saw.
type result struct {
	status   int
	version  string // of HTTP
	header   http.Header
	interim  []string // status lines before the last
	body     string
	uploaded int
	exit     int    // curl's own
	said     string // by curl, on stderr
}

// do calls a path of the first server; an argument that begins with https: is
// a path of the second one.
func (c *curl) do(t *testing.T, path string, args ...string) result {
	t.Helper()
	dir := t.TempDir()
	head, body := filepath.Join(dir, "head"), filepath.Join(dir, "body")
	url := c.to.URL + path
	if rest, ok := strings.CutPrefix(path, "https:"); ok {
		url = c.to.Secure + rest
		args = append(args, "--cacert", c.to.certificate)
	}
	args = append([]string{"-q", "-sS", "--noproxy", "*", "--max-time", "30", "-D", head, "-o", body,
		"-w", "%{http_code} %{http_version} %{size_upload}"}, append(args, url)...)
	cmd := exec.Command(c.path, args...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	var failure *exec.ExitError
	if err != nil && !errors.As(err, &failure) {
		t.Fatal(err)
	}
	r := result{exit: cmd.ProcessState.ExitCode(), said: said.String(), header: http.Header{}}
	if _, err := fmt.Sscan(out.String(), &r.status, &r.version, &r.uploaded); err != nil {
		t.Fatalf("curl %q: %v, %s %s", args, err, out.String(), said.String())
	}
	raw, _ := os.ReadFile(body) // there is none where nothing came
	r.body = string(raw)
	heads, _ := os.ReadFile(head)
	for line := range strings.Lines(string(heads)) {
		line = strings.TrimSpace(line)
		if name, value, ok := strings.Cut(line, ": "); ok && !strings.HasPrefix(line, "HTTP/") {
			r.header.Add(textproto.CanonicalMIMEHeaderKey(name), value)
		} else if line != "" {
			r.interim = append(r.interim, line)
			clear(r.header)
		}
	}
	if n := len(r.interim); n > 0 {
		r.interim = r.interim[:n-1]
	}
	return r
}

// echoed is what functions/echo says.
type echoed struct {
	Method, URL, Text string
	Headers           map[string]string
}

func (r result) echo(t *testing.T) echoed {
	t.Helper()
	var e echoed
	if err := json.Unmarshal([]byte(r.body), &e); err != nil || r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	return e
}

// problem checks an answer of the platform.
func (r result) problem(t *testing.T, status int, code string) {
	t.Helper()
	var got struct{ Code, Message string }
	if err := json.Unmarshal([]byte(r.body), &got); err != nil {
		t.Errorf("%v: %q %s", err, r.body, r.said)
	}
	if r.status != status || got.Code != code || got.Message == "" || r.header.Get("Sb-Error-Code") != code {
		t.Errorf("%d %s %v, want %d %s", r.status, r.body, r.header, status, code)
	}
	if r.header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(r.header.Get("Access-Control-Expose-Headers"), "sb-error-code") {
		t.Errorf("a page cannot read it: %v", r.header)
	}
}

func testCurl(t *testing.T, to target) {
	c := lookCurl(t, to)
	key := "apikey: " + to.Keys.Anon
	t.Run("unauthorized", c.unauthorized)
	t.Run("routes", c.routes)
	t.Run("bodies", c.bodies)
	t.Run("HTTP2", c.http2)

	t.Run("health and counters need no key", func(t *testing.T) {
		for _, path := range []string{"/health", "/_internal/health"} {
			if r := c.do(t, path); r.status != 200 || r.body != `{"message":"ok"}` {
				t.Errorf("%s: %d %s", path, r.status, r.body)
			}
		}
		r := c.do(t, "/_internal/metric")
		var counters map[string]float64
		if err := json.Unmarshal([]byte(r.body), &counters); err != nil || r.status != 200 || counters["receivedRequestsCount"] == 0 {
			t.Errorf("%d %s: %v", r.status, r.body, err)
		}
	})
	t.Run("OPTIONS needs no key", func(t *testing.T) {
		if r := c.do(t, "/functions/v1/echo", "-X", "OPTIONS"); r.status != 200 || r.body != "ok" {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
	t.Run("other methods are 405", func(t *testing.T) {
		for _, method := range []string{"TRACE", "PROPFIND", "BREW"} {
			r := c.do(t, "/functions/v1/echo", "-X", method, "-H", key)
			r.problem(t, 405, "METHOD_NOT_ALLOWED")
			if allow := r.header.Get("Allow"); !strings.Contains(allow, "GET, HEAD, POST") {
				t.Errorf("Allow: %s", allow)
			}
		}
	})
	t.Run("HEAD has the header and no body", func(t *testing.T) {
		r := c.do(t, "/functions/v1/answer/text", "--head", "-H", key)
		if r.status != 200 || r.body != "" && !strings.HasPrefix(r.body, "HTTP/1.1 200") || r.exit != 0 {
			t.Errorf("%+v", r)
		}
		r = c.do(t, "/functions/v1/no-such-function", "--head")
		if r.status != 404 || r.header.Get("Sb-Error-Code") != "NOT_FOUND" || r.exit != 0 {
			t.Errorf("%+v", r)
		}
	})
	t.Run("204 and 304 have no body", func(t *testing.T) {
		for path, status := range map[string]int{"none": 204, "not-modified": 304} {
			r := c.do(t, "/functions/v1/answer/"+path, "-H", key)
			if r.status != status || r.body != "" || r.exit != 0 || r.header.Get("Transfer-Encoding") != "" {
				t.Errorf("%s: %+v", path, r)
			}
		}
	})
	t.Run("cookies stay lines of their own", func(t *testing.T) {
		r := c.do(t, "/functions/v1/answer/cookies", "-H", key)
		if got := r.header["Set-Cookie"]; !slices.Equal(got, []string{"a=1; Path=/", "b=2, still b", "c=3"}) {
			t.Errorf("%q", got)
		}
	})
	t.Run("gzip passes untouched", func(t *testing.T) {
		want := strings.Repeat("zipped by the function ", 100)
		// Whether or not the client says that it takes gzip.
		r := c.do(t, "/functions/v1/answer/gzip", "-H", key)
		if r.header.Get("Content-Encoding") != "gzip" || !strings.HasPrefix(r.body, "\x1f\x8b") {
			t.Errorf("%v %.20q", r.header, r.body)
		}
		if r = c.do(t, "/functions/v1/answer/gzip", "-H", key, "--compressed"); r.body != want {
			t.Errorf("unpacked: %.60q", r.body)
		}
		// Nor is anything packed that the function did not pack.
		if r = c.do(t, "/functions/v1/answer/large", "-H", key, "-H", "Accept-Encoding: gzip"); r.header.Get("Content-Encoding") != "" || len(r.body) != 10<<20 {
			t.Errorf("%v, %d bytes", r.header, len(r.body))
		}
	})
	t.Run("an answer that was cut does not look whole", func(t *testing.T) {
		r := c.do(t, "/functions/v1/faulty/exit-in-answer", "-H", key)
		const partialFile, recvError = 18, 56
		if r.exit != partialFile && r.exit != recvError || r.body != "the beginning" {
			t.Errorf("curl's exit code %d, %d %q", r.exit, r.status, r.body)
		}
	})
	t.Run("headers of every answer", func(t *testing.T) {
		for path, fromWorker := range map[string]bool{"/functions/v1/answer/json": true, "/functions/v1/nope": false, "/functions/v1/echo": false, "/health": false} {
			h := c.do(t, path, "-H", cmp.Or(map[bool]string{true: key}[fromWorker], "x-none: 1")).header
			if h.Get("Sb-Request-Id") == "" || h.Get("X-Served-By") == "" || h.Get("X-Sb-Edge-Region") != "eu-central-1" || (h.Get("X-Deno-Execution-Id") != "") != fromWorker {
				t.Errorf("%s: %v", path, h)
			}
		}
	})
	t.Run("a body of 21 MB is too large", func(t *testing.T) {
		large := c.file(t, 21<<20)
		c.do(t, "/functions/v1/echo", "-H", key, "--data-binary", "@"+large).problem(t, 413, "REQUEST_TOO_LARGE")
		c.do(t, "/functions/v1/echo", "-H", key, "-X", "POST", "-T", large, "-H", "Transfer-Encoding: chunked").problem(t, 413, "REQUEST_TOO_LARGE")
	})
}

// file writes n bytes for an upload.
func (c *curl) file(t *testing.T, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "upload")
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), n), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// unauthorized is each row of the table of refusals.
func (c *curl) unauthorized(t *testing.T) {
	k := c.to.Keys
	const (
		none        = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJyb2xlIjoiYW5vbiJ9."
		hs384       = "eyJhbGciOiJIUzM4NCIsInR5cCI6IkpXVCJ9.eyJyb2xlIjoiYW5vbiJ9.AAAA"
		noAlgorithm = "eyJ0eXAiOiJKV1QifQ.eyJyb2xlIjoiYW5vbiJ9.AAAA"
	)
	for _, tc := range []struct{ name, header, code, message string }{
		{"nothing sent", "x-nothing: 1", "UNAUTHORIZED_NO_AUTH_HEADER", "Missing authorization header"},
		{"not Bearer", "Authorization: Basic dTpw", "UNAUTHORIZED_INVALID_JWT_FORMAT", "Invalid JWT format"},
		{"undecodable", "Authorization: Bearer a.b.c", "UNAUTHORIZED_INVALID_JWT_FORMAT", "Invalid JWT format"},
		{"no algorithm", "Authorization: Bearer " + noAlgorithm, "UNAUTHORIZED_INVALID_JWT_FORMAT", "Invalid JWT format"},
		{"HS256 of another secret", "Authorization: Bearer " + k.Foreign, "UNAUTHORIZED_LEGACY_JWT", "Invalid JWT"},
		{"HS256 expired", "Authorization: Bearer " + k.Expired, "UNAUTHORIZED_LEGACY_JWT", "Invalid JWT"},
		{"ES256 tampered with", "Authorization: Bearer " + tampered(k.UserES256), "UNAUTHORIZED_ASYMMETRIC_JWT", "Invalid JWT"},
		{"ES256 expired", "Authorization: Bearer " + k.ExpiredES256, "UNAUTHORIZED_ASYMMETRIC_JWT", "Invalid JWT"},
		{"algorithm none", "Authorization: Bearer " + none, "UNAUTHORIZED_UNSUPPORTED_TOKEN_ALGORITHM", "Unsupported JWT algorithm none"},
		{"another algorithm", "Authorization: Bearer " + hs384, "UNAUTHORIZED_UNSUPPORTED_TOKEN_ALGORITHM", "Unsupported JWT algorithm HS384"},
		{"unknown publishable key", "apikey: sb_publishable_nope", "UNAUTHORIZED_INVALID_JWT_FORMAT", "Invalid JWT format"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := c.do(t, "/functions/v1/echo", "-H", tc.header, "-d", "{}")
			r.problem(t, 401, tc.code)
			if want := fmt.Sprintf(`{"code":%q,"message":%q,"msg":%q}`, tc.code, tc.message, tc.message); r.body != want {
				t.Errorf("%s, want %s", r.body, want)
			}
		})
	}
	t.Run("the check comes after routing", func(t *testing.T) {
		c.do(t, "/functions/v1/no-such-function").problem(t, 404, "NOT_FOUND")
	})
	t.Run("nothing is uploaded", func(t *testing.T) {
		r := c.do(t, "/functions/v1/echo", "-T", c.file(t, 8<<20), "-X", "POST", "-H", "Expect: 100-continue")
		r.problem(t, 401, "UNAUTHORIZED_NO_AUTH_HEADER")
		if r.uploaded > 0 || len(r.interim) > 0 {
			t.Errorf("%d bytes were uploaded after %q", r.uploaded, r.interim)
		}
	})
}

// tampered changes the claims of a token and keeps its signature.
func tampered(token string) string {
	parts := strings.Split(token, ".")
	parts[1] = parts[1][:4] + strings.Map(func(r rune) rune {
		if r == 'A' {
			return 'B'
		}
		return 'A'
	}, parts[1][4:5]) + parts[1][5:]
	return strings.Join(parts, ".")
}

// routes is what the function sees of a path.
func (c *curl) routes(t *testing.T) {
	key := "apikey: " + c.to.Keys.Anon
	for _, tc := range []struct{ name, path, want string }{
		{"with prefix", "/functions/v1/echo", "/echo"},
		{"without prefix", "/echo", "/echo"},
		{"rest and query", "/functions/v1/echo/a/b?x=1&x=2&", "/echo/a/b?x=1&x=2&"},
		{"percent-encoding is kept", "/functions/v1/echo/a%2Fb%2fc%20d/%C5%BE?q=%2B+%20", "/echo/a%2Fb%2fc%20d/%C5%BE?q=%2B+%20"},
		{"double slashes are kept", "/functions/v1/echo//a///b//", "/echo//a///b//"},
		{"dots are not the gateway's", "/functions/v1/echo/a/..%2fb", "/echo/a/..%2fb"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := c.do(t, tc.path, "--path-as-is", "-H", key).echo(t).URL; got != c.to.URL+tc.want {
				t.Errorf("the function sees %s, want %s", got, c.to.URL+tc.want)
			}
		})
	}
	t.Run("other paths are 404", func(t *testing.T) {
		for _, path := range []string{"//echo", "/functions/v1//echo", "/functions/v1", "/functions/v1/", "/functions/v1/_shared", "/functions/v1/%65cho", "/functions/v2/echo"} {
			c.do(t, path, "--path-as-is", "-H", key).problem(t, 404, "NOT_FOUND")
		}
	})
	t.Run("absolute form", func(t *testing.T) {
		r := c.do(t, "/", "--request-target", c.to.URL+"/functions/v1/echo/x?y=1", "-H", key)
		if got := r.echo(t).URL; got != c.to.URL+"/echo/x?y=1" {
			t.Errorf("the function sees %s", got)
		}
	})
	forwarded := []string{"-H", key, "-H", "X-Forwarded-Host: api.example.com", "-H", "X-Forwarded-Proto: https", "-H", "X-Forwarded-For: 203.0.113.9"}
	t.Run("forwarding headers of nobody", func(t *testing.T) {
		e := c.do(t, "/functions/v1/echo", forwarded...).echo(t)
		if e.URL != c.to.URL+"/echo" || e.Headers["x-forwarded-for"] != "127.0.0.1" {
			t.Errorf("the function sees %s from %s", e.URL, e.Headers["x-forwarded-for"])
		}
	})
	t.Run("forwarding headers of a trusted proxy", func(t *testing.T) {
		e := c.do(t, "https:/functions/v1/echo", forwarded...).echo(t)
		if e.URL != "https://api.example.com/echo" || !strings.HasPrefix(e.Headers["x-forwarded-for"], "203.0.113.9") {
			t.Errorf("the function sees %s from %s", e.URL, e.Headers["x-forwarded-for"])
		}
	})
	t.Run("trace context is passed on", func(t *testing.T) {
		const trace = "0af7651916cd43dd8448eb211c80319c"
		e := c.do(t, "/functions/v1/echo", "-H", key, "-H", "traceparent: 00-"+trace+"-b7ad6b7169203331-01", "-H", "tracestate: a=1").echo(t)
		if !strings.Contains(e.Headers["traceparent"], trace) || e.Headers["tracestate"] != "a=1" {
			t.Errorf("the function sees %v", e.Headers)
		}
	})
	t.Run("headers of a connection are dropped", func(t *testing.T) {
		e := c.do(t, "/functions/v1/echo", "-H", key, "-H", "Connection: x-mine, keep-alive", "-H", "X-Mine: 1", "-H", "Keep-Alive: 5", "-H", "TE: trailers", "-H", "Proxy-Authorization: Basic x").echo(t)
		for _, name := range []string{"x-mine", "keep-alive", "te", "proxy-authorization"} {
			if v, ok := e.Headers[name]; ok {
				t.Errorf("the function sees %s: %s", name, v)
			}
		}
	})
}

// bodies is how uploads go.
func (c *curl) bodies(t *testing.T) {
	key := "apikey: " + c.to.Keys.Anon
	t.Run("Expect 100-continue", func(t *testing.T) {
		r := c.do(t, "/functions/v1/small", "-H", key, "-X", "POST", "-T", c.file(t, 1<<20), "-H", "Expect: 100-continue")
		if r.status != 200 || r.body != "1048576" || len(r.interim) != 1 || !strings.HasPrefix(r.interim[0], "HTTP/1.1 100") {
			t.Errorf("%d %s after %q", r.status, r.body, r.interim)
		}
	})
	t.Run("chunked", func(t *testing.T) {
		r := c.do(t, "/functions/v1/small", "-H", key, "-X", "POST", "-T", c.file(t, 1<<20), "-H", "Transfer-Encoding: chunked")
		if r.status != 200 || r.body != "1048576" {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
	t.Run("an early answer to a large upload", func(t *testing.T) {
		r := c.do(t, "/functions/v1/streams/early", "-H", key, "-X", "POST", "-T", c.file(t, 19<<20))
		if r.status != 422 || r.body != `{"error":"too large for me"}` {
			t.Errorf("curl's exit code %d, %d %q", r.exit, r.status, r.body)
		}
	})
	t.Run("GET with a body", func(t *testing.T) {
		// It comes to nothing: a Request of GET has none, says the Fetch standard.
		if e := c.do(t, "/functions/v1/echo/next", "-H", key, "-X", "GET", "-d", "odd").echo(t); e.Method != "GET" {
			t.Errorf("%+v", e)
		}
	})
}

// http2 is the same server by another protocol.
func (c *curl) http2(t *testing.T) {
	features, err := exec.Command(c.path, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(features, []byte("HTTP2")) {
		need(t, "this curl has no HTTP/2")
	}
	key := "apikey: " + c.to.Keys.Anon
	for _, tc := range []struct{ name, base, version, arg string }{
		{"prior knowledge", "", "2", "--http2-prior-knowledge"},
		{"ALPN", "https:", "2", "--http2"},
		{"HTTP1 over TLS", "https:", "1.1", "--http1.1"},
		{"upgrade is passed over", "", "1.1", "--http2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := c.do(t, tc.base+"/functions/v1/echo/x?y=%2F", tc.arg, "-H", key, "-H", "Content-Type: text/plain", "-d", "hello")
			origin := c.to.URL
			if tc.base != "" {
				origin = c.to.Secure
			}
			if e := r.echo(t); e.URL != origin+"/echo/x?y=%2F" || e.Text != "hello" || e.Method != "POST" || r.version != tc.version {
				t.Errorf("HTTP/%s, the function sees %s %s %q", r.version, e.Method, e.URL, e.Text)
			}
			c.do(t, tc.base+"/functions/v1/echo", tc.arg).problem(t, 401, "UNAUTHORIZED_NO_AUTH_HEADER")
			if r := c.do(t, tc.base+"/functions/v1/answer/large", tc.arg, "-H", key); len(r.body) != 10<<20 || r.exit != 0 {
				t.Errorf("large answer: %d bytes, exit code %d", len(r.body), r.exit)
			}
			if r := c.do(t, tc.base+"/functions/v1/streams/early", tc.arg, "-H", key, "-X", "POST", "-T", c.file(t, 19<<20)); r.status != 422 {
				t.Errorf("early answer: %d %q, exit code %d", r.status, r.body, r.exit)
			}
			if r := c.do(t, tc.base+"/functions/v1/faulty/exit-in-answer", tc.arg, "-H", key); r.exit == 0 {
				t.Errorf("cut answer looks whole: %d %q", r.status, r.body)
			}
			c.do(t, tc.base+"/functions/v1/echo", tc.arg, "-H", key, "--data-binary", "@"+c.file(t, 21<<20)).problem(t, 413, "REQUEST_TOO_LARGE")
		})
	}
	t.Run("old TLS is refused", func(t *testing.T) {
		out, err := exec.Command(c.path, "-q", "-sS", "--noproxy", "*", "--cacert", c.to.certificate, "--tls-max", "1.1", c.to.Secure+"/health").CombinedOutput()
		if err == nil {
			t.Errorf("it is taken: %s", out)
		}
	})
}
