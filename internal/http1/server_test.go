package http1

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const hello = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

func TestShutdownWaitsForRequests(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-release
		io.WriteString(w, "late")
	}, nil)
	c := s.dial(hello)
	<-begun
	cut := make(chan int)
	go func() {
		n, err := s.Shutdown(context.Background())
		if err != nil {
			t.Error(err)
		}
		cut <- n
	}()
	time.Sleep(50 * time.Millisecond)
	if _, err := net.Dial("tcp", s.addr); err == nil {
		t.Error("still accepting")
	}
	close(release)
	if res, body := c.answer("GET"); body != "late" || !res.Close {
		t.Errorf("got %q, close %v", body, res.Close)
	}
	c.closed()
	if n := wait(t, "end", cut); n != 0 {
		t.Errorf("%d cut", n)
	}
}

func TestShutdownCutsAtTheDeadline(t *testing.T) {
	for _, hijack := range []bool{false, true} {
		begun, cause := make(chan struct{}), make(chan error, 1)
		s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
			if hijack {
				nc, _, _ := w.(http.Hijacker).Hijack()
				defer nc.Close()
			}
			close(begun)
			<-r.Context().Done()
			cause <- context.Cause(r.Context())
		}, nil)
		c := s.dial(hello)
		<-begun
		ctx, cancel := timeout(50 * time.Millisecond)
		start := time.Now()
		if n, err := s.Shutdown(ctx); n != 1 || err != nil {
			t.Errorf("%d cut, %v", n, err)
		}
		cancel()
		if d := time.Since(start); d < 50*time.Millisecond || d > time.Second {
			t.Errorf("took %v", d)
		}
		if err := <-cause; !errors.Is(err, ErrStopped) {
			t.Errorf("the context ended by %v", err)
		}
		if b, _ := io.ReadAll(c.r); len(b) > 0 {
			t.Errorf("an answer was made up: %q", b)
		}
	}
}

func TestBaseContextEndsRequests(t *testing.T) {
	stopped := errors.New("stopped")
	base, stop := context.WithCancelCause(context.Background())
	got := make(chan error, 2)
	s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/done" {
			<-r.Context().Done()
		} else {
			stop(stopped)
			for r.Context().Err() == nil {
			}
		}
		got <- context.Cause(r.Context())
	}, func(s *Server) { s.BaseContext = base })
	s.dial("GET /done HTTP/1.1\r\nHost: x\r\n\r\n")
	s.dial(hello)
	for range 2 {
		if err := wait(t, "end", got); !errors.Is(err, stopped) {
			t.Errorf("the context ended by %v", err)
		}
	}
}

func TestShutdownOfIdleConnections(t *testing.T) {
	s := startSite(t, echo, nil)
	idle, silent, late := s.dial(hello), s.dial(""), s.dial("")
	idle.answer("GET")
	time.Sleep(20 * time.Millisecond) // until it is idle
	end := make(chan time.Time)
	go func() {
		if n, err := s.Shutdown(context.Background()); n != 0 || err != nil {
			t.Errorf("%d cut, %v", n, err)
		}
		end <- time.Now()
	}()
	idle.closed()
	late.send(hello) // its first request may be on its way
	if res, _ := late.answer("GET"); !res.Close {
		t.Error("it stays open")
	}
	silent.closed()
	<-end
}

func TestShutdownTwiceAndServeAfterIt(t *testing.T) {
	s := &Server{Handler: http.HandlerFunc(echo)}
	if _, err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if _, err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("got %v", err)
	}
	if _, err := l.Accept(); err == nil {
		t.Error("the listener is open")
	}
}

func TestServeReportsItsEnd(t *testing.T) {
	s := &Server{Handler: http.HandlerFunc(echo)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := s.Serve(l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// A poorListener has no descriptor left at first.
type poorListener struct {
	net.Listener
	tries atomic.Int32
}

func (l *poorListener) Accept() (net.Conn, error) {
	if l.tries.Add(1) < 3 {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

func TestAcceptIsTriedAgain(t *testing.T) {
	var log strings.Builder
	s := &Server{Handler: http.HandlerFunc(echo), ErrorLog: slog.New(slog.NewTextHandler(&log, nil))}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(&poorListener{Listener: l}) }()
	c := (&site{Server: s, t: t, addr: l.Addr().String()}).dial(hello)
	c.answer("GET")
	s.Close()
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	if strings.Count(log.String(), "no connection can be accepted") != 2 {
		t.Errorf("logged %q", log.String())
	}
}

func TestShutdownEndsLingering(t *testing.T) {
	s := startSite(t, echo, nil)
	c := s.dial("nonsense\r\n\r\n")
	c.answer("GET") // and keeps the connection open
	ctx, cancel := timeout(20 * time.Millisecond)
	defer cancel()
	start := time.Now()
	if n, err := s.Shutdown(ctx); n != 0 || err != nil {
		t.Errorf("%d cut, %v", n, err)
	}
	if d := time.Since(start); d > lingerPatience/2 {
		t.Errorf("took %v", d)
	}
}
