package http1

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

func TestExpectContinue(t *testing.T) {
	t.Run("when the body is read", func(t *testing.T) {
		go_ := make(chan struct{})
		s := startSite(t, func(w http.ResponseWriter, r *http.Request) { <-go_; echo(w, r) }, nil)
		c := s.dial(expecting)
		c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := c.r.Peek(1); err == nil {
			t.Error("something came before the body was read")
		}
		c.SetReadDeadline(time.Now().Add(soon))
		close(go_)
		if raw := c.raw(); raw != "HTTP/1.1 100 Continue\r\n\r\n" {
			t.Errorf("got %q", raw)
		}
		c.send("abc")
		if _, body := c.answer("POST"); body != "abc" {
			t.Errorf("got %q", body)
		}
		c.open()
	})
	t.Run("on a connection that has rested for longer than a write may take", func(t *testing.T) {
		s := startSite(t, echo, func(s *Server) { s.WriteTimeout = 10 * time.Millisecond })
		c := s.dial("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		c.answer("GET")
		time.Sleep(10*time.Millisecond + slack)
		c.send(expecting)
		if raw := c.raw(); raw != "HTTP/1.1 100 Continue\r\n\r\n" {
			t.Errorf("got %q", raw)
		}
		c.send("abc")
		if _, body := c.answer("POST"); body != "abc" {
			t.Errorf("got %q", body)
		}
	})
	t.Run("not when the body is there", func(t *testing.T) {
		s := startSite(t, echo, nil)
		c := s.dial(expecting + "abc")
		if _, body := c.answer("POST"); body != "abc" {
			t.Errorf("got %q", body)
		}
		c.open()
	})
	t.Run("not when the body is not read", func(t *testing.T) {
		s := startSite(t, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", http.StatusForbidden) }, nil)
		c := s.dial(expecting)
		if res, body := c.answer("POST"); res.StatusCode != 403 || body != "no\n" || !res.Close {
			t.Errorf("got %d %q, close %v", res.StatusCode, body, res.Close)
		}
		c.closed()
	})
	t.Run("not after the answer has begun", func(t *testing.T) {
		s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			b, _ := io.ReadAll(r.Body)
			w.Write(b)
		}, nil)
		c := s.dial(expecting)
		if raw := c.raw(); !strings.HasPrefix(raw, "HTTP/1.1 200 OK\r\n") {
			t.Errorf("got %q", raw)
		}
		c.send("abc")
		if line, _ := c.r.ReadString(0); line != "3\r\nabc\r\n0\r\n\r\n" {
			t.Errorf("got %q", line)
		}
	})
	t.Run("by the handler", func(t *testing.T) {
		s := startSite(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(100); echo(w, r) }, nil)
		c := s.dial(expecting)
		c.raw()
		c.send("abc")
		if _, body := c.answer("POST"); body != "abc" {
			t.Errorf("got %q", body)
		}
		c.open()
	})
	t.Run("ignored in HTTP/1.0", func(t *testing.T) {
		s := startSite(t, echo, nil)
		c := s.dial("POST / HTTP/1.0\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
		time.Sleep(10 * time.Millisecond)
		c.send("abc")
		if _, body := c.answer("POST"); body != "abc" {
			t.Errorf("got %q", body)
		}
	})
}

// TestUnreadBody is about handlers that answer without reading the body.
func TestUnreadBody(t *testing.T) {
	large := strings.Repeat("x", 10<<20)
	for _, tc := range []struct {
		name, head, body string
		says, stays      bool // Connection: close, open
	}{
		{"small", "Content-Length: 3", "abc", false, true},
		{"small and late", "Content-Length: 3", "", false, true},
		{"within the bound", "Content-Length: 200000", large[:200_000], false, true},
		{"beyond the bound", "Content-Length: 10485760", large, true, false},
		{"chunked", "Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n", false, true},
		{"chunked beyond the bound", "Transfer-Encoding: chunked", "a00000\r\n" + large + "\r\n0\r\n\r\n", false, false},
		{"chunked nonsense", "Transfer-Encoding: chunked", "x\r\nabc\r\n0\r\n\r\n", false, false},
		{"never sent", "Content-Length: 7", "abc", false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := startSite(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "no") }, nil)
			c := s.dial("POST / HTTP/1.1\r\nHost: x\r\n" + tc.head + "\r\n\r\n")
			sent := make(chan struct{})
			go func() { defer close(sent); io.WriteString(c, tc.body) }()
			res, body := c.answer("POST")
			if body != "no" || res.Close != tc.says {
				t.Errorf("got %q, close %v", body, res.Close)
			}
			switch {
			case tc.name == "small and late":
				c.send("abc")
				fallthrough
			case tc.stays:
				<-sent
				c.open()
			default:
				if rest, _ := io.ReadAll(c.r); len(rest) > 0 {
					t.Errorf("after the answer came %q", rest)
				}
			}
			c.Close()
			<-sent
		})
	}
}

