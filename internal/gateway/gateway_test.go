package gateway

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/upstream"
)

func TestFunctionAnswers(t *testing.T) {
	requests := make(chan *http.Request, 1)
	w := startWorker(t, "exec-1", answering(func(r *http.Request) string {
		requests <- r
		return "HTTP/1.1 200 OK\r\nx-served-by: me\r\nsb-request-id: mine\r\nx-relay-error: true\r\ncontent-length: 2\r\n\r\nhi"
	}))
	s := startSite(t, &fakePool{workers: []*fakeWorker{w}}, func(o *Options) { o.TrustedProxies = proxies("127.0.0.0/8") })
	res, body := s.do("POST", "/functions/v1/hello/a%2Fb//c?x=%20", strings.NewReader("body"),
		"X-Forwarded-Proto", "https", "X-Forwarded-Host", "api.example.com", "X-Forwarded-For", "1.2.3.4",
		"Sb-Api-Key", "forged", "Sb-Request-Id", "forged")
	if res.StatusCode != 200 || body != "hi" {
		t.Fatalf("got %d %q", res.StatusCode, body)
	}
	checkPlatformHeaders(t, res, "exec-1")
	if _, ok := res.Header["X-Relay-Error"]; ok {
		t.Error("a function's answer claims to be a relay error")
	}
	r := <-requests
	if r.RequestURI != "https://api.example.com/hello/a%2Fb//c?x=%20" || r.Host != "api.example.com" {
		t.Errorf("the function saw %s at %s", r.RequestURI, r.Host)
	}
	for name, want := range map[string]string{
		"Sb-Request-Id": res.Header.Get("Sb-Request-Id"), "X-Forwarded-For": "1.2.3.4, 127.0.0.1",
		"X-Forwarded-Proto": "https", "X-Forwarded-Host": "api.example.com", "Sb-Api-Key": "",
	} {
		if got := r.Header.Values(name); strings.Join(got, "|") != want {
			t.Errorf("the function saw %s: %q, want %q", name, got, want)
		}
	}
	rec := s.record()
	if rec.RequestID != res.Header.Get("Sb-Request-Id") || rec.Slug != "hello" || rec.Method != "POST" ||
		rec.Path != "/functions/v1/hello/a%2Fb//c" || rec.Status != 200 || rec.Bytes != 2 || rec.ExecutionID != "exec-1" ||
		rec.ClientIP != "1.2.3.4" || rec.Err != nil || rec.Duration <= 0 || rec.Time.IsZero() {
		t.Errorf("record %+v", rec)
	}
}

