package http1

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const soon = 5 * time.Second

// A site is a running Server.
type site struct {
	*Server
	t      testing.TB
	addr   string
	served chan error
}

func startSite(t testing.TB, h http.HandlerFunc, edit func(*Server)) *site {
	t.Helper()
	s := &site{t: t, served: make(chan error, 1), Server: &Server{Handler: h, ReadHeaderTimeout: soon, IdleTimeout: soon}}
	if edit != nil {
		edit(s.Server)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	go func() { s.served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-s.served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

// A client is a raw connection.
type client struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

// dial opens a raw connection and sends something.
func (s *site) dial(send string) *client {
	s.t.Helper()
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(soon))
	c := &client{nc, s.t, bufio.NewReader(nc)}
	c.send(send)
	return c
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Fatal(err)
	}
}

// answer reads an answer to a request of the method, with its body.
func (c *client) answer(method string) (*http.Response, string) {
	c.t.Helper()
	res, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatalf("after %q: %v", b, err)
	}
	return res, string(b)
}

// raw reads an answer's head as it is.
func (c *client) raw() string {
	c.t.Helper()
	var all strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			c.t.Fatalf("after %q: %v", all.String(), err)
		}
		all.WriteString(line)
		if line == "\r\n" {
			return all.String()
		}
	}
}

// closed fails the test unless the server ends the connection in an orderly
// way without sending anything more.
func (c *client) closed() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.r); err != nil || len(rest) > 0 {
		c.t.Errorf("instead of the end came %q, %v", rest, err)
	}
}

// open fails the test unless the connection takes another request.
func (c *client) open() {
	c.t.Helper()
	c.send("GET /again HTTP/1.1\r\nHost: x\r\n\r\n")
	c.answer("GET")
}

func wait[T any](t testing.TB, what string, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(soon):
		t.Fatalf("no %s", what)
	}
	return v
}

func timeout(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

// echo answers with the body.
func echo(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), 400)
		return
	}
	w.Write(b)
}
