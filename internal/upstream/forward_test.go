package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
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
		o.Strip = []string{"Sb-Api-Key"}
	})
	c := f.dial(t, "GET /hello//a%2Fb/%41?q=%20&r=//x HTTP/1.1\r\nHost: here\r\n"+
		"sb-request-id: forged\r\nsb-api-key: secret\r\nX-Empty: forged\r\n"+
		"Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n"+
		"Proxy-Authorization: x\r\nUpgrade: h2c\r\nCookie: a=1\r\nCookie: b=2\r\nAccept-Encoding: gzip\r\n\r\n")
	c.answer("GET")
	head := <-heads
	mustContain(t, head, "GET https://api.example.com/hello//a%2Fb/%41?q=%20&r=//x HTTP/1.1\r\n",
		"\r\nHost: api.example.com\r\n", "\r\nSb-Request-Id: id-1\r\n", "\r\nX-Forwarded-For: 1.2.3.4\r\n",
		"\r\nCookie: a=1\r\n", "\r\nCookie: b=2\r\n", "\r\nAccept-Encoding: gzip\r\n")
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

func TestEventsAreFlushedAtOnce(t *testing.T) {
	next := make(chan struct{})
	w := startWorker(t, func(_ int, c *wire) {
		c.head()
		c.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
		for range next {
			c.send("9\r\ndata: 1\n\n\r\n")
		}
		c.send("0\r\n\r\n")
	})
	f := startFront(t, w, nil)
	c := f.dial(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	res := c.answer("GET") // the head comes before any event
	body := bufio.NewReader(res.Body)
	for range 3 {
		next <- struct{}{}
		if line, err := body.ReadString('\n'); line != "data: 1\n" {
			t.Fatalf("got %q, %v", line, err)
		}
		body.ReadString('\n')
	}
	close(next)
	if rest, err := io.ReadAll(body); len(rest) > 0 || err != nil {
		t.Errorf("rest %q, %v", rest, err)
	}
}

func TestBothWaysAtOnce(t *testing.T) {
	w := startWorker(t, func(_ int, c *wire) {
		req, _ := http.ReadRequest(c.r)
		c.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
		var b [1]byte
		for {
			n, err := req.Body.Read(b[:])
			if n > 0 {
				c.send("1\r\n" + string(b[:]) + "\r\n")
			}
			if err != nil {
				c.send("0\r\n\r\n")
				return
			}
		}
	})
	f := startFront(t, w, nil)
	c := f.dial(t, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
	res := c.answer("POST")
	for _, ch := range "abc" {
		c.send("1\r\n" + string(ch) + "\r\n")
		var b [1]byte
		if _, err := io.ReadFull(res.Body, b[:]); err != nil || b[0] != byte(ch) {
			t.Fatalf("sent %c, got %q, %v", ch, b, err)
		}
	}
	c.send("0\r\n\r\n")
	if rest, err := io.ReadAll(res.Body); len(rest) > 0 || err != nil {
		t.Errorf("rest %q, %v", rest, err)
	}
	if o := f.outcome(t); o.err != nil {
		t.Error(o.err)
	}
}

func TestEarlyAnswerToLargeUpload(t *testing.T) {
	for _, tc := range []struct{ name, framing, part string }{
		{"length", "Content-Length: 100000000\r\n", strings.Repeat("x", 1000)},
		{"short length", "Content-Length: 2000\r\n", strings.Repeat("x", 1000)},
		{"chunked", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n"},
		{"nothing sent yet", "Content-Length: 10\r\n", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			closed := make(chan struct{})
			w := startWorker(t, func(_ int, c *wire) {
				c.head()
				c.send("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno")
				io.Copy(io.Discard, c.r)
				close(closed)
			})
			f := startFront(t, w, nil)
			c := f.dial(t, "POST / HTTP/1.1\r\nHost: x\r\n"+tc.framing+"\r\n"+tc.part)
			start := time.Now()
			res := c.answer("POST")
			body, err := io.ReadAll(res.Body)
			if res.StatusCode != 403 || string(body) != "no" || err != nil || !res.Close {
				t.Errorf("got %d %q %v close %v", res.StatusCode, body, err, res.Close)
			}
			if d := time.Since(start); d > time.Second {
				t.Errorf("the answer took %v", d)
			}
			if o := f.outcome(t); o.err != nil {
				t.Error(o.err)
			}
			<-closed // the worker's end is not reused
			// What is left of the upload is never taken for a request.
			if rest, _ := io.ReadAll(c.r); len(rest) > 0 {
				t.Errorf("after the answer came %q", rest)
			}
		})
	}
}

func TestEarlyAnswerWhileWorkerTakesNothing(t *testing.T) {
	w := startWorker(t, func(_ int, c *wire) {
		c.head()
		time.Sleep(100 * time.Millisecond) // the socket's buffers fill
		c.send("HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
		c.head()
	})
	f := startFront(t, w, nil)
	c := f.dial(t, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
	go func() {
		for {
			if _, err := c.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	}()
	if res := c.answer("POST"); res.StatusCode != 413 {
		t.Errorf("got %d", res.StatusCode)
	}
	if o := f.outcome(t); o.err != nil {
		t.Error(o.err)
	}
	c.Close()
}

func TestExpectContinue(t *testing.T) {
	echo := func(first string) func(int, *wire) {
		return func(_ int, c *wire) {
			c.head()
			c.send(first)
			var b [4]byte
			if _, err := io.ReadFull(c.r, b[:]); err == nil {
				c.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n" + string(b[:]))
			}
			c.head()
		}
	}
	const head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
	t.Run("worker asks for the body", func(t *testing.T) {
		f := startFront(t, startWorker(t, echo("HTTP/1.1 100 Continue\r\n\r\n")), nil)
		c := f.dial(t, head)
		if res := c.answer("POST"); res.StatusCode != 100 {
			t.Fatalf("got %d", res.StatusCode)
		}
		c.send("body")
		if b, _ := io.ReadAll(c.answer("POST").Body); string(b) != "body" {
			t.Errorf("got %q", b)
		}
	})
	t.Run("worker never asks", func(t *testing.T) {
		f := startFront(t, startWorker(t, echo("")), nil)
		c := f.dial(t, head)
		if res := c.answer("POST"); res.StatusCode != 100 {
			t.Fatalf("got %d", res.StatusCode)
		}
		c.send("body")
		if b, _ := io.ReadAll(c.answer("POST").Body); string(b) != "body" {
			t.Errorf("got %q", b)
		}
	})
	t.Run("worker refuses", func(t *testing.T) {
		f := startFront(t, startWorker(t, func(_ int, c *wire) {
			c.head()
			c.send("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n")
			c.head()
		}), nil)
		c := f.dial(t, head)
		if res := c.answer("POST"); res.StatusCode != 401 || !res.Close {
			t.Fatalf("got %d, close %v", res.StatusCode, res.Close)
		}
		if rest, _ := io.ReadAll(c.r); len(rest) > 0 {
			t.Errorf("after the answer came %q", rest)
		}
	})
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

func TestClientGone(t *testing.T) {
	for _, tc := range []struct{ name, request, first string }{
		{"before the head", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", ""},
		{"in mid-answer", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n"},
		{"in mid-upload", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc", ""},
		{"after the upload", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			aborted, seen := make(chan struct{}), make(chan struct{})
			w := startWorker(t, func(_ int, c *wire) {
				c.head()
				c.send(tc.first)
				close(seen)
				io.Copy(io.Discard, c.r)
				close(aborted)
			})
			f := startFront(t, w, nil)
			c := f.dial(t, tc.request)
			<-seen
			if tc.first != "" {
				c.answer("GET")
			}
			c.Close()
			select {
			case <-aborted:
			case <-time.After(soon):
				t.Fatal("the worker's connection stayed open")
			}
			if e := f.failure(t); !errors.Is(e, ErrClientGone) || e.Retryable() {
				t.Errorf("got %v", e)
			}
		})
	}
}

func TestWorkerGoneBeforeHead(t *testing.T) {
	for _, tc := range []struct {
		name                string
		script              func(int, *wire)
		method, body        string
		retryable, bodyRead bool
	}{
		{"unread", func(_ int, c *wire) { time.Sleep(50 * time.Millisecond) }, "GET", "", true, false},
		{"read", func(_ int, c *wire) { c.head() }, "GET", "", false, false},
		{"part of a head", func(_ int, c *wire) { c.head(); c.send("HTTP/1.1 200 OK\r\n") }, "GET", "", false, false},
		{"with a body", func(_ int, c *wire) { time.Sleep(50 * time.Millisecond) }, "POST", "abc", false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := startFront(t, startWorker(t, tc.script), nil)
			var body io.Reader
			if tc.body != "" {
				body = strings.NewReader(tc.body)
			}
			if res, _ := f.do(t, tc.method, "/", body); res.StatusCode != 599 {
				t.Errorf("got %d", res.StatusCode)
			}
			e := f.failure(t)
			if !errors.Is(e, function.ErrWorkerGone) || e.Retryable() != tc.retryable || e.BodyRead != tc.bodyRead || e.Answered {
				t.Errorf("got %v %+v", e, e)
			}
		})
	}
}

func TestNoWorkerListens(t *testing.T) {
	w := startWorker(t, nil)
	w.listener.Close()
	f := startFront(t, w, nil)
	f.do(t, "POST", "/", strings.NewReader("body"))
	if e := f.failure(t); !errors.Is(e, function.ErrWorkerGone) || !e.Retryable() || !f.client.Refused() {
		t.Errorf("got %v %+v", e, e)
	}
	if err := f.client.Prime(context.Background()); err == nil {
		t.Error("Prime succeeded")
	}
}

func TestWorkerGoneInMidAnswer(t *testing.T) {
	for name, answer := range map[string]string{
		"chunked":        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
		"bad chunk":      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
		"content-length": "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
	} {
		t.Run(name, func(t *testing.T) {
			f := startFront(t, startWorker(t, func(_ int, c *wire) { c.head(); c.send(answer) }), nil)
			res, err := http.Get(f.URL)
			if err == nil { // or the connection was cut before the head left
				_, err = io.ReadAll(res.Body)
				res.Body.Close()
			}
			if err == nil {
				t.Error("the truncated answer looked whole")
			}
			if e := f.failure(t); !errors.Is(e, ErrAnswerCut) || !e.Answered || e.Retryable() {
				t.Errorf("got %v %+v", e, e)
			}
		})
	}
}

func TestStaleConnectionIsReplaced(t *testing.T) {
	for _, tc := range []struct{ name, method, body string }{
		{"GET", "GET", ""}, {"POST without body", "POST", ""}, {"POST with body", "POST", "abc"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			closed := make(chan struct{})
			w := startWorker(t, func(n int, c *wire) {
				c.head()
				c.send("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n" + fmt.Sprint(n))
				if n == 0 {
					c.Close()
					close(closed)
					return
				}
				c.head()
			})
			f := startFront(t, w, nil)
			f.get(t, "/")
			<-closed
			f.outcome(t)
			if len(f.client.idle) != 1 {
				t.Fatal("the connection was not kept")
			}
			var body io.Reader
			if tc.body != "" {
				body = strings.NewReader(tc.body)
			}
			if res, got := f.do(t, tc.method, "/", body); res.StatusCode != 200 || got != "1" {
				t.Errorf("got %d %q", res.StatusCode, got)
			}
			if o := f.outcome(t); o.err != nil {
				t.Error(o.err)
			}
		})
	}
}

func TestStaleConnectionOfDeadWorker(t *testing.T) {
	// The worker reads the second request and dies: the function may have run.
	var w *worker
	w = startWorker(t, func(_ int, c *wire) {
		c.head()
		c.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
		c.head()
		w.listener.Close()
	})
	f := startFront(t, w, nil)
	f.get(t, "/")
	f.outcome(t)
	f.get(t, "/")
	if e := f.failure(t); !errors.Is(e, function.ErrWorkerGone) || !e.Delivered || e.Retryable() {
		t.Errorf("got %v %+v", e, e)
	}
}

func TestFirstByteTimeout(t *testing.T) {
	f := startFront(t, startWorker(t, func(_ int, c *wire) { io.Copy(io.Discard, c.r) }),
		func(o *Options) { o.FirstByte = 60 * time.Millisecond })
	start := time.Now()
	f.get(t, "/")
	if e := f.failure(t); !errors.Is(e, ErrFirstByteTimeout) || e.Retryable() {
		t.Errorf("got %v", e)
	}
	if d := time.Since(start); d < 60*time.Millisecond || d > 2*time.Second {
		t.Errorf("after %v", d)
	}
}

func TestSlowUploadIsNotIdle(t *testing.T) {
	f := startFront(t, startWorker(t, func(_ int, c *wire) {
		req, err := http.ReadRequest(c.r)
		if err != nil {
			return
		}
		io.Copy(io.Discard, req.Body)
		c.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
	}), func(o *Options) { o.FirstByte = 150 * time.Millisecond })
	c := f.dial(t, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n")
	for range 6 {
		time.Sleep(50 * time.Millisecond)
		c.send("x")
	}
	if res := c.answer("POST"); res.StatusCode != 200 {
		t.Errorf("got %d", res.StatusCode)
	}
}

func TestMalformedUpload(t *testing.T) {
	f := startFront(t, startWorker(t, func(_ int, c *wire) { io.Copy(io.Discard, c.r) }), nil)
	c := f.dial(t, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n")
	c.answer("POST")
	if e := f.failure(t); !errors.Is(e, ErrRequestBody) || !e.BodyRead {
		t.Errorf("got %v %+v", e, e)
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

func TestClosedClient(t *testing.T) {
	hold := make(chan struct{})
	f := startFront(t, startWorker(t, func(_ int, c *wire) {
		c.head()
		<-hold
		c.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
		c.head()
	}), nil)
	if err := f.client.Prime(context.Background()); err != nil {
		t.Fatal(err)
	}
	c := f.dial(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	time.Sleep(20 * time.Millisecond)
	f.client.Close()
	close(hold)
	if res := c.answer("GET"); res.StatusCode != 200 {
		t.Errorf("a request in flight got %d", res.StatusCode)
	}
	f.outcome(t)
	f.get(t, "/")
	if e := f.failure(t); !errors.Is(e, ErrClosed) || !e.Retryable() {
		t.Errorf("got %v", e)
	}
}

func TestFullListenQueueIsWaitedFor(t *testing.T) {
	// 300 at once against a fake that accepts slowly: none may fail.
	w := startWorker(t, func(_ int, c *wire) { answers("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")(0, c) })
	client := New(w.path)
	defer client.Close()
	errs := make(chan error, 300)
	for range 300 {
		go func() { errs <- client.Prime(context.Background()) }()
	}
	for range 300 {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	if n := len(client.idle); n != maxIdle {
		t.Errorf("%d idle, want %d", n, maxIdle)
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
