package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestFraming has every way to say where an answer ends (RFC 9112, 6).
func TestFraming(t *testing.T) {
	const get, head, old = "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"
	const oldKeep = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
	large := strings.Repeat("0123456789", 1000)
	flush := func(w http.ResponseWriter) { w.(http.Flusher).Flush() }
	for _, tc := range []struct {
		name, request string
		handler       func(w http.ResponseWriter)
		status        int
		body          string
		header        string // the framing headers that must be there, others must not
		close         bool
	}{
		{"nothing", get, func(w http.ResponseWriter) {}, 200, "", "Content-Length: 0", false},
		{"small", get, func(w http.ResponseWriter) { io.WriteString(w, "hi"); io.WriteString(w, " you") }, 200, "hi you", "Content-Length: 6", false},
		{"declared", get, func(w http.ResponseWriter) { w.Header().Set("Content-Length", "2"); io.WriteString(w, "hi") }, 200, "hi", "Content-Length: 2", false},
		{"declared in pieces", get, func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "20000")
			io.WriteString(w, large)
			flush(w)
			io.WriteString(w, large)
		}, 200, large + large, "Content-Length: 20000", false},
		{"declared nonsense", get, func(w http.ResponseWriter) { w.Header().Set("Content-Length", "x"); io.WriteString(w, "hi") }, 200, "hi", "Content-Length: 2", false},
		{"large", get, func(w http.ResponseWriter) { io.WriteString(w, large) }, 200, large, "Transfer-Encoding: chunked", false},
		{"small then large", get, func(w http.ResponseWriter) { io.WriteString(w, "hi"); io.WriteString(w, large) }, 200, "hi" + large, "Transfer-Encoding: chunked", false},
		{"large then small", get, func(w http.ResponseWriter) { io.WriteString(w, large); io.WriteString(w, "hi"); io.WriteString(w, "!") }, 200, large + "hi!", "Transfer-Encoding: chunked", false},
		{"flushed head", get, func(w http.ResponseWriter) { flush(w); io.WriteString(w, "hi") }, 200, "hi", "Transfer-Encoding: chunked", false},
		{"flushed head, no body", get, func(w http.ResponseWriter) { flush(w) }, 200, "", "Transfer-Encoding: chunked", false},
		{"flushed piece", get, func(w http.ResponseWriter) { io.WriteString(w, "hi"); flush(w); io.WriteString(w, " you") }, 200, "hi you", "Transfer-Encoding: chunked", false},
		{"own Transfer-Encoding", get, func(w http.ResponseWriter) { w.Header().Set("Transfer-Encoding", "identity"); io.WriteString(w, "hi") }, 200, "hi", "Content-Length: 2", false},
		{"own close", get, func(w http.ResponseWriter) { w.Header().Set("Connection", "close"); io.WriteString(w, "hi") }, 200, "hi", "Content-Length: 2", true},
		{"client closes", "GET / HTTP/1.1\r\nHost: x\r\nConnection: x, Close\r\n\r\n", func(w http.ResponseWriter) { flush(w); io.WriteString(w, "hi") }, 200, "hi", "Transfer-Encoding: chunked", true},
		{"HEAD", head, func(w http.ResponseWriter) { io.WriteString(w, "hi") }, 200, "", "Content-Length: 2", false},
		{"HEAD declared", head, func(w http.ResponseWriter) { w.Header().Set("Content-Length", "7") }, 200, "", "Content-Length: 7", false},
		{"HEAD, nothing", head, func(w http.ResponseWriter) {}, 200, "", "", false},
		{"HEAD, large", head, func(w http.ResponseWriter) { io.WriteString(w, large); flush(w) }, 200, "", "", false},
		{"204", get, func(w http.ResponseWriter) { w.WriteHeader(204) }, 204, "", "", false},
		{"204 declared", get, func(w http.ResponseWriter) { w.Header().Set("Content-Length", "2"); w.WriteHeader(204) }, 204, "", "", false},
		{"204 flushed", get, func(w http.ResponseWriter) { w.WriteHeader(204); flush(w) }, 204, "", "", false},
		{"304", get, func(w http.ResponseWriter) { w.WriteHeader(304) }, 304, "", "", false},
		{"304 declared", get, func(w http.ResponseWriter) { w.Header().Set("Content-Length", "2"); w.WriteHeader(304) }, 304, "", "Content-Length: 2", false},
		{"unusual status", get, func(w http.ResponseWriter) { w.WriteHeader(546); io.WriteString(w, "hi") }, 546, "hi", "Content-Length: 2", false},
		{"HTTP/1.0", old, func(w http.ResponseWriter) { io.WriteString(w, "hi") }, 200, "hi", "Content-Length: 2", true},
		{"HTTP/1.0 large", old, func(w http.ResponseWriter) { io.WriteString(w, large) }, 200, large, "", true},
		{"HTTP/1.0 kept alive", oldKeep, func(w http.ResponseWriter) { io.WriteString(w, "hi") }, 200, "hi", "Content-Length: 2|Connection: keep-alive", false},
		{"HTTP/1.0 kept alive, unknown length", oldKeep, func(w http.ResponseWriter) { io.WriteString(w, "hi"); flush(w) }, 200, "hi", "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/" {
					tc.handler(w)
				}
			}, nil)
			c := s.dial(tc.request)
			var sent strings.Builder
			c.r = bufio.NewReader(io.TeeReader(c.Conn, &sent))
			method, _, _ := strings.Cut(tc.request, " ")
			res, body := c.answer(method)
			if body != tc.body || res.StatusCode != tc.status {
				t.Errorf("got %d %.40q", res.StatusCode, body)
			}
			raw, _, _ := strings.Cut(sent.String(), "\r\n\r\n")
			for _, name := range []string{"Content-Length", "Transfer-Encoding", "Connection: keep-alive"} {
				if !strings.Contains(tc.header, name) && strings.Contains(raw, name) {
					t.Errorf("there is a %s in %q", name, raw)
				}
			}
			for want := range strings.SplitSeq(tc.header, "|") {
				if !strings.Contains(raw, want) {
					t.Errorf("there is no %s in %q", want, raw)
				}
			}
			if strings.Count(raw, "\r\nDate: ") != 1 || strings.Contains(raw, "Connection: close") != tc.close {
				t.Errorf("head is %q", raw)
			}
			if tc.close {
				c.closed()
			} else {
				c.open()
			}
		})
	}
}

