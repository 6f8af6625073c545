package admin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const soon = 10 * time.Second

// serve answers at addr until the test ends.
func serve(t *testing.T, addr string, healthy func() bool) net.Listener {
	t.Helper()
	l, err := Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	s := New(l, Options{
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "up 1\n") }),
		Health: func() (int, any) {
			if healthy() {
				return 200, map[string]string{"message": "ok"}
			}
			return 503, map[string]string{"message": "unhealthy"}
		}, Log: slog.New(slog.DiscardHandler),
	})
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), soon)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return l
}

func always() bool { return true }

func ok() (int, any) { return 200, map[string]string{"message": "ok"} }

// ask sends a request to the listener, whatever host the URL names.
func ask(t *testing.T, l net.Listener, method, url string) (status int, body string) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, l.Addr().Network(), l.Addr().String())
	}}
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Client{Transport: transport, Timeout: soon}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(b)
}

func TestPaths(t *testing.T) {
	var sick atomic.Bool
	l := serve(t, "127.0.0.1:0", func() bool { return !sick.Load() })
	check := func(method, path string, status int, body string) {
		t.Helper()
		if s, b := ask(t, l, method, "http://localhost"+path); s != status || !strings.Contains(b, body) {
			t.Errorf("%s %s: %d %q, want %d %q", method, path, s, b, status, body)
		}
	}
	check("GET", "/metrics", 200, "up 1")
	check("HEAD", "/metrics", 200, "")
	check("POST", "/metrics", 405, "")
	check("GET", "/health", 200, `{"message":"ok"}`)
	check("GET", "/", 200, "/metrics")
	check("GET", "/hello", 404, "")
	sick.Store(true)
	check("GET", "/health", 503, `{"message":"unhealthy"}`)
}

// TestOnlyLocalNames: a page whose own name resolves to this machine must not
// read what only this machine may.
func TestOnlyLocalNames(t *testing.T) {
	loopback := serve(t, "127.0.0.1:0", always)
	socket := serve(t, "unix:"+filepath.Join(t.TempDir(), "s"), always)
	everywhere := serve(t, "0.0.0.0:0", always)
	for host, status := range map[string]int{
		"localhost": 200, "localhost:1234": 200, "127.0.0.1": 200, "127.1.2.3:80": 200, "[::1]": 200, "[::1]:9001": 200,
		"evil.example": 403, "evil.example:80": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example": 403, "10.0.0.1": 403,
	} {
		if got, body := ask(t, loopback, "GET", "http://"+host+"/metrics"); got != status {
			t.Errorf("%s on a loopback address: %d %q, want %d", host, got, body, status)
		}
		for _, l := range []net.Listener{socket, everywhere} {
			if got, body := ask(t, l, "GET", "http://"+host+"/metrics"); got != 200 {
				t.Errorf("%s on %s: %d %q", host, l.Addr(), got, body)
			}
		}
	}
}

func TestSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "admin")

	// What a server left behind is replaced.
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	l := serve(t, "unix:"+path, always)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket has %v, %v", info.Mode(), err)
	}
	if status, _ := ask(t, l, "GET", "http://localhost/health"); status != 200 {
		t.Errorf("got %d", status)
	}

	// What another server listens on is not.
	if _, err := Listen("unix:" + path); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a socket in use: %v", err)
	}
	// Nor is what is no socket.
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen("unix:" + file); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file: %v", err)
	}
	if b, _ := os.ReadFile(file); string(b) != "mine" {
		t.Errorf("the file holds %q", b)
	}
	if _, err := Listen("unix:" + filepath.Join(dir, "no", "folder")); err == nil {
		t.Error("a folder that is not there is no error")
	}
}

func TestPortInUse(t *testing.T) {
	l := serve(t, "127.0.0.1:0", always)
	if _, err := Listen(l.Addr().String()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("%v", err)
	}
}

func TestCloseRemovesTheSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin")
	t.Run("serve", func(t *testing.T) { serve(t, "unix:"+path, always) })
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

// TestCloseCuts: a scrape that does not end is no reason to run for ever.
func TestCloseCuts(t *testing.T) {
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	begun := make(chan struct{})
	s := New(l, Options{Health: ok, Log: slog.New(slog.DiscardHandler), Metrics: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
	})})
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	io.WriteString(nc, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
	<-begun
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
