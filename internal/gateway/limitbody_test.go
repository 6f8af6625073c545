package gateway

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func limitedTo(n int64) func(*Options) {
	return func(o *Options) { o.Limits = LimitBody(func(string) int64 { return n }) }
}

const post = "POST /hello HTTP/1.1\r\nHost: x\r\n"

func chunked(pieces ...string) string {
	var b strings.Builder
	for _, p := range pieces {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(p), p)
	}
	return b.String()
}

func TestBodyLimit(t *testing.T) {
	ten := strings.Repeat("x", 10)
	for _, tc := range []struct {
		name, request string
		body          string // what the function gets, if anything
	}{
		{"just fits", post + "Connection: close\r\nContent-Length: 10\r\n\r\n" + ten, ten},
		{"chunked, just fits", post + "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked("xxxx", "xxxxxx", ""), ten},
		{"one too many", post + "Content-Length: 11\r\n\r\n" + ten + "x", ""},
		{"one too many, none sent", post + "Content-Length: 11\r\n\r\n", ""},
		{"one too many, not asked for", post + "Content-Length: 11\r\nExpect: 100-continue\r\n\r\n", ""},
		{"far too many", post + "Content-Length: 9223372036854775807\r\n\r\n" + ten, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, rec := startEdge(t, limitedTo(10))
			all := s.talk(tc.request)
			if len(all) != 1 {
				t.Fatalf("%d answers", len(all))
			}
			if tc.body != "" {
				if d := rec.next(); all[0].StatusCode != 200 || d.body != tc.body || d.err != nil {
					t.Errorf("%d, the function got %q, %v", all[0].StatusCode, d.body, d.err)
				}
				return
			}
			checkProblem(t, all[0].Response, all[0].body, 413, "REQUEST_TOO_LARGE", "Request body exceeds the limit", "", false)
			if !all[0].Close {
				t.Error("the connection is kept, with the body on it")
			}
			if n := s.pool.acquired.Load(); n != 0 {
				t.Errorf("%d workers were asked for", n)
			}
			var tooLarge *BodyTooLargeError
			if r := s.record(); r.Status != 413 || r.Code != "REQUEST_TOO_LARGE" || !errors.As(r.Err, &tooLarge) || tooLarge.Limit != 10 {
				t.Errorf("record %+v", r)
			}
		})
	}
}

func TestBodyLimitOfEachFunction(t *testing.T) {
	var asked string
	limit := int64(AnyBodyLimit)
	s, rec := startEdge(t, func(o *Options) {
		o.Limits = LimitBody(func(slug string) int64 { asked += slug; return limit })
	})
	big := strings.Repeat("x", 1<<20)
	if res, _ := s.do("POST", "/hello", strings.NewReader(big)); res.StatusCode != 200 || rec.next().body != big {
		t.Errorf("without a limit: %d", res.StatusCode)
	}
	if res, _ := s.do("GET", "/hello", nil); res.StatusCode != 200 || asked != "hello" {
		t.Errorf("%d, was asked for %q; a request without a body needs no limit", res.StatusCode, asked)
	}
	limit = 1
	if res, _ := s.do("POST", "/hello", strings.NewReader(big)); res.StatusCode != 413 {
		t.Errorf("with a limit: %d", res.StatusCode)
	}
}

// AnyBodyLimit is a limit that is none.
const AnyBodyLimit = -1

// A chunked body tells its length only at its end. The worker must not take
// what it has got for all of it.
func TestChunkedBodyGrowsTooLong(t *testing.T) {
	for name, body := range map[string]string{
		"in one chunk":    chunked(strings.Repeat("x", 11), ""),
		"in the last":     chunked("xxxxxxxxxx", "x", ""),
		"in a huge chunk": "fffffffff\r\n" + strings.Repeat("x", 100<<10),
	} {
		t.Run(name, func(t *testing.T) {
			s, rec := startEdge(t, limitedTo(10))
			all := s.talk(post+"Transfer-Encoding: chunked\r\n\r\n", body)
			if len(all) != 1 {
				t.Fatalf("%d answers", len(all))
			}
			checkProblem(t, all[0].Response, all[0].body, 413, "REQUEST_TOO_LARGE", "Request body exceeds the limit", "", false)
			if d := rec.next(); d.err == nil || len(d.body) > 10 {
				t.Errorf("the function got %q, %v", d.body, d.err)
			}
			if r := s.record(); r.Status != 413 || r.Cut != CutNot {
				t.Errorf("record %+v", r)
			}
		})
	}
}

