package upstream

import (
	"errors"
	"net"
	"net/http"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/function"
)

func TestConnectionsAreChecked(t *testing.T) {
	reached := make(chan string, 10)
	w := startWorker(t, func(_ int, c *wire) {
		for {
			head := c.head()
			if head == "" {
				return
			}
			reached <- head
			c.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
		}
	})
	f := startFront(t, w, nil)
	f.client.Close()
	checks := 0
	f.client = NewChecked(w.path, func(*net.UnixConn) error {
		checks++
		return nil
	})
	for range 3 {
		if res, body := f.do(t, http.MethodGet, "/", nil); res.StatusCode != 200 || body != "hi" {
			t.Fatalf("%d %q", res.StatusCode, body)
		}
		<-reached
	}
	if checks != 1 {
		t.Errorf("checked %d times for one connection", checks)
	}
}

func TestNothingIsSentToAStranger(t *testing.T) {
	reached := make(chan string, 1)
	w := startWorker(t, func(_ int, c *wire) { reached <- c.head() })
	stranger := errors.New("a stranger")
	client := NewChecked(w.path, func(*net.UnixConn) error { return stranger })
	defer client.Close()
	err := client.Prime(t.Context())
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, function.ErrWorkerGone) || !errors.Is(err, stranger) || !e.Retryable() || !client.Refused() {
		t.Errorf("%+v", err)
	}
	if head := <-reached; head != "" {
		t.Errorf("it got %q", head)
	}
}
