package http1

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

func TestHandlersReadDeadline(t *testing.T) {
	got := make(chan error, 1)
	s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			http.NewResponseController(w).SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			http.NewResponseController(w).SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
			_, err := io.ReadAll(r.Body)
			got <- err
			http.NewResponseController(w).SetWriteDeadline(time.Time{})
		}
	}, nil)
	c := s.dial("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n")
	if err := wait(t, "error", got); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	c.send("abc")
	c.answer("POST")
	c.open() // the deadline was the request's
}

func TestTimeouts(t *testing.T) {
	start := func(t *testing.T) *site {
		return startSite(t, echo, func(s *Server) {
			s.ReadHeaderTimeout, s.IdleTimeout, s.ReadTimeout = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
		})
	}
	const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	t.Run("slow head is 408", func(t *testing.T) {
		t.Parallel()
		c := start(t).dial("GET / HTTP/1.1\r\nHo")
		if res, body := c.answer("GET"); res.StatusCode != 408 || !strings.Contains(body, "REQUEST_TIMEOUT") {
			t.Errorf("got %d %s", res.StatusCode, body)
		}
		c.closed()
	})
	t.Run("slow head of a second request is 408", func(t *testing.T) {
		t.Parallel()
		c := start(t).dial(get + "GET /")
		c.answer("GET")
		if res, _ := c.answer("GET"); res.StatusCode != 408 {
			t.Errorf("got %d", res.StatusCode)
		}
		c.closed()
	})
	t.Run("trickled head is 408", func(t *testing.T) {
		t.Parallel()
		c := start(t).dial("GET / HTTP/1.1\r\n")
		begun := time.Now()
		go func() {
			for range 200 {
				if _, err := io.WriteString(c, "A: b\r\n"); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		}()
		if res, _ := c.answer("GET"); res.StatusCode != 408 || time.Since(begun) > time.Second {
			t.Errorf("got %d after %v", res.StatusCode, time.Since(begun))
		}
		c.Close()
	})
	t.Run("silent connection is closed", func(t *testing.T) {
		t.Parallel()
		start(t).dial("").closed()
	})
	t.Run("idle connection is closed", func(t *testing.T) {
		t.Parallel()
		c := start(t).dial(get)
		c.answer("GET")
		c.closed()
	})
	t.Run("slow body is an error", func(t *testing.T) {
		t.Parallel()
		c := start(t).dial("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na")
		if res, body := c.answer("POST"); res.StatusCode != 400 || !strings.Contains(body, "timeout") {
			t.Errorf("got %d %q", res.StatusCode, body)
		}
	})
	t.Run("deadlines are the request's own", func(t *testing.T) {
		t.Parallel()
		s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
			select { // longer than any time-out
			case <-r.Context().Done():
				t.Error(context.Cause(r.Context()))
			case <-time.After(1300 * time.Millisecond):
			}
		}, func(s *Server) { s.ReadHeaderTimeout, s.IdleTimeout = 50*time.Millisecond, 50*time.Millisecond })
		c := s.dial(get)
		c.answer("GET")
		c.send(get)
		c.answer("GET")
	})
}

func TestClientGone(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	for _, tc := range []struct {
		name, request string
		wait          func(r *http.Request) error
	}{
		{"by Done", get, func(r *http.Request) error { <-r.Context().Done(); return context.Cause(r.Context()) }},
		{"by AfterFunc", get, func(r *http.Request) error {
			ch := make(chan error)
			defer context.AfterFunc(r.Context(), func() { ch <- context.Cause(r.Context()) })()
			return <-ch
		}},
		{"by a derived context", get, func(r *http.Request) error {
			type key struct{}
			ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), key{}, 1), soon)
			defer cancel()
			<-ctx.Done()
			return context.Cause(ctx)
		}},
		{"by Err", get, func(r *http.Request) error {
			for r.Context().Err() == nil {
				time.Sleep(5 * time.Millisecond)
			}
			return context.Cause(r.Context())
		}},
		{"with a request behind", get + get, func(r *http.Request) error { <-r.Context().Done(); return context.Cause(r.Context()) }},
		{"after the body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", func(r *http.Request) error {
			done := r.Context().Done() // before the body: it must not read it
			if b, err := io.ReadAll(r.Body); string(b) != "abc" {
				return fmt.Errorf("%q, %w", b, err)
			}
			<-done
			return context.Cause(r.Context())
		}},
		{"after a chunked body", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", func(r *http.Request) error {
			io.ReadAll(r.Body)
			<-r.Context().Done()
			return context.Cause(r.Context())
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			begun, got := make(chan struct{}, 1), make(chan error, 1)
			s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
				begun <- struct{}{}
				got <- tc.wait(r)
			}, nil)
			c := s.dial(tc.request)
			<-begun
			time.Sleep(30 * time.Millisecond)
			c.Close()
			if err := wait(t, "end of the context", got); !errors.Is(err, ErrClientGone) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("while writing", func(t *testing.T) {
		got := make(chan error, 1)
		s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					got <- context.Cause(r.Context())
					return
				}
			}
		}, nil)
		s.dial(get).Close()
		if err := wait(t, "error", got); !errors.Is(err, ErrClientGone) {
			t.Errorf("got %v", err)
		}
	})
}

