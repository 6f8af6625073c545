package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// The tests of this file send what two servers could understand differently.
// Behind each attempt comes a request that must never arrive by itself.
const smuggled = "GET /hello/smuggled HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

// refuses fails the test unless the request is answered with the status, in
// the platform's form, as the last one of its connection and without a worker.
func (s *site) refuses(t *testing.T, rec *recorder, request string, status int) {
	t.Helper()
	all := s.talk(request)
	if len(all) != 1 {
		t.Fatalf("%d answers", len(all))
	}
	res, body := all[0], all[0].body
	if res.StatusCode != status || !res.Close {
		t.Errorf("got %d %s, close %t; want %d", res.StatusCode, body, res.Close, status)
	}
	checkPlatformHeaders(t, res.Response, "")
	code := res.Header.Get("Sb-Error-Code")
	if code == "" || !strings.Contains(body, `"code":"`+code+`"`) || res.Header.Get("Content-Type") != "application/json" ||
		res.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("the refusal is %v %s", res.Header, body)
	}
	rec.nothing()
	if r := s.record(); r.Status != status || string(r.Code) != code || r.Err == nil {
		t.Errorf("record %+v", r)
	}
}

// A head that says in two ways where the body ends is refused.
func TestSmugglingByFraming(t *testing.T) {
	s, rec := startEdge(t, nil)
	for _, tc := range []struct {
		name, fields string
		status       int
	}{
		{"CL.TE", "Content-Length: 4\r\nTransfer-Encoding: chunked", 400},
		{"TE.CL", "Transfer-Encoding: chunked\r\nContent-Length: 4", 400},
		{"CL.0 and TE", "Content-Length: 0\r\nTransfer-Encoding: chunked", 400},
		{"TE.TE", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", 400},
		{"TE.TE the other way", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", 501},
		{"TE.TE twice the same", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400},
		{"TE list", "Transfer-Encoding: identity, chunked", 501},
		{"TE list twice chunked", "Transfer-Encoding: chunked, chunked", 501},
		{"TE with a coding behind", "Transfer-Encoding: chunked, gzip", 501},
		{"TE unknown", "Transfer-Encoding: xchunked", 501},
		{"TE quoted", `Transfer-Encoding: "chunked"`, 501},
		{"TE with a parameter", "Transfer-Encoding: chunked;q=1", 501},
		{"TE empty", "Transfer-Encoding:", 501},
		{"TE with a vertical tab", "Transfer-Encoding: \x0bchunked", 400},
		{"TE with NUL", "Transfer-Encoding: chunked\x00", 400},
		{"TE with a no-break space", "Transfer-Encoding: \xa0chunked", 501},
		{"TE with space before the colon", "Transfer-Encoding : chunked", 400},
		{"TE with tab before the colon", "Transfer-Encoding\t: chunked", 400},
		{"TE on a continued line", "X: x\r\n Transfer-Encoding: chunked", 400},
		{"TE continued", "Transfer-Encoding:\r\n chunked", 400},
		{"TE with its colon on the next line", "Transfer-Encoding\r\n: chunked", 400},
		{"TE behind a bare LF", "X: x\nTransfer-Encoding: chunked", 400},
		{"TE behind a bare CR", "X: x\rTransfer-Encoding: chunked", 400},
		{"TE with a control character in its name", "Transfer\x01-Encoding: chunked", 400},
		{"CL twice", "Content-Length: 4\r\nContent-Length: 4", 400},
		{"CL twice, not the same", "Content-Length: 4\r\nContent-Length: 40", 400},
		{"CL list", "Content-Length: 4, 4", 400},
		{"CL negative", "Content-Length: -4", 400},
		{"CL with a plus", "Content-Length: +4", 400},
		{"CL with a space", "Content-Length: 4 0", 400},
		{"CL hexadecimal", "Content-Length: 0x4", 400},
		{"CL with a point", "Content-Length: 4.0", 400},
		{"CL with an underscore", "Content-Length: 4_0", 400},
		{"CL of other digits", "Content-Length: ٤", 400},
		{"CL empty", "Content-Length:", 400},
		{"CL too large for 63 bits", "Content-Length: 9223372036854775808", 400},
		{"CL that wraps around", "Content-Length: 18446744073709551620", 400},
		{"CL with space before the colon", "Content-Length : 4", 400},
		{"CL continued", "Content-Length: 4\r\n 0", 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s.refuses(t, rec, post+tc.fields+"\r\n\r\n0\r\n\r\n"+smuggled, tc.status)
		})
	}
	t.Run("TE in HTTP/1.0", func(t *testing.T) {
		s.refuses(t, rec, "POST /hello HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+smuggled, 400)
	})
}

// A chunked body that is not one is never taken for whole, and what follows it
// never for a request.
func TestSmugglingByChunks(t *testing.T) {
	s, rec := startEdge(t, nil)
	for _, tc := range []struct{ name, body string }{
		{"size overflows", "ffffffffffffffff\r\nab\r\n0\r\n\r\n"},
		{"size wraps to two", "10000000000000002\r\nab\r\n0\r\n\r\n"},
		{"size of many zeros", strings.Repeat("0", 100) + "2\r\nab\r\n0\r\n\r\n"},
		{"size negative", "-2\r\nab\r\n0\r\n\r\n"},
		{"size with a plus", "+2\r\nab\r\n0\r\n\r\n"},
		{"size with 0x", "0x2\r\nab\r\n0\r\n\r\n"},
		{"size with a space", "2 \r\nab\r\n0\r\n\r\n"},
		{"size behind a space", " 2\r\nab\r\n0\r\n\r\n"},
		{"size with an underscore", "0_2\r\nab\r\n0\r\n\r\n"},
		{"size missing", "\r\nab\r\n0\r\n\r\n"},
		{"size with a bare LF", "2\nab\r\n0\r\n\r\n"},
		{"size with a bare CR", "2\rab\r\n0\r\n\r\n"},
		{"extension with a bare LF", "2;a\nb\r\nab\r\n0\r\n\r\n"},
		{"extension with a bare CR", "2;a\rb\r\nab\r\n0\r\n\r\n"},
		{"extension with NUL", "2;\x00\r\nab\r\n0\r\n\r\n"},
		{"extension without end", "2;" + strings.Repeat("a", 5000) + "\r\nab\r\n0\r\n\r\n"},
		{"data longer than its size", "2\r\nabc\r\n0\r\n\r\n"},
		{"data without its end", "2\r\nab0\r\n\r\n"},
		{"data with a bare LF behind", "2\r\nab\n0\r\n\r\n"},
		{"last chunk with a bare LF", "2\r\nab\r\n0\n\n"},
		{"trailer folded", "2\r\nab\r\n0\r\nA: b\r\n c\r\n\r\n"},
		{"trailer without a name", "2\r\nab\r\n0\r\n: b\r\n\r\n"},
		{"trailer with space before the colon", "2\r\nab\r\n0\r\nA : b\r\n\r\n"},
		{"trailers without end", "2\r\nab\r\n0\r\n" + strings.Repeat("A: b\r\n", 5000) + "\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			all := s.talk(post + "Transfer-Encoding: chunked\r\n\r\n" + tc.body + smuggled)
			if len(all) != 1 || all[0].StatusCode != 400 || !strings.Contains(all[0].body, "BAD_REQUEST") || !all[0].Close {
				t.Fatalf("answers %+v", all)
			}
			if d := rec.next(); d.err == nil || d.URL.Path != "/hello" {
				t.Errorf("the function got %s with %q as the whole", d.URL.Path, d.body)
			}
			rec.nothing()
			s.record()
		})
	}
}

// What may be written in several ways and still has one meaning is forwarded
// in one way.
func TestFramingIsRewritten(t *testing.T) {
	s, rec := startEdge(t, nil)
	for _, tc := range []struct{ name, fields, sent, body, framing string }{
		{"extensions and trailers", "Transfer-Encoding: chunked\r\nTrailer: Content-Length", "2;a=\"b\"\r\nab\r\n02\r\ncd\r\n000\r\nContent-Length: 9\r\nX: y\r\n\r\n", "abcd", "Transfer-Encoding: chunked"},
		{"case and blanks", "tRANSFER-eNCODING:\t CHUNKED \t", "0\r\n\r\n", "", "Transfer-Encoding: chunked"},
		{"a length with zeros", "Content-Length: 0004", "abcd", "abcd", "Content-Length: 4"},
		{"GET with a body", "Content-Length: 4", "abcd", "abcd", "Content-Length: 4"},
		{"framing named as hop-by-hop", "Connection: Content-Length, Transfer-Encoding\r\nContent-Length: 4", "abcd", "abcd", "Content-Length: 4"},
		{"an underscore for the dash", "Transfer_Encoding: chunked\r\nContent_Length: 40\r\nContent-Length: 4", "abcd", "abcd", "Content-Length: 4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			method := "POST"
			if strings.HasPrefix(tc.name, "GET") {
				method = "GET"
			}
			all := s.talk(method + " /hello HTTP/1.1\r\nHost: x\r\n" + tc.fields + "\r\n\r\n" + tc.sent + "GET /hello/next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			if len(all) != 2 || all[0].StatusCode != 200 || all[1].StatusCode != 200 {
				t.Fatalf("answers %+v", all)
			}
			d := rec.next()
			if d.body != tc.body || d.err != nil || strings.Count(d.head, tc.framing) != 1 ||
				strings.Count(d.head, "Content-Length:")+strings.Count(d.head, "Transfer-Encoding:") != 1 || strings.Contains(d.head, "Trailer") {
				t.Errorf("the function got %q with %q, %v", d.head, d.body, d.err)
			}
			if d := rec.next(); d.URL.Path != "/hello/next" {
				t.Errorf("then the function got %q", d.head)
			}
		})
	}
}

