package http1

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.RequestURI, b)
	}, nil)
	var all strings.Builder
	for i := range 100 {
		switch i % 3 {
		case 0:
			fmt.Fprintf(&all, "GET /%d HTTP/1.1\r\nHost: x\r\n\r\n", i)
		case 1:
			fmt.Fprintf(&all, "POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n%03d", i, i)
		case 2:
			fmt.Fprintf(&all, "POST /%d HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n0\r\n2\r\n%02d\r\n0\r\n\r\n", i, i)
		}
	}
	// In one piece, and cut everywhere.
	for _, size := range []int{1 << 20, 1000, 7} {
		c := s.dial("")
		go func() {
			for p := []byte(all.String()); len(p) > 0; {
				n := min(size, len(p))
				c.Write(p[:n])
				p = p[n:]
			}
		}()
		for i := range 100 {
			want := fmt.Sprintf("GET /%d ", i)
			if i%3 > 0 {
				want = fmt.Sprintf("POST /%d %03d", i, i)
			}
			if _, body := c.answer("GET"); body != want {
				t.Fatalf("answer %d is %q", i, body)
			}
		}
	}
}

// TestNothingIsLeftOfTheLastRequest is about what is reused.
func TestNothingIsLeftOfTheLastRequest(t *testing.T) {
	seen := make(chan *http.Request, 1)
	s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
		if len(w.Header()) > 0 {
			t.Errorf("headers of the answer are %v", w.Header())
		}
		w.Header().Set("X-"+r.URL.Path[1:], "1")
		w.Header().Set("Connection", "x")
		seen <- r.Clone(context.Background())
		r.ParseForm()
		r.Header.Set("Own", "1")
		r.Host, r.Pattern = "other", "p"
		r.SetPathValue("a", "b")
	}, nil)
	c := s.dial("POST /first?a=b HTTP/1.1\r\nHost: x\r\nA: b\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\nc=d")
	<-seen
	c.answer("GET")
	c.send("GET /second HTTP/1.1\r\nHost: y\r\n\r\n")
	r := <-seen
	if len(r.Header) > 0 || r.Form != nil || r.PostForm != nil || r.Pattern != "" || r.PathValue("a") != "" || r.Host != "y" ||
		r.URL.RawQuery != "" || r.ContentLength != 0 || r.Body != http.NoBody {
		t.Errorf("got %+v", r)
	}
	if res, _ := c.answer("GET"); res.Header.Get("X-First") != "" {
		t.Errorf("got %v", res.Header)
	}
}

func TestRemoteAndLocalAddr(t *testing.T) {
	s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.RemoteAddr, " ", r.Context().Value(http.LocalAddrContextKey), " ", r.Context().Value(http.ServerContextKey))
	}, nil)
	c := s.dial("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, body := c.answer("GET"); body != c.LocalAddr().String()+" "+s.addr+" <nil>" {
		t.Errorf("got %q", body)
	}
}

func TestMultipartFilesAreRemoved(t *testing.T) {
	var name string
	s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(0); err != nil {
			t.Error(err)
			return
		}
		f, err := r.MultipartForm.File["f"][0].Open()
		if err != nil {
			t.Error(err)
			return
		}
		if file, ok := f.(*os.File); ok {
			name = file.Name()
		}
		f.Close()
	}, nil)
	body := "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"g\"\r\n\r\n" + strings.Repeat("x", 100_000) + "\r\n--b--\r\n"
	c := s.dial(fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	c.answer("POST")
	c.after()
	if name == "" {
		t.Skip("it was kept in memory")
	}
	if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: %v", name, err)
	}
}

// after waits until everything about the last request is over: what refuses
// this one is the same goroutine.
func (c *client) after() {
	c.send("GET http://x HTTP/1.1\r\n\r\n")
	c.answer("GET")
}

const expecting = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"

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

func TestHandlersReadDeadline(t *testing.T) {
	got := make(chan error, 1)
	s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			http.NewResponseController(w).SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			http.NewResponseController(w).SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
			_, err := io.ReadAll(r.Body)
			got <- err
			http.NewResponseController(w).SetWriteDeadline(time.Time{})
		}
	}, nil)
	c := s.dial("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n")
	if err := wait(t, "error", got); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	c.send("abc")
	c.answer("POST")
	c.open() // the deadline was the request's
}

