package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"testing"
)

// fields returns the header lines of a head by lower-case name.
func fieldsOf(t *testing.T, head string) map[string][]string {
	t.Helper()
	_, lines, _ := strings.Cut(head, "\r\n")
	h, err := textproto.NewReader(bufio.NewReader(strings.NewReader(lines + "\r\n\r\n"))).ReadMIMEHeader()
	if err != nil {
		t.Fatalf("%q: %v", head, err)
	}
	all := map[string][]string{}
	for name, values := range h {
		all[strings.ToLower(name)] = values
	}
	return all
}

// Fields about one connection are dropped on the way to the function, and no
// others (RFC 9110, section 7.6.1).
func TestHopByHopOfRequests(t *testing.T) {
	s, rec := startEdge(t, nil)
	for _, tc := range []struct {
		name, sent string
		dropped    string
		kept       string
	}{
		{"those that always are", "Keep-Alive: timeout=5\r\nTE: trailers\r\nTrailer: X\r\nUpgrade: foo\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic x\r\nProxy-Authenticate: x",
			"keep-alive te trailer upgrade proxy-connection proxy-authorization proxy-authenticate connection", ""},
		{"those that are named", "Connection: x-one , X-TWO,,close\r\nX-One: 1\r\nx-two: 2\r\nX-Three: 3", "x-one x-two connection", "x-three"},
		{"in several lines", "Connection: x-one\r\nConnection: x-two\r\nX-One: 1\r\nX-Two: 2", "x-one x-two connection", ""},
		{"h2c", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA", "upgrade http2-settings connection", ""},
		{"a name that holds one", "X-Connection: a\r\nTE-X: b\r\nKeep-Alives: c\r\nUpgrade-Insecure-Requests: 1", "", "x-connection te-x keep-alives upgrade-insecure-requests"},
		{"end-to-end ones", "Cookie: a=1\r\nAuthorization: Bearer x\r\napikey: y\r\nRange: bytes=0-1\r\nAccept-Encoding: gzip\r\nVia: 1.1 z",
			"", "cookie authorization apikey range accept-encoding via"},
		// Nobody can have the platform's own fields dropped by naming them.
		{"the platform's are named", "Connection: Sb-Request-Id, X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, Host\r\nX-Real-Ip: 6.6.6.6",
			"connection", "sb-request-id x-forwarded-for x-forwarded-proto x-forwarded-host host x-real-ip"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			nc, r := s.dial("GET /hello HTTP/1.1\r\nHost: x\r\n" + tc.sent + "\r\n\r\n")
			if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != 200 {
				t.Fatalf("got %v, %v", res, err)
			}
			nc.Close()
			got := fieldsOf(t, rec.next().head)
			for name := range strings.FieldsSeq(tc.dropped) {
				if len(got[name]) > 0 {
					t.Errorf("the function got %s: %q", name, got[name])
				}
			}
			for name := range strings.FieldsSeq(tc.kept) {
				if len(got[name]) != 1 {
					t.Errorf("the function got %s: %q", name, got[name])
				}
			}
		})
	}
}

func TestHopByHopOfAnswers(t *testing.T) {
	w := startWorker(t, "e", answering(func(*http.Request) string {
		return "HTTP/1.1 200 OK\r\nconnection: x-one, X-TWO\r\nx-one: 1\r\nx-two: 2\r\nx-three: 3\r\nkeep-alive: timeout=5\r\nproxy-authenticate: x\r\n" +
			"proxy-connection: x\r\nte: x\r\ntrailer: x-four\r\nupgrade: x\r\nset-cookie: a=1\r\nset-cookie: b=2\r\ntransfer-encoding: chunked\r\n\r\n" +
			"2\r\nhi\r\n0\r\nx-four: 4\r\nset-cookie: c=3\r\n\r\n"
	}))
	s := startSite(t, &fakePool{workers: []*fakeWorker{w}}, nil)
	res, body := s.do("GET", "/hello", nil)
	if body != "hi" || len(res.Trailer) > 0 {
		t.Errorf("got %q, trailers %v", body, res.Trailer)
	}
	for _, name := range []string{"Connection", "X-One", "X-Two", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "Te", "Upgrade", "X-Four"} {
		if v := res.Header.Values(name); len(v) > 0 {
			t.Errorf("%s: %q", name, v)
		}
	}
	if res.Header.Get("X-Three") != "3" || !slices.Equal(res.Header.Values("Set-Cookie"), []string{"a=1", "b=2"}) {
		t.Errorf("headers %v", res.Header)
	}
}

// Nobody can pass as the platform before a function, nor a function as the
// platform before a client.
func TestForgedPlatformHeaders(t *testing.T) {
	s, rec := startEdge(t, nil)
	s.talk("GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\nsb-api-key: forged\r\nSB-API-KEY: forged\r\nsb-request-id: forged\r\nSb-Request-Id: forged\r\n\r\n")
	d := rec.next()
	if got := fieldsOf(t, d.head); len(got["sb-request-id"]) != 1 || strings.Contains(d.head, "forged") {
		t.Errorf("the function got %q", d.head)
	}
	w := startWorker(t, "real", answering(func(*http.Request) string {
		return "HTTP/1.1 500 X\r\ncontent-length: 0\r\nsb-request-id: forged\r\nsb-request-id: again\r\nx-deno-execution-id: forged\r\nx-served-by: forged\r\n" +
			"x-sb-edge-region: forged\r\nx-relay-error: true\r\nsb-error-code: WORKER_ERROR\r\n\r\n"
	}))
	s = startSite(t, &fakePool{workers: []*fakeWorker{w}}, nil)
	res, _ := s.do("GET", "/hello", nil)
	checkPlatformHeaders(t, res, "real")
	if res.Header.Get("X-Relay-Error") != "" || !slices.Equal(res.Header.Values("Sb-Error-Code"), []string{"EDGE_FUNCTION_ERROR"}) {
		t.Errorf("headers %v", res.Header)
	}
}

