package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/upstream"
)

// TestRecordHasTheErrorCode: what is recorded is what the answer's header says.
func TestRecordHasTheErrorCode(t *testing.T) {
	fine := answering(func(*http.Request) string { return text(200, "ok") })
	for _, tc := range []struct {
		name         string
		method, path string
		acquire      error
		worker       func(*net.UnixConn, *bufio.Reader)
		want         function.Code
	}{
		{"an answer", "GET", "/hello", nil, fine, ""},
		{"health", "GET", "/health", nil, fine, ""},
		{"no such function", "GET", "/nobody", nil, fine, function.CodeNotFound},
		{"no such path", "GET", "/a.b", nil, fine, function.CodeNotFound},
		{"no such method", "BREW", "/hello", nil, fine, codeMethodNotAllowed},
		{"no such method for health", "PUT", "/health", nil, fine, codeMethodNotAllowed},
		{"no token", "POST", "/hello", nil, fine, "UNAUTHORIZED_NO_AUTH_HEADER"},
		{"no boot", "GET", "/hello", &function.BootError{}, fine, function.CodeBootError},
		{"no room", "GET", "/hello", function.ErrOverloaded, fine, function.CodeOverloaded},
		{"no answer", "GET", "/hello", nil, func(_ *net.UnixConn, r *bufio.Reader) { http.ReadRequest(r) }, function.CodeWorkerError},
		{"no HTTP", "GET", "/hello", nil, answering(func(*http.Request) string { return "x\r\n\r\n" }), codeBadGateway},
		{"the function's own error", "GET", "/hello", nil, answering(func(*http.Request) string { return text(500, "") }), CodeFunctionError},
		{"the function's own refusal", "GET", "/hello", nil, answering(func(*http.Request) string { return text(404, "") }), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := startSite(t, &fakePool{err: tc.acquire, workers: []*fakeWorker{startWorker(t, "e", tc.worker)}}, func(o *Options) {
				o.Authenticate = func(next Handler) Handler {
					refuse := Authenticate(testVerifier(t), every, true)(next)
					return func(w http.ResponseWriter, r *http.Request, c *Call) {
						if r.Method == "POST" {
							refuse(w, r, c)
							return
						}
						next(w, r, c)
					}
				}
			})
			res, _ := s.do(tc.method, tc.path, nil)
			rec := s.record()
			if rec.Code != tc.want || string(rec.Code) != res.Header.Get("Sb-Error-Code") {
				t.Errorf("recorded %q, want %q; the client saw %q", rec.Code, tc.want, res.Header.Get("Sb-Error-Code"))
			}
			if rec.Cut != CutNot || rec.Retried {
				t.Errorf("record %+v", rec)
			}
		})
	}
}

// TestRecordOfAReplacedAnswer: a preflight that the gateway answers in the
// place of an error has no error code.
func TestRecordOfAReplacedAnswer(t *testing.T) {
	s := startSite(t, &fakePool{err: function.ErrOverloaded}, func(o *Options) { o.CORS = CORS(nil) })
	res, _ := s.do("OPTIONS", "/hello", nil, preflight...)
	if rec := s.record(); res.StatusCode != 204 || rec.Status != 204 || rec.Code != "" {
		t.Errorf("got %d, record %+v", res.StatusCode, rec)
	}
}

// latePool lets requests wait.
type latePool struct {
	*fakePool
	wait time.Duration
}

func (p latePool) Acquire(ctx context.Context, slug string) (Lease, error) {
	time.Sleep(p.wait)
	return p.fakePool.Acquire(ctx, slug)
}