func TestWriteErrors(t *testing.T) {
	type outcome struct {
		n   int
		err error
	}
	got := make(chan outcome, 1)
	try := func(h func(w http.ResponseWriter) (int, error)) *client {
		s := startSite(t, func(w http.ResponseWriter, _ *http.Request) {
			n, err := h(w)
			got <- outcome{n, err}
		}, nil)
		return s.dial("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	c := try(func(w http.ResponseWriter) (int, error) {
		w.Header().Set("Content-Length", "2")
		return io.WriteString(w, "abc")
	})
	if o := <-got; !errors.Is(o.err, http.ErrContentLength) || o.n != 0 {
		t.Errorf("too much: %v", o)
	}
	if _, err := c.r.ReadString(0); err == nil { // head, and then the end
		t.Error("no end")
	}
	c = try(func(w http.ResponseWriter) (int, error) { w.WriteHeader(204); return io.WriteString(w, "abc") })
	if o := <-got; !errors.Is(o.err, http.ErrBodyNotAllowed) {
		t.Errorf("204: %v", o)
	}
	c.answer("GET")
	c.open()
	<-got
	// Less than was declared: the client must notice.
	c = try(func(w http.ResponseWriter) (int, error) {
		w.Header().Set("Content-Length", "4")
		return io.WriteString(w, "abc")
	})
	<-got
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(res.Body); !errors.Is(err, io.ErrUnexpectedEOF) || string(b) != "abc" {
		t.Errorf("got %q, %v", b, err)
	}
}

