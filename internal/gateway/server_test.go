package gateway

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/http1"
)

func TestServeReportsItsEnd(t *testing.T) {
	s := New(Options{Invoker: &fakePool{}})
	l, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := s.Serve(l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Listen("256.0.0.1:0"); err == nil {
		t.Error("listened nowhere")
	}
	if _, err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// slowWorker answers when released, or never.
func slowWorker(t *testing.T) (w *fakeWorker, read, release chan struct{}) {
	read, release = make(chan struct{}, 10), make(chan struct{})
	return startWorker(t, "e", func(nc *net.UnixConn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		read <- struct{}{}
		gone := make(chan struct{})
		go func() {
			io.Copy(io.Discard, r)
			close(gone)
		}()
		select {
		case <-release:
			io.WriteString(nc, text(200, "late"))
			nc.CloseWrite()
		case <-gone:
			return
		}
		<-gone
	}), read, release
}

func TestShutdownWaitsForRequests(t *testing.T) {
	w, read, release := slowWorker(t)
	s := startSite(t, &fakePool{workers: []*fakeWorker{w}}, nil)
	_, r := s.dial("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
	<-read
	cut := make(chan int)
	go func() { cut <- s.shutdown(soon) }()
	time.Sleep(50 * time.Millisecond)
	if _, err := net.Dial("tcp", s.addr); err == nil {
		t.Error("still accepting")
	}
	close(release)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(res.Body); string(b) != "late" || !res.Close {
		t.Errorf("got %q, close %v", b, res.Close)
	}
	if n := <-cut; n != 0 {
		t.Errorf("%d cut", n)
	}
}

func TestShutdownCutsAtTheDeadline(t *testing.T) {
	w, read, _ := slowWorker(t)
	s := startSite(t, &fakePool{workers: []*fakeWorker{w}}, nil)
	_, r := s.dial("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
	<-read
	start := time.Now()
	if n := s.shutdown(100 * time.Millisecond); n != 1 {
		t.Errorf("%d cut, want 1", n)
	}
	if d := time.Since(start); d < 100*time.Millisecond || d > 2*time.Second {
		t.Errorf("took %v", d)
	}
	if b, _ := io.ReadAll(r); len(b) > 0 {
		t.Errorf("an answer was made up: %q", b)
	}
	if rec := s.record(); rec.Status != StatusClientGone || !errors.Is(rec.Err, http1.ErrStopped) {
		t.Errorf("record %+v", rec)
	}
}

func webSocket(t *testing.T, s *site) (net.Conn, *bufio.Reader) {
	t.Helper()
	nc, r := s.dial("GET /hello HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != 101 {
		t.Fatalf("got %v, %v", res, err)
	}
	checkPlatformHeaders(t, res, "e")
	return nc, r
}

func echoSocket(t *testing.T) *fakeWorker {
	return startWorker(t, "e", func(nc *net.UnixConn, r *bufio.Reader) {
		http.ReadRequest(r)
		io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n")
		io.Copy(nc, r)
	})
}

func TestShutdownWaitsForWebSockets(t *testing.T) {
	s := startSite(t, &fakePool{workers: []*fakeWorker{echoSocket(t)}}, nil)
	nc, r := webSocket(t, s)
	cut := make(chan int)
	go func() { cut <- s.shutdown(soon) }()
	time.Sleep(50 * time.Millisecond)
	io.WriteString(nc, "ping")
	b := make([]byte, 4)
	if _, err := io.ReadFull(r, b); string(b) != "ping" {
		t.Errorf("got %q, %v", b, err)
	}
	nc.Close()
	if n := <-cut; n != 0 {
		t.Errorf("%d cut", n)
	}
	if rec := s.record(); rec.Status != 101 || rec.Bytes != 4 || rec.Err != nil {
		t.Errorf("record %+v", rec)
	}
}

func TestShutdownCutsWebSockets(t *testing.T) {
	s := startSite(t, &fakePool{workers: []*fakeWorker{echoSocket(t)}}, nil)
	_, r := webSocket(t, s)
	if n := s.shutdown(50 * time.Millisecond); n != 1 {
		t.Errorf("%d cut, want 1", n)
	}
	if b, _ := io.ReadAll(r); len(b) > 0 {
		t.Errorf("got %q", b)
	}
}

func TestShutdownOfIdleConnections(t *testing.T) {
	s := startSite(t, &fakePool{}, nil)
	s.dial("") // never speaks
	s.dial("GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
	s.record()
	start := time.Now()
	if n := s.shutdown(soon); n != 0 {
		t.Errorf("%d cut", n)
	}
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("took %v", d)
	}
}