// TestWatchedConnectionGoesOn is about what a watched client sends ahead.
func TestWatchedConnectionGoesOn(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	var contexts []context.Context
	s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
		r.Context().Done()
		contexts = append(contexts, r.Context())
		begun <- struct{}{}
		<-release
		fmt.Fprint(w, r.RequestURI, r.Context().Err())
	}, nil)
	c := s.dial("GET /0 HTTP/1.1\r\nHost: x\r\n\r\n")
	for i := range 3 {
		<-begun
		next := fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: x\r\n", i+1)
		if i == 1 {
			next += "A: " + strings.Repeat("b", 2*readBuffer) + "\r\n"
		}
		c.send(next)
		time.Sleep(10 * time.Millisecond)
		release <- struct{}{}
		if _, body := c.answer("GET"); body != fmt.Sprintf("/%d<nil>", i) {
			t.Errorf("got %q", body)
		}
		c.send("\r\n")
	}
	<-begun
	release <- struct{}{}
	c.answer("GET")
	c.Close()
	for i, ctx := range contexts {
		select {
		case <-ctx.Done():
		case <-time.After(soon):
			t.Errorf("the context of request %d goes on", i)
		}
		if !errors.Is(ctx.Err(), context.Canceled) {
			t.Errorf("%d: %v", i, ctx.Err())
		}
	}
}

func TestContextAskedForTooLate(t *testing.T) {
	contexts := make(chan context.Context, 1)
	s := startSite(t, func(w http.ResponseWriter, r *http.Request) { contexts <- r.Context() }, nil)
	c := s.dial("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	ctx := <-contexts
	c.answer("GET")
	time.Sleep(10 * time.Millisecond)
	select {
	case <-ctx.Done():
	default:
		t.Error("the context goes on")
	}
	if _, ok := ctx.Deadline(); ok {
		t.Error("it has a deadline")
	}
	c.open()
	if ctx2 := <-contexts; ctx2.Err() != nil && !errors.Is(ctx2.Err(), context.Canceled) {
		t.Error(ctx2.Err())
	}
}

func TestHijack(t *testing.T) {
	s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		ctx.Done() // the watch must let go
		nc, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer nc.Close()
		if _, ok := nc.(*net.TCPConn); !ok {
			t.Errorf("got a %T, which cannot be spliced", nc)
		}
		if _, err := io.WriteString(w, "x"); !errors.Is(err, http.ErrHijacked) {
			t.Errorf("Write: %v", err)
		}
		if _, _, err := w.(http.Hijacker).Hijack(); !errors.Is(err, http.ErrHijacked) {
			t.Errorf("second Hijack: %v", err)
		}
		w.(http.Flusher).Flush()
		if n := rw.Reader.Buffered(); n != 5 {
			t.Errorf("%d bytes are buffered", n)
		}
		rw.WriteString("HTTP/1.1 101 Switching Protocols\r\n\r\n")
		rw.Flush()
		io.Copy(nc, rw)
		if ctx.Err() != nil {
			t.Error("the context ended: it is not the server's business any more")
		}
	}, nil)
	c := s.dial("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nahead")
	c.raw()
	c.send(" more")
	b := make([]byte, 10)
	if _, err := io.ReadFull(c.r, b); string(b) != "ahead more" {
		t.Errorf("got %q, %v", b, err)
	}
	c.Conn.(*net.TCPConn).CloseWrite()
	c.closed()
}

func TestHijackAfterAnAnswerHasBegun(t *testing.T) {
	s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "4")
		io.WriteString(w, "ab")
		nc, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(nc, "cd")
		nc.Close()
	}, nil)
	if _, body := s.dial("GET / HTTP/1.1\r\nHost: x\r\n\r\n").answer("GET"); body != "abcd" {
		t.Errorf("got %q", body)
	}
}

func TestHijackedBodyIsOver(t *testing.T) {
	s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
		nc, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer nc.Close()
		if _, err := r.Body.Read(make([]byte, 1)); err == nil {
			t.Error("the body can be read")
		}
		if b, _ := io.ReadAll(io.LimitReader(rw, 3)); string(b) != "abc" {
			t.Errorf("got %q", b)
		}
	}, nil)
	s.dial("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc").closed()
}