func TestHeaders(t *testing.T) {
	s := startSite(t, func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h["Set-Cookie"] = []string{"a=1", "b=2"}
		h["Date"] = []string{"mine"}
		h["X-Split"] = []string{"a\r\nInjected: b\x00"}
		h["X Bad"] = []string{"c"}
		h["X-Bad:\r\nInjected"] = []string{"d"}
		h["X-None"] = nil
		h["X-Umlaut"] = []string{"ä\xff"}
		h["Connection"] = []string{"Upgrade", "keep-alive"}
		h["X-Long"] = []string{strings.Repeat("x", 10_000)}
		w.WriteHeader(426)
		h.Set("X-Late", "1")
		w.WriteHeader(200)
	}, nil)
	c := s.dial("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	raw := c.raw()
	for _, want := range []string{
		"HTTP/1.1 426 Upgrade Required\r\n", "\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n", "\r\nDate: mine\r\n",
		"\r\nX-Split: a  Injected: b \r\n", "\r\nX-Umlaut: ä\xff\r\n", "\r\nConnection: Upgrade\r\n", "\r\nContent-Length: 0\r\n",
		"\r\nX-Long: " + strings.Repeat("x", 10_000) + "\r\n",
	} {
		if !strings.Contains(raw, want) {
			t.Errorf("no %.60q in %.400q", want, raw)
		}
	}
	for _, bad := range []string{"\nInjected", "X Bad", "X-Bad", "X-None", "X-Late", "close"} {
		if strings.Contains(raw, bad) {
			t.Errorf("%q is in %.400q", bad, raw)
		}
	}
	c.open()
}

func TestInvalidStatusPanics(t *testing.T) {
	for _, status := range []int{0, 99, 1000, -1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%d was taken", status)
				}
			}()
			new(response).WriteHeader(status)
		}()
	}
}

func TestInformational(t *testing.T) {
	h := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.Header().Set("Content-Length", "2")
		w.WriteHeader(103)
		w.Header().Del("Link")
		io.WriteString(w, "hi")
	}
	s := startSite(t, h, nil)
	c := s.dial("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if raw := c.raw(); raw != "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n" {
		t.Errorf("got %q", raw)
	}
	if res, body := c.answer("GET"); res.StatusCode != 200 || body != "hi" || res.Header.Get("Link") != "" {
		t.Errorf("got %v %q", res, body)
	}
	c.open()
	c = s.dial("GET / HTTP/1.0\r\n\r\n")
	if raw := c.raw(); !strings.HasPrefix(raw, "HTTP/1.1 200 OK\r\n") {
		t.Errorf("HTTP/1.0 got %q", raw)
	}
}

func TestOneWriteForHeadAndBody(t *testing.T) {
	for _, n := range []int{0, 5, 3000, 4000, 5000, 40_000} {
		nc := &countingConn{memConn: memConn{in: bytes.NewReader([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))}}
		s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(n))
			w.Write(make([]byte, n))
		})}
		newConn(s, nc, t.Context()).serve()
		// Of a connection that has no writev, the two parts.
		if want := 1 + n/4000; nc.writes > min(want, 2) {
			t.Errorf("%d bytes took %d writes", n, nc.writes)
		}
	}
}

type countingConn struct {
	memConn
	writes int
}

func (c *countingConn) Write(p []byte) (int, error) { c.writes++; return len(p), nil }

func TestFlushedAtOnce(t *testing.T) {
	next := make(chan struct{})
	s := startSite(t, func(w http.ResponseWriter, _ *http.Request) {
		rc := http.NewResponseController(w)
		rc.Flush()
		for range next {
			io.WriteString(w, "data: 1\n\n")
			rc.Flush()
		}
	}, nil)
	c := s.dial("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	body := bufio.NewReader(res.Body)
	for range 3 {
		next <- struct{}{}
		if line, err := body.ReadString('\n'); line != "data: 1\n" {
			t.Fatalf("got %q, %v", line, err)
		}
		body.ReadString('\n')
	}
	close(next)
	if rest, err := io.ReadAll(body); len(rest) > 0 || err != nil {
		t.Errorf("rest %q, %v", rest, err)
	}
	c.open()
}

// TestAbortedAnswerNeverLooksWhole cuts answers of each framing.
func TestAbortedAnswerNeverLooksWhole(t *testing.T) {
	for _, tc := range []struct{ name, request, length string }{
		{"chunked", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", ""},
		{"counted", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "100000"},
		{"until close", "GET / HTTP/1.0\r\n\r\n", ""},
	} {
		for _, how := range []any{http.ErrAbortHandler, "oops"} {
			t.Run(tc.name, func(t *testing.T) {
				s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
					if tc.length != "" {
						w.Header().Set("Content-Length", tc.length)
					}
					io.WriteString(w, "some")
					w.(http.Flusher).Flush()
					io.WriteString(w, " more")
					panic(how)
				}, nil)
				c := s.dial(tc.request)
				res, err := http.ReadResponse(c.r, nil)
				if err != nil {
					if tc.name == "until close" {
						return // the reset came before the data was read
					}
					t.Fatal(err)
				}
				if b, err := io.ReadAll(res.Body); err == nil {
					t.Errorf("got %q as if it were whole", b)
				}
			})
		}
	}
}