func TestBodyGrowsTooLongAfterTheAnswerBegan(t *testing.T) {
	w := startWorker(t, "e", func(nc *net.UnixConn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		io.WriteString(nc, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
		io.Copy(io.Discard, r)
	})
	s := startSite(t, &fakePool{workers: []*fakeWorker{w}}, limitedTo(10))
	nc, r := s.dial(post + "Transfer-Encoding: chunked\r\n\r\n" + chunked("xxx"))
	if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != 200 {
		t.Fatalf("got %v, %v", res, err)
	}
	io.WriteString(nc, chunked("xxxxxxxx", ""))
	if rest, _ := io.ReadAll(r); strings.HasSuffix(string(rest), "0\r\n\r\n") {
		t.Errorf("the answer looks whole: %q", rest)
	}
	if r := s.record(); r.Status != 200 || r.Cut != CutByClient {
		t.Errorf("record %+v", r)
	}
}

// A body reaches the function while it is being sent, whatever the limit.
func TestLimitedBodyIsStreamed(t *testing.T) {
	got := make(chan string)
	w := startWorker(t, "e", func(nc *net.UnixConn, r *bufio.Reader) {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		b := make([]byte, 4)
		for err == nil {
			var n int
			n, err = io.ReadFull(req.Body, b)
			got <- string(b[:n])
		}
		io.WriteString(nc, text(200, "hi"))
	})
	s := startSite(t, &fakePool{workers: []*fakeWorker{w}}, limitedTo(1<<20))
	nc, r := s.dial(post + "Transfer-Encoding: chunked\r\n\r\n")
	for _, piece := range []string{"ping", "pong"} {
		io.WriteString(nc, chunked(piece))
		if s := <-got; s != piece {
			t.Fatalf("got %q", s)
		}
	}
	io.WriteString(nc, chunked(""))
	<-got
	if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != 200 {
		t.Errorf("got %v, %v", res, err)
	}
}

// A client that first sends everything and then reads must get the answer.
func TestTooLargeReachesAClientThatStillSends(t *testing.T) {
	s, rec := startEdge(t, limitedTo(1<<10))
	body := bytes.Repeat([]byte("x"), 16<<20)
	for name, request := range map[string]io.Reader{
		"with a length": io.MultiReader(strings.NewReader(fmt.Sprintf("%sContent-Length: %d\r\n\r\n", post, len(body))), bytes.NewReader(body)),
		"chunked": io.MultiReader(strings.NewReader(fmt.Sprintf("%sTransfer-Encoding: chunked\r\n\r\n%x\r\n", post, len(body))),
			bytes.NewReader(body), strings.NewReader("\r\n0\r\n\r\n")),
	} {
		nc, r := s.dial("")
		if _, err := io.Copy(nc, request); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		all := s.answers(nc, r)
		if len(all) != 1 || all[0].StatusCode != 413 || !strings.Contains(all[0].body, "REQUEST_TOO_LARGE") {
			t.Errorf("%s: answers %+v", name, all)
		}
	}
	if d := rec.next(); d.err == nil { // of the chunked one
		t.Errorf("the function got %d bytes as the whole", len(d.body))
	}
	rec.nothing()
}

// The same over a slow line, where sending takes longer than any wait.
func TestTooLargeReachesAClientThatSendsSlowly(t *testing.T) {
	t.Parallel()
	s, rec := startEdge(t, limitedTo(1<<10))
	nc, r := s.dial(fmt.Sprintf("%sContent-Length: %d\r\n\r\n", post, 25*64<<10))
	for i := range 25 {
		if _, err := nc.Write(make([]byte, 64<<10)); err != nil {
			t.Fatalf("piece %d: %v", i, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if all := s.answers(nc, r); len(all) != 1 || all[0].StatusCode != 413 {
		t.Errorf("answers %+v", all)
	}
	rec.nothing()
}

func TestBodyLimitInHTTP2(t *testing.T) {
	s, rec := startEdge(t, limitedTo(10))
	c := http2Client(t, nil)
	for name, body := range map[string]io.Reader{
		"with a length": strings.NewReader(strings.Repeat("x", 11)),
		"without":       iotest.OneByteReader(strings.NewReader(strings.Repeat("x", 11))),
	} {
		res, err := c.Post("http://"+s.addr+"/hello", "text/plain", body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		checkProblem(t, res, string(b), 413, "REQUEST_TOO_LARGE", "Request body exceeds the limit", "", false)
	}
	if d := rec.next(); d.err == nil {
		t.Errorf("the function got %q as the whole", d.body)
	}
	rec.nothing()
}

// What goes over a WebSocket is no body.
func TestBodyLimitIsNotForWebSockets(t *testing.T) {
	s := startSite(t, &fakePool{workers: []*fakeWorker{echoSocket(t)}}, limitedTo(1))
	nc, r := webSocket(t, s)
	for range 3 {
		io.WriteString(nc, "ping")
		b := make([]byte, 4)
		if _, err := io.ReadFull(r, b); err != nil || string(b) != "ping" {
			t.Fatalf("got %q, %v", b, err)
		}
	}
	nc.Close()
	s.record()
}
