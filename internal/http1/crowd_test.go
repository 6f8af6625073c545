package http1

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
)

// TestCrowded: where descriptors are short, connections between two requests
// go, those that are idle longest first. One with a request stays.
func TestCrowded(t *testing.T) {
	probe, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Close()
	release := make(chan struct{})
	var crowded atomic.Int32
	s := startSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			<-release
		}
		io.WriteString(w, "ok")
	}, func(s *Server) {
		s.Descriptors = int(probe.Fd()) + 60 // both ends are ours
		s.OnCrowded = func() { crowded.Add(1) }
	})
	const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	busy := s.dial("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
	var all []*client
	for range 60 {
		c := s.dial(get)
		if res, body := c.answer("GET"); res.StatusCode != 200 || body != "ok" {
			t.Fatalf("%d %q", res.StatusCode, body)
		}
		all = append(all, c)
	}
	if crowded.Load() == 0 {
		t.Error("OnCrowded was not called")
	}
	open := 0
	for i, c := range all {
		_, err := io.WriteString(c, get)
		if err == nil {
			_, err = c.r.ReadByte()
		}
		switch {
		case err == nil:
			// Which of two became idle first, right after their answers, is the
			// scheduler's affair.
			if open++; i < 10 {
				t.Errorf("connection %d of %d is left", i, len(all))
			}
		case errors.Is(err, os.ErrDeadlineExceeded):
			t.Errorf("connection %d: %v", i, err)
		}
	}
	if open == 0 || open > 40 {
		t.Errorf("%d of %d connections are left", open, len(all))
	}
	close(release)
	if res, body := busy.answer("GET"); res.StatusCode != 200 || body != "ok" {
		t.Errorf("the one in use: %d %q", res.StatusCode, body)
	}
}