func TestTimeouts(t *testing.T) {
	start := func(t *testing.T) *site {
		return startSite(t, echo, func(s *Server) {
			s.ReadHeaderTimeout, s.IdleTimeout, s.ReadTimeout = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
		})
	}
	const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	t.Run("slow head is 408", func(t *testing.T) {
		t.Parallel()
		c := start(t).dial("GET / HTTP/1.1\r\nHo")
		if res, body := c.answer("GET"); res.StatusCode != 408 || !strings.Contains(body, "REQUEST_TIMEOUT") {
			t.Errorf("got %d %s", res.StatusCode, body)
		}
		c.closed()
	})
	t.Run("slow head of a second request is 408", func(t *testing.T) {
		t.Parallel()
		c := start(t).dial(get + "GET /")
		c.answer("GET")
		if res, _ := c.answer("GET"); res.StatusCode != 408 {
			t.Errorf("got %d", res.StatusCode)
		}
		c.closed()
	})
	t.Run("trickled head is 408", func(t *testing.T) {
		t.Parallel()
		c := start(t).dial("GET / HTTP/1.1\r\n")
		begun := time.Now()
		go func() {
			for range 200 {
				if _, err := io.WriteString(c, "A: b\r\n"); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		}()
		if res, _ := c.answer("GET"); res.StatusCode != 408 || time.Since(begun) > time.Second {
			t.Errorf("got %d after %v", res.StatusCode, time.Since(begun))
		}
		c.Close()
	})
	t.Run("silent connection is closed", func(t *testing.T) {
		t.Parallel()
		start(t).dial("").closed()
	})
	t.Run("idle connection is closed", func(t *testing.T) {
		t.Parallel()
		c := start(t).dial(get)
		c.answer("GET")
		c.closed()
	})
	t.Run("slow body is an error", func(t *testing.T) {
		t.Parallel()
		c := start(t).dial("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na")
		if res, body := c.answer("POST"); res.StatusCode != 400 || !strings.Contains(body, "timeout") {
			t.Errorf("got %d %q", res.StatusCode, body)
		}
	})
	t.Run("deadlines are the request's own", func(t *testing.T) {
		t.Parallel()
		s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
			select { // longer than any time-out
			case <-r.Context().Done():
				t.Error(context.Cause(r.Context()))
			case <-time.After(1300 * time.Millisecond):
			}
		}, func(s *Server) { s.ReadHeaderTimeout, s.IdleTimeout = 50*time.Millisecond, 50*time.Millisecond })
		c := s.dial(get)
		c.answer("GET")
		c.send(get)
		c.answer("GET")
	})
}

func TestClientGone(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	for _, tc := range []struct {
		name, request string
		wait          func(r *http.Request) error
	}{
		{"by Done", get, func(r *http.Request) error { <-r.Context().Done(); return context.Cause(r.Context()) }},
		{"by AfterFunc", get, func(r *http.Request) error {
			ch := make(chan error)
			defer context.AfterFunc(r.Context(), func() { ch <- context.Cause(r.Context()) })()
			return <-ch
		}},
		{"by a derived context", get, func(r *http.Request) error {
			type key struct{}
			ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), key{}, 1), soon)
			defer cancel()
			<-ctx.Done()
			return context.Cause(ctx)
		}},
		{"by Err", get, func(r *http.Request) error {
			for r.Context().Err() == nil {
				time.Sleep(5 * time.Millisecond)
			}
			return context.Cause(r.Context())
		}},
		{"with a request behind", get + get, func(r *http.Request) error { <-r.Context().Done(); return context.Cause(r.Context()) }},
		{"after the body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", func(r *http.Request) error {
			done := r.Context().Done() // before the body: it must not read it
			if b, err := io.ReadAll(r.Body); string(b) != "abc" {
				return fmt.Errorf("%q, %w", b, err)
			}
			<-done
			return context.Cause(r.Context())
		}},
		{"after a chunked body", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", func(r *http.Request) error {
			io.ReadAll(r.Body)
			<-r.Context().Done()
			return context.Cause(r.Context())
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			begun, got := make(chan struct{}, 1), make(chan error, 1)
			s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
				begun <- struct{}{}
				got <- tc.wait(r)
			}, nil)
			c := s.dial(tc.request)
			<-begun
			time.Sleep(30 * time.Millisecond)
			c.Close()
			if err := wait(t, "end of the context", got); !errors.Is(err, ErrClientGone) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("while writing", func(t *testing.T) {
		got := make(chan error, 1)
		s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					got <- context.Cause(r.Context())
					return
				}
			}
		}, nil)
		s.dial(get).Close()
		if err := wait(t, "error", got); !errors.Is(err, ErrClientGone) {
			t.Errorf("got %v", err)
		}
	})
}

