package upstream

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

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
