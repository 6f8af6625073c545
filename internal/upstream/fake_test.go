package upstream

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// soon bounds every wait of a test for something that must happen.
const soon = 5 * time.Second

// A worker is the far end of the socket, in raw bytes.
type worker struct {
	path     string
	listener *net.UnixListener
	wg       sync.WaitGroup
}

// startWorker listens and gives each connection to script, which closes it by
// returning. n counts connections from 0.
func startWorker(t testing.TB, script func(n int, c *wire)) *worker {
	t.Helper()
	w := &worker{path: filepath.Join(t.TempDir(), "s")}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: w.path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	w.listener = l
	var mu sync.Mutex
	conns := map[net.Conn]bool{}
	w.wg.Go(func() {
		for n := 0; ; n++ {
			nc, err := l.AcceptUnix()
			if err != nil {
				return
			}
			mu.Lock()
			conns[nc] = true
			mu.Unlock()
			w.wg.Go(func() {
				defer nc.Close()
				script(n, &wire{UnixConn: nc, t: t, r: bufio.NewReader(nc)})
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for nc := range conns {
			nc.Close()
		}
		mu.Unlock()
		w.wg.Wait()
	})
	return w
}

// A wire is one connection as the worker sees it.
type wire struct {
	*net.UnixConn
	t testing.TB
	r *bufio.Reader
}

// head reads a request's head and returns it, "" at the end of the connection.
func (c *wire) head() string {
	var b strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return ""
		}
		b.WriteString(line)
		if line == "\r\n" {
			return b.String()
		}
	}
}

func (c *wire) send(s string) { _, _ = io.WriteString(c.UnixConn, s) }

// answers answers every request with the same bytes.
func answers(s string) func(int, *wire) {
	return func(_ int, c *wire) {
		for c.head() != "" {
			c.send(s)
		}
	}
}

// A front is a real HTTP server that forwards everything to one worker.
type front struct {
	*httptest.Server
	client *Client
	ended  chan outcome
}

type outcome struct {
	res Result
	err error
}

// startFront forwards with the options that edit leaves.
func startFront(t testing.TB, w *worker, edit func(*Options)) *front {
	t.Helper()
	f := &front{client: New(w.path), ended: make(chan outcome, 100)}
	f.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		o := Options{Path: r.RequestURI}
		if edit != nil {
			edit(&o)
		}
		res, err := f.client.Forward(rw, r, o)
		f.ended <- outcome{res, err}
		if e, _ := err.(*Error); e != nil {
			if e.Answered {
				panic(http.ErrAbortHandler)
			}
			rw.WriteHeader(599)
			io.WriteString(rw, e.Error())
		}
	}))
	t.Cleanup(func() {
		f.Server.Close()
		f.client.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return f
}

// outcome waits for the end of a Forward.
func (f *front) outcome(t testing.TB) outcome {
	t.Helper()
	select {
	case o := <-f.ended:
		return o
	case <-time.After(soon):
		t.Fatal("Forward did not return")
		panic("unreachable")
	}
}

// failure waits for the end of a Forward that must fail.
func (f *front) failure(t testing.TB) *Error {
	t.Helper()
	o := f.outcome(t)
	e, ok := o.err.(*Error)
	if !ok {
		t.Fatalf("Forward returned %v, want an *Error", o.err)
	}
	return e
}

// dial opens a raw connection to the front and sends s.
func (f *front) dial(t testing.TB, s string) *rawClient {
	t.Helper()
	nc, err := net.Dial("tcp", f.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(soon))
	c := &rawClient{Conn: nc, t: t, r: bufio.NewReader(nc)}
	c.send(s)
	return c
}

type rawClient struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func (c *rawClient) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, s); err != nil {
		c.t.Fatal(err)
	}
}

// answer reads the head of an answer.
func (c *rawClient) answer(method string) *http.Response {
	c.t.Helper()
	res, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.t.Fatal(err)
	}
	return res
}

// get fetches a path and returns the answer and its body.
func (f *front) get(t testing.TB, path string) (*http.Response, string) {
	t.Helper()
	return f.do(t, "GET", path, nil)
}

func (f *front) do(t testing.TB, method, path string, body io.Reader) (*http.Response, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, f.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "identity")
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

func mustContain(t testing.TB, s string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(s, p) {
			t.Errorf("%q is missing in\n%s", p, s)
		}
	}
}

func mustLack(t testing.TB, s string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if strings.Contains(s, p) {
			t.Errorf("%q must not be in\n%s", p, s)
		}
	}
}