// TestWatchedConnectionGoesOn is about what a watched client sends ahead.
func TestWatchedConnectionGoesOn(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	var contexts []context.Context
	s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
		r.Context().Done()
		contexts = append(contexts, r.Context())
		begun <- struct{}{}
		<-release
		fmt.Fprint(w, r.RequestURI, r.Context().Err())
	}, nil)
	c := s.dial("GET /0 HTTP/1.1\r\nHost: x\r\n\r\n")
	for i := range 3 {
		<-begun
		next := fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: x\r\n", i+1)
		if i == 1 {
			next += "A: " + strings.Repeat("b", 2*readBuffer) + "\r\n"
		}
		c.send(next)
		time.Sleep(10 * time.Millisecond)
		release <- struct{}{}
		if _, body := c.answer("GET"); body != fmt.Sprintf("/%d<nil>", i) {
			t.Errorf("got %q", body)
		}
		c.send("\r\n")
	}
	<-begun
	release <- struct{}{}
	c.answer("GET")
	c.Close()
	for i, ctx := range contexts {
		select {
		case <-ctx.Done():
		case <-time.After(soon):
			t.Errorf("the context of request %d goes on", i)
		}
		if !errors.Is(ctx.Err(), context.Canceled) {
			t.Errorf("%d: %v", i, ctx.Err())
		}
	}
}

func TestContextAskedForTooLate(t *testing.T) {
	contexts := make(chan context.Context, 1)
	s := startSite(t, func(w http.ResponseWriter, r *http.Request) { contexts <- r.Context() }, nil)
	c := s.dial("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	ctx := <-contexts
	c.answer("GET")
	time.Sleep(10 * time.Millisecond)
	select {
	case <-ctx.Done():
	default:
		t.Error("the context goes on")
	}
	if _, ok := ctx.Deadline(); ok {
		t.Error("it has a deadline")
	}
	c.open()
	if ctx2 := <-contexts; ctx2.Err() != nil && !errors.Is(ctx2.Err(), context.Canceled) {
		t.Error(ctx2.Err())
	}
}

func TestHijack(t *testing.T) {
	s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		ctx.Done() // the watch must let go
		nc, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer nc.Close()
		if _, ok := nc.(*net.TCPConn); !ok {
			t.Errorf("got a %T, which cannot be spliced", nc)
		}
		if _, err := io.WriteString(w, "x"); !errors.Is(err, http.ErrHijacked) {
			t.Errorf("Write: %v", err)
		}
		if _, _, err := w.(http.Hijacker).Hijack(); !errors.Is(err, http.ErrHijacked) {
			t.Errorf("second Hijack: %v", err)
		}
		w.(http.Flusher).Flush()
		if n := rw.Reader.Buffered(); n != 5 {
			t.Errorf("%d bytes are buffered", n)
		}
		rw.WriteString("HTTP/1.1 101 Switching Protocols\r\n\r\n")
		rw.Flush()
		io.Copy(nc, rw)
		if ctx.Err() != nil {
			t.Error("the context ended: it is not the server's business any more")
		}
	}, nil)
	c := s.dial("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nahead")
	c.raw()
	c.send(" more")
	b := make([]byte, 10)
	if _, err := io.ReadFull(c.r, b); string(b) != "ahead more" {
		t.Errorf("got %q, %v", b, err)
	}
	c.Conn.(*net.TCPConn).CloseWrite()
	c.closed()
}

func TestHijackAfterAnAnswerHasBegun(t *testing.T) {
	s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "4")
		io.WriteString(w, "ab")
		nc, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(nc, "cd")
		nc.Close()
	}, nil)
	if _, body := s.dial("GET / HTTP/1.1\r\nHost: x\r\n\r\n").answer("GET"); body != "abcd" {
		t.Errorf("got %q", body)
	}
}

func TestHijackedBodyIsOver(t *testing.T) {
	s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
		nc, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer nc.Close()
		if _, err := r.Body.Read(make([]byte, 1)); err == nil {
			t.Error("the body can be read")
		}
		if b, _ := io.ReadAll(io.LimitReader(rw, 3)); string(b) != "abc" {
			t.Errorf("got %q", b)
		}
	}, nil)
	s.dial("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc").closed()
}