func checkPlatformHeaders(t *testing.T, res *http.Response, execution string) {
	t.Helper()
	ids := res.Header.Values("Sb-Request-Id")
	if len(ids) != 1 {
		t.Fatalf("request ids %q", ids)
	}
	if id, err := uuid.Parse(ids[0]); err != nil || id.Version() != 7 {
		t.Errorf("request id %q, %v", ids[0], err)
	}
	for name, want := range map[string]string{"X-Served-By": "selvedge", "X-Sb-Edge-Region": "eu-test-1", "X-Deno-Execution-Id": execution} {
		if got := strings.Join(res.Header.Values(name), "|"); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestOwnServerErrorIsMarked(t *testing.T) {
	w := startWorker(t, "e", answering(func(r *http.Request) string { return text(500, "Internal Server Error") }))
	s := startSite(t, &fakePool{workers: []*fakeWorker{w}}, nil)
	res, body := s.do("GET", "/hello", nil)
	if res.StatusCode != 500 || body != "Internal Server Error" || res.Header.Get("Sb-Error-Code") != "EDGE_FUNCTION_ERROR" ||
		res.Header.Get("X-Relay-Error") != "" {
		t.Errorf("got %d %q %v", res.StatusCode, body, res.Header)
	}
}

func TestPlatformErrors(t *testing.T) {
	boot := &function.BootError{Slug: "hello", Stage: "load", Message: "x is not defined", Detail: "at index.ts:3:1\n  x()"}
	const bootMessage = "Function failed to start (please check logs)"
	for _, tc := range []struct {
		name        string
		err         error
		development bool
		status      int
		code        string
		message     string
		detail      string
		relay       bool
	}{
		{"not found after all", function.ErrNotFound, false, 404, "NOT_FOUND", "Requested function was not found", "", false},
		{"boot error", boot, false, 503, "BOOT_ERROR", bootMessage, "", false},
		{"boot error in development", boot, true, 503, "BOOT_ERROR", bootMessage + "\nload: x is not defined", boot.Detail, false},
		{"overloaded", fmt.Errorf("queue: %w", function.ErrOverloaded), false, 503, "OVERLOADED", "Too many requests are waiting for this function", "", true},
		{"queue full", &function.OverloadError{Reason: function.QueueFull, RetryAfter: 2100 * time.Millisecond}, false, 503, "OVERLOADED", "Too many requests are waiting for this function", "", true},
		{"queue timeout", &function.OverloadError{Reason: function.QueueTimeout, RetryAfter: 40 * time.Second}, false, 503, "OVERLOADED", "Too many requests are waiting for this function", "", true},
		{"closing", function.ErrClosed, false, 503, "OVERLOADED", "Server is shutting down", "", true},
		{"anything else", errors.New("secret inside"), true, 500, "WORKER_ERROR", "Function exited due to an error (please check logs)", "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := startSite(t, &fakePool{err: tc.err}, func(o *Options) { o.Development = tc.development })
			res, body := s.do("POST", "/hello", strings.NewReader("{}"))
			checkProblem(t, res, body, tc.status, tc.code, tc.message, tc.detail, tc.relay)
			want := ""
			if tc.code == "OVERLOADED" {
				want = "1"
			}
			var over *function.OverloadError
			if errors.As(tc.err, &over) {
				want = strconv.Itoa(int(math.Ceil(over.RetryAfter.Seconds())))
			}
			if got := res.Header.Get("Retry-After"); got != want {
				t.Errorf("Retry-After is %q, want %q", got, want)
			}
			if rec := s.record(); !errors.Is(rec.Err, tc.err) || rec.Status != tc.status {
				t.Errorf("record %+v", rec)
			}
		})
	}
}

func checkProblem(t *testing.T, res *http.Response, body string, status int, code, message, detail string, relay bool) {
	t.Helper()
	var got struct{ Code, Message, Detail string }
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("%d %q: %v", res.StatusCode, body, err)
	}
	if res.StatusCode != status || got.Code != code || got.Message != message || got.Detail != detail {
		t.Errorf("got %d %+v", res.StatusCode, got)
	}
	checkPlatformHeaders(t, res, res.Header.Get("X-Deno-Execution-Id"))
	exposed := "sb-error-code, sb-request-id"
	if relay {
		exposed += ", x-relay-error"
	}
	if res.Header.Get("Retry-After") != "" {
		exposed += ", retry-after"
	}
	if res.Header.Get("Sb-Error-Code") != code || res.Header.Get("Access-Control-Allow-Origin") != "*" ||
		res.Header.Get("Access-Control-Expose-Headers") != exposed ||
		(res.Header.Get("X-Relay-Error") == "true") != relay {
		t.Errorf("headers %v", res.Header)
	}
}