// A body that a worker answers before it has read it is no request.
func TestBodyIsNoRequestAfterAnEarlyAnswer(t *testing.T) {
	targets := make(chan string, 10)
	early := startWorker(t, "early", func(nc *net.UnixConn, r *bufio.Reader) {
		if req, err := http.ReadRequest(r); err == nil {
			targets <- req.URL.Path
			io.WriteString(nc, text(403, "no"))
		}
	})
	for name, tail := range map[string]string{
		"at once": smuggled,
		"padded":  strings.Repeat("x", 300<<10) + "\r\n\r\n" + smuggled,
	} {
		t.Run(name, func(t *testing.T) {
			s := startSite(t, &fakePool{workers: []*fakeWorker{early}}, nil)
			nc, r := s.dial(fmt.Sprintf("%sContent-Length: %d\r\n\r\n", post, len(tail)+1))
			res, err := http.ReadResponse(r, nil)
			if err != nil || res.StatusCode != 403 {
				t.Fatalf("got %v, %v", res, err)
			}
			io.Copy(io.Discard, res.Body)
			io.WriteString(nc, tail) // one byte short, so that the body never ends
			if all := s.answers(nc, r); len(all) > 0 {
				t.Errorf("the body was answered: %+v", all)
			}
			if got := <-targets; got != "/hello" || len(targets) > 0 {
				t.Errorf("the worker got %s and %d more", got, len(targets))
			}
		})
	}
}

