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