func TestAbortBeforeAnswer(t *testing.T) {
	s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "some")
		panic(http.ErrAbortHandler)
	}, nil)
	s.dial("GET / HTTP/1.1\r\nHost: x\r\n\r\n").closed()
}

func TestWriteTimeout(t *testing.T) {
	got := make(chan error, 1)
	s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				got <- err
				return
			}
		}
	}, func(s *Server) { s.WriteTimeout = 50 * time.Millisecond })
	start := time.Now()
	s.dial("GET / HTTP/1.1\r\nHost: x\r\n\r\n") // and never reads
	if err := wait(t, "error", got); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if d := time.Since(start); d > 50*time.Millisecond+2*slack {
		t.Errorf("took %v", d)
	}
}

func TestDateIsOfThisSecond(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	if got := string(appendDate(nil, now)); got != "Date: Wed, 02 Jan 2030 03:04:05 GMT\r\n" {
		t.Errorf("got %q", got)
	}
	if got := string(appendDate(nil, now.Add(time.Second))); got != "Date: Wed, 02 Jan 2030 03:04:06 GMT\r\n" {
		t.Errorf("got %q", got)
	}
}

// TestGoClient and TestCurl are clients that no one here wrote.
func TestGoClient(t *testing.T) {
	s := startSite(t, echo, nil)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	hc := &http.Client{Transport: transport, Timeout: soon}
	large := strings.Repeat("0123456789", 100_000)
	for _, body := range []string{"", "a", large} {
		for _, length := range []int64{int64(len(body)), -1} {
			for range 3 {
				req, _ := http.NewRequest("POST", "http://"+s.addr+"/", io.NopCloser(strings.NewReader(body)))
				if req.ContentLength = length; length == 0 {
					req.Body = nil
				}
				if len(body) > 1 {
					req.Header.Set("Expect", "100-continue")
				}
				res, err := hc.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || string(b) != body || res.StatusCode != 200 {
					t.Errorf("%d bytes, length %d: got %d, %d bytes, %v", len(body), length, res.StatusCode, len(b), err)
				}
			}
		}
	}
}

func TestCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("no curl")
	}
	s := startSite(t, echo, nil)
	url := "http://" + s.addr + "/"
	large := t.TempDir() + "/large"
	if err := os.WriteFile(large, []byte(strings.Repeat("0123456789", 300_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args string
		want int
	}{
		{"-d abc", 3}, {"-d abc --http1.0", 3}, {"-X DELETE", 0}, {"-I", -1},
		{"--data-binary @" + large, 3_000_000},
		{"--data-binary @" + large + " -H Transfer-Encoding:chunked", 3_000_000},
		{"--data-binary @" + large + " -H Expect:", 3_000_000},
		{"-T " + large, 3_000_000},
		{"-d abc -o /dev/null " + url, 3}, // twice on one connection
	} {
		args := append([]string{"-sS", "-f", "-m", "10", "-o", t.TempDir() + "/out", "-w", "%{size_download} %{num_connects}\n", url}, strings.Fields(tc.args)...)
		out, err := exec.Command(curl, args...).CombinedOutput()
		if err != nil {
			t.Errorf("curl %s: %v %s", tc.args, err, out)
			continue
		}
		var size string
		for line := range strings.Lines(string(out)) {
			size, _, _ = strings.Cut(line, " ")
		}
		if tc.want >= 0 && size != strconv.Itoa(tc.want) {
			t.Errorf("curl %s: got %s, want %d", tc.args, out, tc.want)
		}
	}
}