func TestRouting(t *testing.T) {
	w := startWorker(t, "e", answering(func(r *http.Request) string { return text(200, "hi") }))
	s := startSite(t, &fakePool{workers: []*fakeWorker{w}}, nil)
	for _, tc := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/hello", 200, "hi"}, {"OPTIONS", "/hello", 200, "hi"}, {"DELETE", "/functions/v1/hello/x", 200, "hi"},
		{"GET", "/health", 200, `{"message":"ok"}`}, {"GET", "/_internal/health", 200, `{"message":"ok"}`},
		{"HEAD", "/health", 200, ""}, {"POST", "/health", 405, "METHOD_NOT_ALLOWED"},
		{"GET", "/", 200, "/functions/v1/{name}"}, {"GET", "/_internal/metric", 200, `"receivedRequestsCount":`},
		{"GET", "/nope", 404, "NOT_FOUND"}, {"TRACE", "/nope", 404, "NOT_FOUND"}, {"GET", "/functions/v1/", 404, "NOT_FOUND"},
		{"TRACE", "/hello", 405, "METHOD_NOT_ALLOWED"}, {"PROPFIND", "/hello", 405, "METHOD_NOT_ALLOWED"},
		{"HEAD", "/nope", 404, ""},
	} {
		res, body := s.do(tc.method, tc.path, nil)
		if res.StatusCode != tc.status || !strings.Contains(body, tc.body) {
			t.Errorf("%s %s: got %d %q", tc.method, tc.path, res.StatusCode, body)
		}
		if id := res.Header.Get("Sb-Request-Id"); id == "" {
			t.Errorf("%s %s: no request id", tc.method, tc.path)
		}
	}
	for request, status := range map[string]int{
		"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n":               404,
		"CONNECT host:443 HTTP/1.1\r\nHost: host:443\r\n\r\n": 405,
		"GET http://x/hello HTTP/1.1\r\nHost: x\r\n\r\n":      200,
	} {
		_, r := s.dial(request)
		if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != status || res.Header.Get("Sb-Request-Id") == "" {
			t.Errorf("%q: %v, %v", request, res, err)
		}
	}
}

// TestHealth: a server with problems is sent requests as long as it can answer
// some, and one that stops is not.
func TestHealth(t *testing.T) {
	var h Health
	s := startSite(t, &fakePool{}, func(o *Options) { o.Health = func() Health { return h } })
	says := func(status int, body string) {
		t.Helper()
		for _, path := range []string{"/health", "/_internal/health"} {
			if res, got := s.do("GET", path, nil); res.StatusCode != status || got != body {
				t.Errorf("%d %s, want %d %s", res.StatusCode, got, status, body)
			}
		}
	}
	says(200, `{"message":"ok"}`)
	h.Problems = []string{"tmp_full", "open_files"}
	says(200, `{"message":"degraded","problems":["tmp_full","open_files"]}`)
	h.Unable = true
	says(503, `{"message":"unhealthy","problems":["tmp_full","open_files"]}`)
	h = Health{}
	says(200, `{"message":"ok"}`)
	s.SayStopping()
	says(503, `{"message":"unhealthy"}`)
}

func TestMetric(t *testing.T) {
	s := startSite(t, &fakePool{}, func(o *Options) {
		o.Metrics = func() map[string]int64 { return map[string]int64{"activeUserWorkersCount": 3} }
	})
	s.do("GET", "/nope", nil)
	s.record() // the count is taken before
	_, body := s.do("GET", "/_internal/metric", nil)
	var got map[string]int64
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if got["receivedRequestsCount"] != 2 || got["answered4xxCount"] != 1 || got["activeRequestsCount"] < 1 || got["activeUserWorkersCount"] != 3 {
		t.Errorf("got %v", got)
	}
}

func TestRetryOnAnotherWorker(t *testing.T) {
	dead := startWorker(t, "dead", func(*net.UnixConn, *bufio.Reader) {})
	alive := startWorker(t, "alive", answering(func(*http.Request) string { return text(200, "hi") }))
	dead.client = upstream.New("/nonexistent/socket")
	s := startSite(t, &fakePool{workers: []*fakeWorker{dead, alive}}, nil)
	res, body := s.do("POST", "/hello", strings.NewReader("body"))
	if res.StatusCode != 200 || body != "hi" {
		t.Errorf("got %d %q", res.StatusCode, body)
	}
	checkPlatformHeaders(t, res, "alive")
	if rec := s.record(); rec.Err != nil || rec.ExecutionID != "alive" {
		t.Errorf("record %+v", rec)
	}
}