func TestBodyThatIsNone(t *testing.T) {
	got := make(chan error, 1)
	s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		got <- err
		if err != nil {
			http.Error(w, "bad", 400)
		}
	}, nil)
	for _, tc := range []struct {
		name, rest string
		want       error
	}{
		{"no size", "\r\nabc\r\n0\r\n\r\n", errChunkSize},
		{"size with sign", "+3\r\nabc\r\n0\r\n\r\n", errChunkSize},
		{"size with prefix", "0x3\r\nabc\r\n0\r\n\r\n", errChunkSize},
		{"size with underscore", "1_0\r\nabc\r\n0\r\n\r\n", errChunkSize},
		{"size followed by space", "3 \r\nabc\r\n0\r\n\r\n", errChunkSize},
		{"space before the size", " 3\r\nabc\r\n0\r\n\r\n", errChunkSize},
		{"huge size", "fffffffffffffffff\r\nabc\r\n0\r\n\r\n", errChunkSize},
		{"size over 2^63", "8000000000000003\r\nabc\r\n0\r\n\r\n", errChunkSize},
		{"size ended by LF", "3\nabc\r\n0\r\n\r\n", errBareLine},
		{"size ended by CR", "3\rabc\r\n0\r\n\r\n", errChunkSize},
		{"data ended by LF", "3\r\nabc\n0\r\n\r\n", errBareLine},
		{"data ended by nothing", "3\r\nabc0\r\n\r\n", errChunkEnd},
		{"long data", "3\r\nabcd\r\n0\r\n\r\n", errChunkEnd},
		{"long extension", "3;" + strings.Repeat("a", 1000) + "\r\nabc\r\n0\r\n\r\n", errChunkLine},
		{"extension with CR", "3;a\rb\r\nabc\r\n0\r\n\r\n", errChunkSize},
		{"extension with LF", "3;a\nabc\r\n0\r\n\r\n", errBareLine},
		{"extension with NUL", "3;a\x00\r\nabc\r\n0\r\n\r\n", errChunkSize},
		{"trailer without colon", "0\r\nnonsense\r\n\r\n", errTrailer},
		{"trailer with space before the colon", "0\r\nA : b\r\n\r\n", errTrailer},
		{"folded trailer", "0\r\nA: b\r\n c\r\n\r\n", errTrailer},
		{"trailer with NUL", "0\r\nA: \x00\r\n\r\n", errTrailer},
		{"long trailers", "0\r\n" + strings.Repeat("A: b\r\n", 1000) + "\r\n", errTrailerLen},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := s.dial("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + tc.rest + "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
			if err := wait(t, "error", got); !errors.Is(err, tc.want) {
				t.Errorf("got %v", err)
			}
			if res, _ := c.answer("POST"); res.StatusCode != 400 {
				t.Errorf("got %d", res.StatusCode)
			}
			c.closed()
		})
	}
}

func TestBodyCutByTheClient(t *testing.T) {
	got := make(chan error, 2)
	s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		got <- err
		got <- context.Cause(r.Context())
	}, nil)
	for _, rest := range []string{"Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\na\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "Transfer-Encoding: chunked\r\n\r\n0\r\n"} {
		c := s.dial("POST / HTTP/1.1\r\nHost: x\r\n" + rest)
		c.Conn.(*net.TCPConn).CloseWrite()
		if err := wait(t, "error", got); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: got %v", rest, err)
		}
		if err := wait(t, "cause", got); !errors.Is(err, ErrClientGone) {
			t.Errorf("%q: the context ended by %v", rest, err)
		}
	}
}

func TestBodyAfterItsTime(t *testing.T) {
	bodies := make(chan io.ReadCloser, 1)
	s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "PUT" {
			r.Body.Close()
			if _, err := r.Body.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
				t.Errorf("after Close: %v", err)
			}
			return
		}
		bodies <- r.Body
	}, nil)
	c := s.dial("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
	b := <-bodies
	c.answer("POST")
	c.send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\ndef")
	c.answer("POST")
	if n, err := b.Read(make([]byte, 10)); n > 0 || err == nil {
		t.Errorf("got %d, %v", n, err)
	}
	c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
	<-bodies
	c.answer("POST")
}

// TestBodyStillRead is about a handler that returns while a goroutine of its
// own reads the body.
func TestBodyStillRead(t *testing.T) {
	got := make(chan error, 1)
	s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
		b, reading := r.Body, make(chan struct{})
		go func() {
			close(reading)
			_, err := b.Read(make([]byte, 10))
			got <- err
		}()
		<-reading
		time.Sleep(20 * time.Millisecond)
		io.WriteString(w, "hi")
	}, nil)
	c := s.dial("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n")
	if _, body := c.answer("POST"); body != "hi" {
		t.Errorf("got %q", body)
	}
	if err := wait(t, "error", got); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	c.closed()
}

func TestBothWaysAtOnce(t *testing.T) {
	s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		if err := rc.EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		rc.Flush()
		for b := make([]byte, 10); ; {
			n, err := r.Body.Read(b)
			w.Write(b[:n])
			rc.Flush()
			if err != nil {
				return
			}
		}
	}, nil)
	c := s.dial("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, ch := range "abc" {
		c.send("1\r\n" + string(ch) + "\r\n")
		var b [1]byte
		if _, err := io.ReadFull(res.Body, b[:]); err != nil || b[0] != byte(ch) {
			t.Fatalf("sent %c, got %q, %v", ch, b, err)
		}
	}
	c.send("0\r\n\r\n")
	if rest, err := io.ReadAll(res.Body); len(rest) > 0 || err != nil {
		t.Errorf("rest %q, %v", rest, err)
	}
	c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
	if _, body := c.answer("POST"); body != "x" {
		t.Errorf("got %q", body)
	}
}

func TestBodyReady(t *testing.T) {
	const head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
	for _, tc := range []struct {
		name, sent, rest string
		want             bool
	}{
		{"all of it", head + "\r\nabc", "", true},
		{"a part of it", head + "\r\nab", "c", false},
		{"nothing of it", head + "\r\n", "abc", false},
		{"in chunks", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "", false},
		{"not asked for yet", expecting + "abc", "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			asked := make(chan bool, 1)
			s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
				asked <- r.Body.(interface{ Ready() bool }).Ready()
				echo(w, r)
			}, nil)
			c := s.dial(tc.sent)
			if got := <-asked; got != tc.want {
				t.Errorf("ready is %t", got)
			}
			c.send(tc.rest)
			if _, body := c.answer("POST"); body != "abc" {
				t.Errorf("got %q", body)
			}
		})
	}
}
