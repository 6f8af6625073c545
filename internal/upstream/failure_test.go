package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
)

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

func TestMalformedUpload(t *testing.T) {
	f := startFront(t, startWorker(t, func(_ int, c *wire) { io.Copy(io.Discard, c.r) }), nil)
	c := f.dial(t, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n")
	c.answer("POST")
	if e := f.failure(t); !errors.Is(e, ErrRequestBody) || !e.BodyRead {
		t.Errorf("got %v %+v", e, e)
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

func TestIdleConnectionsAreBounded(t *testing.T) {
	client := New(startWorker(t, func(_ int, c *wire) { c.head() }).path)
	defer client.Close()
	for range maxIdle + 20 {
		if err := client.Prime(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(client.idle); n != maxIdle {
		t.Errorf("%d idle, want %d", n, maxIdle)
	}
}

func TestFullListenQueueIsWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	raw, err := l.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	// Listening again shortens the queue.
	raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), 1) })
	if err != nil {
		t.Fatal(err)
	}
	client := New(path)
	defer client.Close()
	const burst = 20
	errs := make(chan error, burst)
	for range burst {
		go func() { errs <- client.Prime(context.Background()) }()
	}
	time.Sleep(50 * time.Millisecond)
	if n := len(errs); n == burst {
		t.Error("the queue was never full")
	}
	for range burst {
		nc, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
	}
	for range burst {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if client.Refused() {
		t.Error("a full queue was taken for a death")
	}
}

func TestConnectionsOfABurstAreClosedInTheEnd(t *testing.T) {
	client := New(startWorker(t, func(_ int, c *wire) { c.head() }).path)
	defer client.Close()
	for range usualIdle + 50 {
		if err := client.Prime(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	const needed = usualIdle + 20 // at once, from here on
	for range 20 * trimEvery / needed {
		var taken []*conn
		for range needed {
			nc, err := client.take()
			if err != nil || nc == nil {
				t.Fatalf("took %v, %v: a connection that is needed was closed", nc, err)
			}
			taken = append(taken, nc)
		}
		for _, nc := range taken {
			client.give(nc)
		}
	}
	if n := len(client.idle); n < needed || n > needed {
		t.Errorf("%d idle after a while in which %d were needed at once", n, needed)
	}
	for range 2 * trimEvery {
		nc, _ := client.take()
		client.give(nc)
	}
	if n := len(client.idle); n != usualIdle {
		t.Errorf("%d idle after a while in which one was needed, want %d", n, usualIdle)
	}
}