// A short body that came with its head goes to the worker in one piece with it,
// and to another one when the first has ended without reading it.
func TestShortBodyGoesAlong(t *testing.T) {
	dying := startWorker(t, "dying", func(*net.UnixConn, *bufio.Reader) { time.Sleep(50 * time.Millisecond) })
	alive := startWorker(t, "alive", func(nc *net.UnixConn, _ *bufio.Reader) {
		for buf := make([]byte, 8<<10); ; {
			n, err := nc.Read(buf)
			if err != nil {
				return
			}
			_, body, _ := strings.Cut(string(buf[:n]), "\r\n\r\n")
			io.WriteString(nc, text(200, "got "+body))
		}
	})
	pool := &fakePool{workers: []*fakeWorker{dying, alive}}
	s := startSite(t, pool, nil)
	request := "POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"
	for i, raw := range []string{request + "abc", request + "def" + request + "ghi"} {
		_, r := s.dial(raw)
		for _, want := range [][]string{{"got abc"}, {"got def", "got ghi"}}[i] {
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(res.Body); res.StatusCode != 200 || string(body) != want || err != nil {
				t.Errorf("got %d %q, %v; want %q", res.StatusCode, body, err, want)
			}
			if rec := s.record(); !rec.Retried || rec.Err != nil { // the workers take turns
				t.Errorf("record %+v", rec)
			}
		}
	}
}

func TestRetryOnlyOnce(t *testing.T) {
	gone := startWorker(t, "gone", func(*net.UnixConn, *bufio.Reader) {})
	gone.client = upstream.New("/nonexistent/socket")
	pool := &fakePool{workers: []*fakeWorker{gone}}
	s := startSite(t, pool, nil)
	res, body := s.do("GET", "/hello", nil)
	checkProblem(t, res, body, 500, "WORKER_ERROR", "Function exited due to an error (please check logs)", "", true)
	if n := pool.acquired.Load(); n != 2 {
		t.Errorf("%d workers were tried, want 2", n)
	}
}

func TestLimitReached(t *testing.T) {
	for _, development := range []bool{false, true} {
		dying := startWorker(t, "dying", func(_ *net.UnixConn, r *bufio.Reader) { http.ReadRequest(r) })
		dying.limit = &function.LimitError{Slug: "hello", Reason: "memory", Detail: "it used too much"}
		s := startSite(t, &fakePool{workers: []*fakeWorker{dying}}, func(o *Options) { o.Development = development })
		res, body := s.do("GET", "/hello", nil)
		want := "Function failed due to not having enough compute resources (please check logs)"
		if development {
			want += "\nit used too much"
		}
		checkProblem(t, res, body, 546, "WORKER_RESOURCE_LIMIT", want, "", false)
		if rec := s.record(); !errors.Is(rec.Err, function.ErrLimit) || !errors.Is(rec.Err, function.ErrWorkerGone) || rec.Code != function.CodeResourceLimit {
			t.Errorf("%+v", rec)
		}
	}
}

