package upstream

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestRequestHead(t *testing.T) {
	heads := make(chan string, 1)
	w := startWorker(t, func(_ int, c *wire) {
		for h := c.head(); h != ""; h = c.head() {
			heads <- h
			c.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
		}
	})
	f := startFront(t, w, func(o *Options) {
		o.Absolute, o.Scheme, o.Host = true, "https", "api.example.com"
		o.Set = []Field{{"Sb-Request-Id", "id-1"}, {"X-Forwarded-For", "1.2.3.4"}, {"X-Empty", ""}}
		o.Strip = []string{"Sb-Api-Key", "X-Forwarded-"}
	})
	c := f.dial(t, "GET /hello//a%2Fb/%41?q=%20&r=//x HTTP/1.1\r\nHost: here\r\n"+
		"sb-request-id: forged\r\nsb-api-key: secret\r\nX-Empty: forged\r\nx-forwarded-port: secret\r\nX-Forwarded: 1\r\n"+
		"Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n"+
		"Proxy-Authorization: x\r\nUpgrade: h2c\r\nCookie: a=1\r\nCookie: b=2\r\nAccept-Encoding: gzip\r\n\r\n")
	c.answer("GET")
	head := <-heads
	mustContain(t, head, "GET https://api.example.com/hello//a%2Fb/%41?q=%20&r=//x HTTP/1.1\r\n",
		"\r\nHost: api.example.com\r\n", "\r\nSb-Request-Id: id-1\r\n", "\r\nX-Forwarded-For: 1.2.3.4\r\n",
		"\r\nX-Forwarded: 1\r\n", "\r\nCookie: a=1\r\n", "\r\nCookie: b=2\r\n", "\r\nAccept-Encoding: gzip\r\n")
	mustLack(t, head, "forged", "secret", "X-Hop", "Keep-Alive", "Te:", "Proxy-", "Upgrade", "Connection", "X-Empty")
}

func TestOriginForm(t *testing.T) {
	heads := make(chan string, 1)
	w := startWorker(t, func(_ int, c *wire) {
		heads <- c.head()
		c.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
	})
	f := startFront(t, w, nil)
	f.do(t, "POST", "/hello?x", nil)
	mustContain(t, <-heads, "POST /hello?x HTTP/1.1\r\nHost: 127.0.0.1:", "\r\nContent-Length: 0\r\n")
}

func TestAnswerHeaders(t *testing.T) {
	w := startWorker(t, answers("HTTP/1.1 201 Whatever\r\nset-cookie: a=1; Expires=Mon, 1 Jan\r\nSET-COOKIE: b=2\r\n"+
		"x-custom-thing:  spaced\t\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\n"+
		"content-encoding: gzip\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\ncontent-length: 3\r\n\r\nabc"))
	f := startFront(t, w, func(o *Options) {
		o.OnHead = func(status int, h http.Header) { h.Set("X-Status", fmt.Sprint(status)) }
	})
	for range 2 {
		res, body := f.get(t, "/")
		if res.StatusCode != 201 || body != "abc" {
			t.Errorf("got %d %q", res.StatusCode, body)
		}
		if got := res.Header["Set-Cookie"]; !slices.Equal(got, []string{"a=1; Expires=Mon, 1 Jan", "b=2"}) {
			t.Errorf("cookies are %q", got)
		}
		if res.Header.Get("X-Custom-Thing") != "spaced" || res.Header.Get("X-Status") != "201" ||
			res.Header.Get("Content-Encoding") != "gzip" || res.Header.Get("Date") != "Mon, 01 Jan 2024 00:00:00 GMT" {
			t.Errorf("headers are %v", res.Header)
		}
		for _, gone := range []string{"X-Hop", "Keep-Alive", "Content-Type"} {
			if _, ok := res.Header[gone]; ok {
				t.Errorf("%s was passed on or made up", gone)
			}
		}
		if o := f.outcome(t); o.err != nil || o.res != (Result{Status: 201, Bytes: 3}) {
			t.Errorf("outcome %+v", o)
		}
	}
}

func TestAnswersWithoutBody(t *testing.T) {
	for _, tc := range []struct {
		name, method, answer string
		status               int
		length               string
	}{
		{"HEAD with a length", "HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n", 200, "12"},
		{"HEAD of a chunked answer", "HEAD", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", 200, ""},
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, ""},
		{"304", "GET", "HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\ncontent-length: 99\r\n\r\n", 304, ""},
		{"empty", "GET", "HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", 200, "0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var conns atomic.Int32
			w := startWorker(t, func(_ int, c *wire) {
				conns.Add(1)
				answers(tc.answer)(0, c)
			})
			f := startFront(t, w, nil)
			for range 2 {
				res, body := f.do(t, tc.method, "/", nil)
				if res.StatusCode != tc.status || body != "" || res.Header.Get("Content-Length") != tc.length {
					t.Errorf("got %d %q with length %q", res.StatusCode, body, res.Header.Get("Content-Length"))
				}
				if o := f.outcome(t); o.err != nil {
					t.Error(o.err)
				}
			}
			if n := conns.Load(); n != 1 {
				t.Errorf("%d connections to the worker, want one that is kept", n)
			}
		})
	}
}