// After an upgrade that was refused the connection speaks HTTP with the
// gateway, not with the worker: the next request goes through all checks.
func TestRequestAfterUpgradeRefused(t *testing.T) {
	targets := make(chan string, 10)
	w := startWorker(t, "e", func(nc *net.UnixConn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			targets <- req.URL.Path
			io.WriteString(nc, text(426, "wrong version"))
		}
	})
	s := startSite(t, &fakePool{workers: []*fakeWorker{w}}, nil)
	all := s.talk("GET /hello HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 1\r\n\r\n" +
		"GET /_shared/secret HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if len(all) != 2 || all[0].StatusCode != 426 || all[1].StatusCode != 404 {
		t.Fatalf("answers %+v", all)
	}
	if got := <-targets; got != "/hello" || len(targets) > 0 {
		t.Errorf("the worker got %s and %d more", got, len(targets))
	}
}

// What a worker sends beyond its answer is nobody else's answer.
func TestSplitAnswers(t *testing.T) {
	surplus := text(200, "for somebody else")
	for name, answer := range map[string]string{
		"two answers":                text(200, "hi") + surplus,
		"two lengths":                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 200\r\n\r\nhi" + surplus,
		"length and chunked":         "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + surplus,
		"chunked twice":              "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + surplus,
		"folded":                     "HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 0\r\n\r\n" + surplus,
		"bare line feed":             "HTTP/1.1 200 OK\r\nx: a\nset-cookie: a=b\r\ncontent-length: 0\r\n\r\n" + surplus,
		"bare carriage return":       "HTTP/1.1 200 OK\r\nx: a\rset-cookie: a=b\r\ncontent-length: 0\r\n\r\n" + surplus,
		"NUL":                        "HTTP/1.1 200 OK\r\nx: \x00\r\ncontent-length: 0\r\n\r\n" + surplus,
		"space before the colon":     "HTTP/1.1 200 OK\r\ncontent-length : 0\r\n\r\n" + surplus,
		"a body where there is none": "HTTP/1.1 204 OK\r\ncontent-length: 100\r\n\r\n" + surplus,
		"101 that nobody asked for":  "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n" + surplus,
	} {
		t.Run(name, func(t *testing.T) {
			first := true
			w := startWorker(t, "e", answering(func(*http.Request) string {
				if first {
					first = false
					return answer
				}
				return text(200, "mine")
			}))
			s := startSite(t, &fakePool{workers: []*fakeWorker{w}}, nil)
			for _, want := range []string{"", "mine"} {
				res, body := s.do("GET", "/hello", nil)
				if strings.Contains(body, "somebody else") || want != "" && body != want || res.Header.Get("Set-Cookie") != "" {
					t.Errorf("got %d %v %q", res.StatusCode, res.Header, body)
				}
			}
		})
	}
}