func TestLimitReachedBeforeDeliveryIsRetried(t *testing.T) {
	gone := startWorker(t, "gone", func(*net.UnixConn, *bufio.Reader) {})
	gone.client = upstream.New("/nonexistent/socket")
	gone.limit = &function.LimitError{Slug: "hello", Reason: "memory", Detail: "it used too much"}
	alive := startWorker(t, "alive", answering(func(*http.Request) string { return text(200, "alive") }))
	s := startSite(t, &fakePool{workers: []*fakeWorker{gone, alive}}, nil)
	if res, body := s.do("GET", "/hello", nil); res.StatusCode != 200 || body != "alive" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

func TestNoRetryAfterDelivery(t *testing.T) {
	dying := startWorker(t, "dying", func(_ *net.UnixConn, r *bufio.Reader) { http.ReadRequest(r) })
	pool := &fakePool{workers: []*fakeWorker{dying}}
	s := startSite(t, pool, nil)
	res, body := s.do("GET", "/hello", nil)
	checkProblem(t, res, body, 500, "WORKER_ERROR", "Function exited due to an error (please check logs)", "", true)
	if n := pool.acquired.Load(); n != 1 {
		t.Errorf("%d workers were tried, want 1", n)
	}
}

func TestIdleTimeout(t *testing.T) {
	w := startWorker(t, "e", func(_ *net.UnixConn, r *bufio.Reader) { io.Copy(io.Discard, r) })
	w.idle = 100 * time.Millisecond
	s := startSite(t, &fakePool{workers: []*fakeWorker{w}}, nil)
	res, body := s.do("GET", "/hello", nil)
	checkProblem(t, res, body, 504, "IDLE_TIMEOUT", "Request idle timeout limit (0.1s) reached", "", false)
}

func TestMalformedAnswer(t *testing.T) {
	w := startWorker(t, "e", answering(func(*http.Request) string { return "nonsense\r\n\r\n" }))
	s := startSite(t, &fakePool{workers: []*fakeWorker{w}}, nil)
	res, body := s.do("GET", "/hello", nil)
	checkProblem(t, res, body, 502, "BAD_GATEWAY", "Bad Gateway", "", false)
}

func TestUpgradeNotTaken(t *testing.T) {
	w := startWorker(t, "e", answering(func(*http.Request) string { return text(200, "no socket here") }))
	s := startSite(t, &fakePool{workers: []*fakeWorker{w}}, nil)
	res, body := s.do("GET", "/hello", nil, "Connection", "Upgrade", "Upgrade", "websocket")
	checkProblem(t, res, body, 502, "BAD_GATEWAY", "Bad Gateway", "", false)
}

func TestWorkerGoneInMidAnswer(t *testing.T) {
	w := startWorker(t, "e", func(nc *net.UnixConn, r *bufio.Reader) {
		http.ReadRequest(r)
		io.WriteString(nc, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
	})
	s := startSite(t, &fakePool{workers: []*fakeWorker{w}}, nil)
	_, r := s.dial("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
	all, _ := io.ReadAll(r)
	if strings.HasSuffix(string(all), "0\r\n\r\n") {
		t.Errorf("the truncated answer looks whole: %q", all)
	}
	if rec := s.record(); !errors.Is(rec.Err, upstream.ErrAnswerCut) || rec.Status != 200 || rec.Bytes != 3 {
		t.Errorf("record %+v", rec)
	}
}

func TestClientGone(t *testing.T) {
	t.Run("while waiting for a worker", func(t *testing.T) {
		s := startSite(t, &fakePool{block: true}, nil)
		nc, _ := s.dial("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
		time.Sleep(20 * time.Millisecond)
		nc.Close()
		if rec := s.record(); rec.Status != StatusClientGone || rec.Err == nil {
			t.Errorf("record %+v", rec)
		}
	})
	t.Run("while the function runs", func(t *testing.T) {
		aborted, read := make(chan struct{}), make(chan struct{})
		w := startWorker(t, "e", func(_ *net.UnixConn, r *bufio.Reader) {
			http.ReadRequest(r)
			close(read)
			io.Copy(io.Discard, r)
			close(aborted)
		})
		s := startSite(t, &fakePool{workers: []*fakeWorker{w}}, nil)
		nc, _ := s.dial("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
		<-read
		nc.Close()
		<-aborted
		if rec := s.record(); rec.Status != StatusClientGone || !errors.Is(rec.Err, upstream.ErrClientGone) {
			t.Errorf("record %+v", rec)
		}
	})
}

func TestMiddlewareOrder(t *testing.T) {
	var seen []string
	place := func(name string) Middleware {
		return func(next Handler) Handler {
			return func(w http.ResponseWriter, r *http.Request, c *Call) {
				seen = append(seen, name+" "+c.Route.Slug)
				if name == "admission" {
					Refuse(w, c, Problem{Status: 418, Code: "TEAPOT", Message: "short and stout"})
					return
				}
				next(w, r, c)
			}
		}
	}
	s := startSite(t, &fakePool{}, func(o *Options) {
		o.CORS, o.Authenticate, o.Limits, o.Admission = place("cors"), place("authenticate"), place("limits"), place("admission")
	})
	s.do("GET", "/nope", nil)
	s.do("GET", "/health", nil)
	res, body := s.do("GET", "/hello", nil)
	checkProblem(t, res, body, 418, "TEAPOT", "short and stout", "", false)
	if got := strings.Join(seen, ", "); got != "cors nope, cors hello, authenticate hello, limits hello, admission hello" {
		t.Errorf("order: %s", got)
	}
}

func TestPanicIsRecorded(t *testing.T) {
	s := startSite(t, &fakePool{}, func(o *Options) {
		o.Admission = func(Handler) Handler {
			return func(http.ResponseWriter, *http.Request, *Call) { panic("oops") }
		}
	})
	s.dial("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
	if rec := s.record(); !errors.Is(rec.Err, errPanicked) {
		t.Errorf("record %+v", rec)
	}
}
