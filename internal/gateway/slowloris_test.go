package gateway

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// hasty gives clients hardly any time. Time-outs may be a second late, so the
// tests wait for soon.
func hasty(o *Options) {
	o.Timeouts = Timeouts{Head: 200 * time.Millisecond, Read: 200 * time.Millisecond, Write: 200 * time.Millisecond, Idle: 200 * time.Millisecond}
}

// trickle sends byte by byte, each sooner than any time-out, until the
// connection takes no more or the test has ended.
func trickle(nc net.Conn, s string) (stop func()) {
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
			if _, err := nc.Write([]byte{s[i%len(s)]}); err != nil {
				return
			}
		}
	}()
	return func() { close(done); <-stopped }
}

func TestSlowHead(t *testing.T) {
	for name, begin := range map[string]string{
		"in the request line": "GET /hel",
		"in a field":          "GET /hello HTTP/1.1\r\nHost: x\r\nA: ",
		"after a request":     "GET /hello HTTP/1.1\r\nHost: x\r\n\r\nGET /hello HTTP/1.1\r\nA: ",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, rec := startEdge(t, hasty)
			nc, r := s.dial(begin)
			if name == "after a request" {
				if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != 200 {
					t.Fatalf("got %v, %v", res, err)
				} else if _, err = io.Copy(io.Discard, res.Body); err != nil {
					t.Fatal(err)
				}
				rec.next()
				s.record()
			}
			stop := trickle(nc, "lo/x")
			defer stop()
			res, err := http.ReadResponse(r, nil)
			if err != nil || res.StatusCode != 408 || res.Header.Get("Sb-Error-Code") != "REQUEST_TIMEOUT" || !res.Close {
				t.Errorf("got %v, %v", res, err)
			}
			if r := s.record(); r.Status != 408 || r.Code != "REQUEST_TIMEOUT" {
				t.Errorf("record %+v", r)
			}
			rec.nothing()
		})
	}
	t.Run("none at all", func(t *testing.T) {
		t.Parallel()
		s, _ := startEdge(t, hasty)
		_, r := s.dial("")
		if b, err := io.ReadAll(r); err != nil || len(b) > 0 {
			t.Errorf("got %q, %v", b, err)
		}
	})
	t.Run("none after an answer", func(t *testing.T) {
		t.Parallel()
		s, _ := startEdge(t, hasty)
		_, r := s.dial("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
		if b, err := io.ReadAll(r); err != nil || !strings.HasSuffix(string(b), "hi") {
			t.Errorf("got %q, %v", b, err)
		}
	})
}

// A body that stalls frees its worker, and is no whole one to it.
func TestSlowBody(t *testing.T) {
	for name, begin := range map[string]string{
		"with a length": "Content-Length: 10\r\n\r\nabc",
		"chunked":       "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
		"in a chunk":    "Transfer-Encoding: chunked\r\n\r\n30\r\nabc",
		"none of it":    "Content-Length: 10\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, rec := startEdge(t, hasty)
			_, r := s.dial(post + begin)
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			checkProblem(t, res, string(body), 408, "REQUEST_TIMEOUT", "Request body took too long", "", false)
			if d := rec.next(); d.err == nil {
				t.Errorf("the function got %q as the whole", d.body)
			}
			if r := s.record(); r.Status != 408 || s.pool.released.Load() != 1 {
				t.Errorf("record %+v, %d released", r, s.pool.released.Load())
			}
		})
	}
	t.Run("in HTTP/2", func(t *testing.T) {
		t.Parallel()
		s, rec := startEdge(t, hasty)
		body, send := io.Pipe()
		defer send.Close()
		go io.WriteString(send, "abc")
		res, err := http2Client(t, nil).Post("http://"+s.addr+"/hello", "text/plain", body)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		checkProblem(t, res, string(b), 408, "REQUEST_TIMEOUT", "Request body took too long", "", false)
		if d := rec.next(); d.err == nil {
			t.Errorf("the function got %q as the whole", d.body)
		}
	})
}

// A body may take long as long as it goes on.
func TestPatientWithABodyThatGoesOn(t *testing.T) {
	t.Parallel()
	s, rec := startEdge(t, hasty)
	nc, r := s.dial(post + "Connection: close\r\nContent-Length: 100\r\n\r\n")
	stop := trickle(nc, "x") // two seconds in all
	defer stop()
	if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != 200 {
		t.Errorf("got %v, %v", res, err)
	}
	if d := rec.next(); d.body != strings.Repeat("x", 100) || d.err != nil {
		t.Errorf("the function got %q, %v", d.body, d.err)
	}
}

