package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const soon = 5 * time.Second

// A fakeWorker is a unix socket that gives each connection to a script.
type fakeWorker struct {
	id     string
	client *upstream.Client
	idle   time.Duration
	limit  error // why it ends
}

func startWorker(t testing.TB, id string, script func(nc *net.UnixConn, r *bufio.Reader)) *fakeWorker {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for {
			nc, err := l.AcceptUnix()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, nc)
			mu.Unlock()
			wg.Go(func() {
				defer nc.Close()
				script(nc, bufio.NewReader(nc))
			})
		}
	})
	w := &fakeWorker{id: id, client: upstream.New(path)}
	t.Cleanup(func() {
		l.Close()
		w.client.Close()
		mu.Lock()
		for _, nc := range conns {
			nc.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return w
}

// answering answers every request with what f returns for it.
func answering(f func(*http.Request) string) func(*net.UnixConn, *bufio.Reader) {
	return func(nc *net.UnixConn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			io.Copy(io.Discard, req.Body)
			io.WriteString(nc, f(req))
		}
	}
}

func text(status int, body string) string {
	return fmt.Sprintf("HTTP/1.1 %d X\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n%s", status, len(body), body)
}

// fakePool knows one function, "hello", and gives its workers out in turn.
type fakePool struct {
	err      error
	workers  []*fakeWorker
	acquired atomic.Int32
	released atomic.Int32
	block    bool
}

func (p *fakePool) Exists(slug string) bool { return slug == "hello" }

func (p *fakePool) Acquire(ctx context.Context, slug string) (Lease, error) {
	if p.block {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if p.err != nil {
		return nil, p.err
	}
	if slug != "hello" {
		return nil, function.ErrNotFound
	}
	n := int(p.acquired.Add(1)) - 1
	return &fakeLease{p.workers[n%len(p.workers)], p}, nil
}

type fakeLease struct {
	*fakeWorker
	pool *fakePool
}

func (l *fakeLease) Upstream() *upstream.Client { return l.client }
func (l *fakeLease) Absolute() bool             { return true }
func (l *fakeLease) RequestIdle() time.Duration { return l.idle }
func (l *fakeLease) ExecutionID() string        { return l.id }
func (l *fakeLease) Release()                   { l.pool.released.Add(1) }
func (l *fakeLease) Suspect() error             { return l.limit }

// A site is a running Server over a fake pool.
type site struct {
	*Server
	t       testing.TB
	addr    string
	pool    *fakePool
	records chan Record
	served  chan error
	down    sync.Once
}

func startSite(t testing.TB, pool *fakePool, edit func(*Options)) *site {
	t.Helper()
	s := &site{t: t, pool: pool, records: make(chan Record, 100), served: make(chan error, 1)}
	opts := Options{Invoker: pool, Region: "eu-test-1", OnRequest: func(r Record) { s.records <- r }}
	if edit != nil {
		edit(&opts)
	}
	s.Server = New(opts)
	l, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	go func() { s.served <- s.Serve(l) }()
	t.Cleanup(func() {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		s.shutdown(0)
		if a, r := pool.acquired.Load(), pool.released.Load(); a != r {
			t.Errorf("%d leases, %d released", a, r)
		}
	})
	return s
}

// shutdown stops the server, once, and returns how many requests it cut.
func (s *site) shutdown(patience time.Duration) (cut int) {
	s.down.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		var err error
		if cut, err = s.Shutdown(ctx); err != nil {
			s.t.Error(err)
		}
		if err := <-s.served; err != nil {
			s.t.Error(err)
		}
	})
	return cut
}

func (s *site) record() Record {
	s.t.Helper()
	select {
	case r := <-s.records:
		return r
	case <-time.After(soon):
		s.t.Fatal("no record")
		panic("unreachable")
	}
}

func (s *site) do(method, path string, body io.Reader, header ...string) (*http.Response, string) {
	s.t.Helper()
	req, err := http.NewRequest(method, "http://"+s.addr+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res, string(b)
}

// dial opens a raw connection and sends a request.
func (s *site) dial(request string) (net.Conn, *bufio.Reader) {
	s.t.Helper()
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(soon))
	io.WriteString(nc, request)
	return nc, bufio.NewReader(nc)
}