func TestRecordHasTheWait(t *testing.T) {
	w := startWorker(t, "e", answering(func(*http.Request) string { return text(200, "ok") }))
	for name, pool := range map[string]*fakePool{
		"a worker came": {workers: []*fakeWorker{w}},
		"none came":     {err: function.ErrOverloaded},
	} {
		late := latePool{pool, 20 * time.Millisecond}
		s := startSite(t, pool, func(o *Options) { o.Invoker = late })
		s.do("GET", "/hello", nil)
		if rec := s.record(); rec.Queued < late.wait || rec.Queued > rec.Duration {
			t.Errorf("%s: waited %v of %v", name, rec.Queued, rec.Duration)
		}
		s.do("GET", "/health", nil)
		if rec := s.record(); rec.Queued != 0 {
			t.Errorf("%s: health waited %v", name, rec.Queued)
		}
	}
}

func TestRecordOfARetry(t *testing.T) {
	gone := startWorker(t, "gone", func(*net.UnixConn, *bufio.Reader) {})
	gone.client = upstream.New("/nonexistent/socket")
	alive := startWorker(t, "alive", answering(func(*http.Request) string { return text(200, "ok") }))
	s := startSite(t, &fakePool{workers: []*fakeWorker{gone, alive}}, nil)
	s.do("GET", "/hello", nil)
	if rec := s.record(); !rec.Retried || rec.Code != "" {
		t.Errorf("record %+v", rec)
	}
}

func TestRecordSaysWhoBrokeOff(t *testing.T) {
	// Each worker sends the head and a piece, and tells that.
	begun := make(chan struct{}, 1)
	half := func(nc *net.UnixConn, r *bufio.Reader) {
		http.ReadRequest(r)
		io.WriteString(nc, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345")
		begun <- struct{}{}
	}
	endless := func(nc *net.UnixConn, r *bufio.Reader) {
		half(nc, r)
		io.Copy(io.Discard, r)
	}
	silent := func(_ *net.UnixConn, r *bufio.Reader) {
		http.ReadRequest(r)
		begun <- struct{}{}
		io.Copy(io.Discard, r)
	}
	for _, tc := range []struct {
		name   string
		worker func(*net.UnixConn, *bufio.Reader)
		then   func(s *site, client net.Conn, r *bufio.Reader)
		want   Cut
		status int
	}{
		{"worker in mid-answer", half, func(*site, net.Conn, *bufio.Reader) {}, CutByWorker, 200},
		{"client in mid-answer", endless, func(_ *site, nc net.Conn, r *bufio.Reader) { r.ReadString('5'); nc.Close() }, CutByClient, 200},
		{"client before", silent, func(_ *site, nc net.Conn, _ *bufio.Reader) { nc.Close() }, CutByClient, StatusClientGone},
		{"shutdown in mid-answer", endless, func(s *site, _ net.Conn, r *bufio.Reader) { r.ReadString('5'); s.shutdown(0) }, CutByShutdown, 200},
		{"shutdown before", silent, func(s *site, _ net.Conn, _ *bufio.Reader) { s.shutdown(0) }, CutByShutdown, StatusClientGone},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := startSite(t, &fakePool{workers: []*fakeWorker{startWorker(t, "e", tc.worker)}}, nil)
			nc, r := s.dial("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
			<-begun
			tc.then(s, nc, r)
			if rec := s.record(); rec.Cut != tc.want || rec.Status != tc.status || rec.Code != "" {
				t.Errorf("cut by %q, status %d; want %q, %d: %v", rec.Cut, rec.Status, tc.want, tc.status, rec.Err)
			}
		})
	}
}

func TestCountsOfNow(t *testing.T) {
	s := startSite(t, &fakePool{workers: []*fakeWorker{echoSocket(t)}}, nil)
	counts := func(want string) {
		t.Helper()
		got := ""
		for deadline := time.Now().Add(soon); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if got = fmt.Sprintf("%d in flight, %d upgraded", s.InFlight(), s.Upgraded()); got == want {
				return
			}
		}
		t.Errorf("%s, want %s", got, want)
	}
	counts("0 in flight, 0 upgraded")
	first, _ := webSocket(t, s)
	second, _ := webSocket(t, s)
	counts("2 in flight, 2 upgraded")
	first.Close()
	counts("1 in flight, 1 upgraded")
	second.Close()
	counts("0 in flight, 0 upgraded")
}