// A panic of the server's own ends its connection only, and is logged.
func TestServerSurvivesItsPanics(t *testing.T) {
	var log bytes.Buffer
	s := startSite(t, echo, func(s *Server) {
		s.ErrorLog = slog.New(slog.NewTextHandler(&log, nil))
		s.Preface = func(net.Conn, []byte) { panic("oops") }
	})
	c := s.dial("PRI * HTTP/2.0\r\n\r\n")
	if b, err := io.ReadAll(c.r); err != nil || len(b) > 0 {
		t.Errorf("got %q, %v", b, err)
	}
	if res, _ := s.dial("GET / HTTP/1.1\r\nHost: x\r\n\r\n").answer("GET"); res.StatusCode != 200 {
		t.Errorf("then got %d", res.StatusCode)
	}
	s.Close()
	if !strings.Contains(log.String(), "server panicked") || !strings.Contains(log.String(), "oops") {
		t.Errorf("the log says %q", log.String())
	}
}

func TestPreface(t *testing.T) {
	s := startSite(t, echo, func(s *Server) {
		s.Preface = func(nc net.Conn, read []byte) {
			defer nc.Close()
			rest := make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")-len(read))
			io.ReadFull(nc, rest)
			nc.Write(append(read, rest...))
		}
	})
	c := s.dial("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	if b, _ := io.ReadAll(c.r); string(b) != "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
		t.Errorf("got %q", b)
	}
	for request, status := range map[string]int{
		"PRI * HTTP/2.0\r\n\n":                            400, // what a client could once end the process with
		"PRI * HTTP/2.0\r\n\x1c\n":                        400,
		"PRI * HTTP/2.0\r\nA : b\r\n\r\n":                 505,
		"PRI * HTTP/2.0\r\nHost: x\r\n\r\n":               505,
		"PRI * HTTP/2.0\r\n" + strings.Repeat("x", 1<<17): 431,
	} {
		c = s.dial(request)
		if res, _ := c.answer("GET"); res.StatusCode != status {
			t.Errorf("%.30q: got %d, want %d", request, res.StatusCode, status)
		}
	}
	c = s.dial("GET / HTTP/1.1\r\nHost: x\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	c.answer("GET")
	if res, _ := c.answer("GET"); res.StatusCode != 505 {
		t.Errorf("as a second request: got %d", res.StatusCode)
	}
}

func TestPanicsAreLogged(t *testing.T) {
	var mu sync.Mutex
	var log bytes.Buffer
	for _, p := range []any{"oops", errors.New("oops"), http.ErrAbortHandler} {
		s := startSite(t, func(http.ResponseWriter, *http.Request) { panic(p) }, func(s *Server) {
			s.ErrorLog = slog.New(slog.NewTextHandler(&lockedWriter{mu: &mu, w: &log}, nil))
		})
		c := s.dial("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		c.closed()
		mu.Lock()
		if got := log.String(); strings.Contains(got, "oops") == (p == http.ErrAbortHandler) || p != http.ErrAbortHandler && !strings.Contains(got, "conn_test.go") {
			t.Errorf("%v: logged %q", p, got)
		}
		log.Reset()
		mu.Unlock()
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// TestManyAtOnce is for the race detector.
func TestManyAtOnce(t *testing.T) {
	s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
		stop := context.AfterFunc(r.Context(), func() {})
		defer stop()
		if r.URL.Query().Get("slow") != "" {
			time.Sleep(time.Millisecond)
		}
		w.Header().Set("X", r.URL.RawQuery)
		io.Copy(w, r.Body)
	}, func(s *Server) { s.ReadTimeout, s.WriteTimeout = soon, soon })
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	defer transport.CloseIdleConnections()
	hc := &http.Client{Transport: transport, Timeout: 2 * soon}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 50 {
				body := strings.Repeat("x", j*i*37)
				q := url.Values{"slow": {strings.Repeat("y", j%2)}, "n": {fmt.Sprint(i, j)}}.Encode()
				req, _ := http.NewRequest("POST", "http://"+s.addr+"/?"+q, io.LimitReader(strings.NewReader(body), 1<<30))
				res, err := hc.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				b, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || string(b) != body || res.Header.Get("X") != q {
					t.Errorf("got %d bytes of %d, %v, %q", len(b), len(body), err, res.Header.Get("X"))
				}
			}
		})
	}
	wg.Wait()
}
