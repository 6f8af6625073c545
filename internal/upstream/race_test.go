package upstream

import (
	"io"
	"net/http"
	"testing"
)

// TestAnswerRacesUpload has the answer arrive around the moment the upload
// ends: whichever wins, the client's connection must stay usable unless the
// answer said otherwise.
func TestAnswerRacesUpload(t *testing.T) {
	w := startWorker(t, func(n int, c *wire) {
		for i := n; c.head() != ""; i++ {
			if i%2 == 0 { // at times even before the body
				if _, err := c.r.Discard(3); err != nil {
					return
				}
			}
			c.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
			if i%2 != 0 {
				if _, err := c.r.Discard(3); err != nil {
					return
				}
			}
		}
	})
	f := startFront(t, w, nil)
	f.ended = make(chan outcome, 3000)
	var c *rawClient
	for range 2000 {
		if c == nil {
			c = f.dial(t, "")
		}
		c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
		res := c.answer("POST")
		body, err := io.ReadAll(res.Body)
		if res.StatusCode != http.StatusOK || string(body) != "ok" || err != nil {
			t.Fatalf("got %d %q, %v", res.StatusCode, body, err)
		}
		if o := f.outcome(t); o.err != nil {
			t.Fatal(o.err)
		}
		if res.Close {
			c.Close()
			c = nil
		}
	}
}
