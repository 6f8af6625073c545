package upstream

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
)

// forwardWhole forwards a POST whose body is there already.
func forwardWhole(t *testing.T, client *Client, body string) (*http.Request, *httptest.ResponseRecorder, error) {
	t.Helper()
	r := httptest.NewRequest("POST", "/", newCarriedBody([]byte(body)))
	r.ContentLength = int64(len(body))
	w := httptest.NewRecorder()
	_, err := client.Forward(w, r, Options{Path: "/"})
	return r, w, err
}

func TestCarriedInOneWrite(t *testing.T) {
	for _, tc := range []struct {
		length int
		once   bool
	}{{1, true}, {maxCarried, true}, {maxCarried + 1, false}} { // the last may come at once all the same
		seen := make(chan int, 1)
		w := startWorker(t, func(_ int, c *wire) {
			buf := make([]byte, 2*maxCarried)
			for {
				n, err := c.UnixConn.Read(buf)
				if err != nil {
					return
				}
				_, body, _ := strings.Cut(string(buf[:n]), "\r\n\r\n")
				seen <- len(body)
				for got := len(body); got < tc.length; got += n {
					if n, err = c.UnixConn.Read(buf); err != nil {
						return
					}
				}
				c.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
			}
		})
		client := New(w.path)
		defer client.Close()
		for range 2 { // on one connection
			_, answer, err := forwardWhole(t, client, strings.Repeat("x", tc.length))
			if err != nil || answer.Body.String() != "ok" {
				t.Fatalf("%d bytes: %v %q", tc.length, err, answer.Body)
			}
			if got := <-seen; got < tc.length && tc.once {
				t.Errorf("of %d bytes %d came with the head", tc.length, got)
			}
		}
	}
}

// A worker that ends with unread bytes has not read the head, unless the request
// is so long that it may have read a part of it.
func TestCarriedAndLost(t *testing.T) {
	unread := func(_ int, _ *wire) { time.Sleep(50 * time.Millisecond) }
	read := func(_ int, c *wire) { c.UnixConn.Read(make([]byte, 2*maxCarried)) }
	for _, tc := range []struct {
		name      string
		script    func(int, *wire)
		length    int
		retryable bool
	}{
		{"unread", unread, 3, true},
		{"read", read, 3, false},
		{"long and unread", unread, maxAtOnce, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			client := New(startWorker(t, tc.script).path)
			defer client.Close()
			body := strings.Repeat("x", tc.length)
			r, _, err := forwardWhole(t, client, body)
			var e *Error
			if !errors.As(err, &e) || !errors.Is(err, function.ErrWorkerGone) || e.Retryable() != tc.retryable || e.BodyRead {
				t.Errorf("got %v %+v", err, e)
			}
			if left, err := io.ReadAll(r.Body); string(left) != body || err != nil {
				t.Errorf("the body is not there for another worker: %d bytes, %v", len(left), err)
			}
		})
	}
}