func TestChunkedBothWays(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 20_000)
	w := startWorker(t, func(_ int, c *wire) {
		for {
			req, err := http.ReadRequest(c.r)
			if err != nil {
				return
			}
			body, err := io.ReadAll(req.Body)
			if err != nil || req.ContentLength != -1 {
				c.t.Errorf("body of length %d: %v", req.ContentLength, err)
			}
			c.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
			for len(body) > 0 {
				n := min(len(body), 7001)
				c.send(fmt.Sprintf("%x;ext=1\r\n%s\r\n", n, body[:n]))
				body = body[n:]
			}
			c.send("0\r\nx-trailer: dropped\r\n\r\n")
		}
	})
	f := startFront(t, w, nil)
	for range 2 {
		res, body := f.do(t, "POST", "/", io.MultiReader(strings.NewReader(big), strings.NewReader("end")))
		if body != big+"end" {
			t.Errorf("echo of %d bytes, want %d", len(body), len(big)+3)
		}
		if len(res.Trailer) != 0 {
			t.Errorf("trailers %v", res.Trailer)
		}
		if o := f.outcome(t); o.err != nil || o.res.Bytes != int64(len(big)+3) {
			t.Errorf("outcome %+v", o)
		}
	}
	if n := len(f.client.idle); n != 1 {
		t.Errorf("%d idle connections, want 1", n)
	}
}

func TestUploadWithLengthKeepsConnection(t *testing.T) {
	var conns atomic.Int32
	w := startWorker(t, func(_ int, c *wire) {
		conns.Add(1)
		for {
			req, err := http.ReadRequest(c.r)
			if err != nil {
				return
			}
			body, _ := io.ReadAll(req.Body)
			c.send(fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s", len(body), body))
		}
	})
	f := startFront(t, w, nil)
	for _, n := range []int{1, 100, 32 << 10, 1 << 20} {
		body := strings.Repeat("x", n)
		res, got := f.do(t, "POST", "/", strings.NewReader(body))
		if got != body || res.Close {
			t.Errorf("%d bytes came back as %d, close %v", n, len(got), res.Close)
		}
		f.outcome(t)
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections to the worker, want 1", n)
	}
}

func TestEarlyHints(t *testing.T) {
	w := startWorker(t, answers("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"+
		"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"))
	f := startFront(t, w, nil)
	c := f.dial(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if res := c.answer("GET"); res.StatusCode != 103 || res.Header.Get("Link") != "</a>" {
		t.Errorf("first %d %v", res.StatusCode, res.Header)
	}
	res := c.answer("GET")
	if b, _ := io.ReadAll(res.Body); res.StatusCode != 200 || string(b) != "ok" || res.Header.Get("Link") != "" {
		t.Errorf("then %d %q %v", res.StatusCode, b, res.Header)
	}
}

func TestLeftoverBytesEndTheConnection(t *testing.T) {
	var conns atomic.Int32
	w := startWorker(t, func(_ int, c *wire) {
		conns.Add(1)
		answers("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nabc")(0, c)
	})
	f := startFront(t, w, nil)
	for range 3 {
		if _, body := f.get(t, "/"); body != "a" {
			t.Errorf("got %q", body)
		}
	}
	if n := conns.Load(); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
}

func TestCloseDelimitedAnswer(t *testing.T) {
	f := startFront(t, startWorker(t, func(_ int, c *wire) {
		c.head()
		c.send("HTTP/1.1 200 OK\r\n\r\nabc")
		time.Sleep(20 * time.Millisecond)
		c.send("def")
	}), nil)
	if _, body := f.get(t, "/"); body != "abcdef" {
		t.Errorf("got %q", body)
	}
}

func TestManyAtOnce(t *testing.T) {
	w := startWorker(t, func(_ int, c *wire) {
		for {
			req, err := http.ReadRequest(c.r)
			if err != nil {
				return
			}
			body, _ := io.ReadAll(req.Body)
			c.send(fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-length: %d\r\nx-path: %s\r\n\r\n%s", len(body), req.URL.Path, body))
		}
	})
	f := startFront(t, w, nil)
	f.ended = make(chan outcome, 10_000)
	done := make(chan error, 16)
	for g := range 16 {
		go func() {
			for i := range 50 {
				path, body := fmt.Sprintf("/%d/%d", g, i), strings.Repeat("y", i*37)
				res, err := http.Post(f.URL+path, "text/plain", strings.NewReader(body))
				if err != nil {
					done <- err
					return
				}
				got, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || string(got) != body || res.Header.Get("X-Path") != path {
					done <- fmt.Errorf("%s: %d bytes of %d, %v, path %s", path, len(got), len(body), err, res.Header.Get("X-Path"))
					return
				}
			}
			done <- nil
		}()
	}
	for range 16 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