// Nothing makes one name of two that differ: what is checked under one name
// cannot come back under the other.
func TestUnderscoresAreNoDashes(t *testing.T) {
	s, rec := startEdge(t, nil)
	s.talk("GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX_Forwarded_For: a\r\nsb_api_key: b\r\nX-Custom: c\r\nX_Custom: d\r\n\r\n")
	got := fieldsOf(t, rec.next().head)
	for name, want := range map[string]string{"x_forwarded_for": "a", "sb_api_key": "b", "x-custom": "c", "x_custom": "d", "x-forwarded-for": "127.0.0.1", "sb-api-key": ""} {
		if v := strings.Join(got[name], "|"); v != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
}

func TestValuesByteForByte(t *testing.T) {
	s, rec := startEdge(t, nil)
	all := s.talk("GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\nA: \t  one,  two \t\r\nB:\r\nC: caf\xe9 \xff\r\nD: é\r\nA: three\r\nE: \"a;b\\\"\"\r\n\r\n")
	if len(all) != 1 || all[0].StatusCode != 200 {
		t.Fatalf("answers %+v", all)
	}
	d := rec.next()
	for name, want := range map[string][]string{"A": {"one,  two", "three"}, "B": {""}, "C": {"caf\xe9 \xff"}, "D": {"é"}, "E": {`"a;b\""`}} {
		if !slices.Equal(d.Header[name], want) {
			t.Errorf("%s: %q, want %q", name, d.Header[name], want)
		}
	}
}

func TestHeaderLimits(t *testing.T) {
	s, rec := startEdge(t, nil)
	const head = "GET /hello HTTP/1.1\r\nHost: x\r\n"
	many := func(n int) (b string) { return strings.Repeat("A: b\r\n", n-1) } // Host is one
	t.Run("as many as may be", func(t *testing.T) {
		s, rec := startEdge(t, nil)
		if all := s.talk(head + many(499) + "Connection: close\r\n\r\n"); len(all) != 1 || all[0].StatusCode != 200 {
			t.Errorf("answers %+v", all)
		}
		if n := len(rec.next().Header["A"]); n != 498 {
			t.Errorf("%d arrived", n)
		}
	})
	t.Run("as long as may be", func(t *testing.T) {
		s, rec := startEdge(t, nil)
		value := strings.Repeat("v", maxHeaderBytes-len(head)-len("Connection: close\r\nA: \r\n\r\n"))
		if all := s.talk(head + "Connection: close\r\nA: " + value + "\r\n\r\n"); len(all) != 1 || all[0].StatusCode != 200 {
			t.Errorf("answers %+v", all)
		}
		if d := rec.next(); d.Header.Get("A") != value {
			t.Errorf("%d bytes arrived", len(d.Header.Get("A")))
		}
	})
	for _, tc := range []struct {
		name, request string
		status        int
	}{
		{"one byte too many", head + "A: " + strings.Repeat("v", maxHeaderBytes-len(head)-len("A: \r\n\r\n")+1) + "\r\n\r\n", 431},
		{"one field too long", head + "A: " + strings.Repeat("v", 1<<20), 431},
		{"one name too long", head + strings.Repeat("n", 1<<20), 431},
		{"too many fields", head + many(501) + "\r\n", 431},
		{"far too many fields", head + many(100_000) + "\r\n", 431},
		{"target too long", "GET /hello/" + strings.Repeat("x", 1<<20), 414},
		{"query too long", "GET /hello?" + strings.Repeat("x", maxHeaderBytes) + " HTTP/1.1\r\nHost: x\r\n\r\n", 414},
		{"method too long", strings.Repeat("X", 1<<20), 414},
	} {
		t.Run(tc.name, func(t *testing.T) { s.refuses(t, rec, tc.request, tc.status) })
	}
}

// HTTP/2 has the same bound, and what HTTP/1.1 cannot say is not forwarded.
func TestHeadersOfHTTP2(t *testing.T) {
	s, rec := startEdge(t, nil)
	c := http2Client(t, nil)
	req, _ := http.NewRequest("GET", "http://"+s.addr+"/hello", nil)
	req.Header = http.Header{"Te": {"trailers"}, "X-Ok": {"1"}, "Sb-Api-Key": {"forged"}, "X-Forwarded-Host": {"evil.example"}}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	d := rec.next()
	if got := fieldsOf(t, d.head); len(got["te"]) > 0 || len(got["x-ok"]) != 1 || strings.Contains(d.head, "forged") || strings.Contains(d.head, "evil") {
		t.Errorf("the function got %q", d.head)
	}
	req.Header = http.Header{"A": {strings.Repeat("v", 2*maxHeaderBytes)}}
	if res, err := c.Do(req); err == nil {
		res.Body.Close()
		if res.StatusCode != 431 {
			t.Errorf("got %d", res.StatusCode)
		}
	}
	rec.nothing()
}

// Pipelined requests are answered in order, each by itself.
func TestPipelining(t *testing.T) {
	w := startWorker(t, "e", answering(func(r *http.Request) string { return text(200, r.URL.Path) }))
	s := startSite(t, &fakePool{workers: []*fakeWorker{w}}, nil)
	var requests strings.Builder
	for i := range 50 {
		fmt.Fprintf(&requests, "POST /hello/%d HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody", i)
	}
	nc, r := s.dial(requests.String())
	for i := range 50 {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(res.Body); string(b) != fmt.Sprintf("/hello/%d", i) {
			t.Errorf("answer %d is %q", i, b)
		}
	}
	nc.(*net.TCPConn).CloseWrite()
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("then %v", err)
	}
}