// endless answers with a body that does not end.
func endless(t *testing.T) *fakeWorker {
	return startWorker(t, "e", func(nc *net.UnixConn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		_, err := io.WriteString(nc, "HTTP/1.1 200 OK\r\n\r\n")
		for b := make([]byte, 64<<10); err == nil; {
			_, err = nc.Write(b)
		}
	})
}

// A client that takes nothing of its answer is cut, and the worker freed.
func TestSlowReader(t *testing.T) {
	t.Run("HTTP/1.1", func(t *testing.T) {
		t.Parallel()
		s := startSite(t, &fakePool{workers: []*fakeWorker{endless(t)}}, hasty)
		s.dial("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
		if r := s.record(); r.Status != 200 || r.Cut != CutByClient || r.Bytes == 0 {
			t.Errorf("record %+v", r)
		}
	})
	t.Run("HTTP/2 with a small window", func(t *testing.T) {
		t.Parallel()
		s := startSite(t, &fakePool{workers: []*fakeWorker{endless(t)}}, hasty)
		c := dialHTTP2(s)
		c.get(1, "/hello")
		if r := s.record(); r.Status != 200 || r.Cut != CutByClient {
			t.Errorf("record %+v", r)
		}
		c.awaitReset(t, 1)
		c.get(3, "/health") // the connection itself goes on
		c.awaitHeaders(t, 3)
	})
	t.Run("HTTP/2 at the end of an answer", func(t *testing.T) {
		t.Parallel()
		s, _ := startEdge(t, hasty)
		c := dialHTTP2(s)
		c.get(1, "/hello") // "hi" waits for room
		c.awaitReset(t, 1)
		s.record()
	})
}

// An answer may pause: only a client that does not read is cut.
func TestPatientWithAnAnswerThatPauses(t *testing.T) {
	w := startWorker(t, "e", func(nc *net.UnixConn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		io.WriteString(nc, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n6\r\ndata1\n\r\n")
		time.Sleep(1500 * time.Millisecond)
		io.WriteString(nc, "6\r\ndata2\n\r\n0\r\n\r\n")
		io.Copy(io.Discard, r)
	})
	for name, c := range map[string]*http.Client{"HTTP/1.1": {Timeout: soon, Transport: &http.Transport{DisableKeepAlives: true}}, "HTTP/2": http2Client(t, nil)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startSite(t, &fakePool{workers: []*fakeWorker{w}}, hasty)
			if _, body := get(t, c, "http://"+s.addr+"/hello"); body != "data1\ndata2\n" {
				t.Errorf("got %q", body)
			}
		})
	}
}

// An http2Conn writes frames as no library would.
type http2Conn struct {
	net.Conn
	r *bufio.Reader
}

// dialHTTP2 opens a connection on which no stream may send any data.
func dialHTTP2(s *site) *http2Conn {
	nc, r := s.dial("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	c := &http2Conn{nc, r}
	c.frame(0x4, 0, 0, string([]byte{0, 4, 0, 0, 0, 0})) // SETTINGS_INITIAL_WINDOW_SIZE
	return c
}

func (c *http2Conn) frame(kind, flags byte, stream uint32, payload string) {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	b = binary.BigEndian.AppendUint32(append(b, flags), stream)
	c.Write(append(b, payload...))
}

// get sends a GET, its fields without compression but for those of the static
// table (RFC 7541, appendix A).
func (c *http2Conn) get(stream uint32, path string) {
	block := "\x82\x86\x01\x01x\x04" + string(rune(len(path))) + path
	c.frame(0x1, 0x4|0x1, stream, block) // END_HEADERS, END_STREAM
}

// await reads frames until one of the kind comes on the stream.
func (c *http2Conn) await(kind byte, stream uint32) error {
	for {
		var head [9]byte
		if _, err := io.ReadFull(c.r, head[:]); err != nil {
			return err
		}
		size := binary.BigEndian.Uint32(head[:]) >> 8
		if _, err := c.r.Discard(int(size)); err != nil {
			return err
		}
		id := binary.BigEndian.Uint32(head[5:]) & (1<<31 - 1)
		switch {
		case head[3] == kind && id == stream:
			return nil
		case head[3] == 0x7:
			return fmt.Errorf("GOAWAY")
		}
	}
}

func (c *http2Conn) awaitReset(t *testing.T, stream uint32) {
	t.Helper()
	if err := c.await(0x3, stream); err != nil {
		t.Errorf("waiting for stream %d to be reset: %v", stream, err)
	}
}

func (c *http2Conn) awaitHeaders(t *testing.T, stream uint32) {
	t.Helper()
	if err := c.await(0x1, stream); err != nil {
		t.Errorf("waiting for an answer on stream %d: %v", stream, err)
	}
}
