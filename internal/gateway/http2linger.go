package gateway

import (
	"io"
	"net/http"
	"time"
)

// How long, and for how many bytes, an HTTP/2 stream whose request has been
// answered is kept while its client still sends.
const (
	streamLinger = 250 * time.Millisecond
	streamDrain  = 1 << 20
)

// A streamBody is the body of an HTTP/2 request that knows its end.
type streamBody struct {
	io.ReadCloser
	left  int64 // of the declared length; below 0 it is unknown
	ended bool
}

func (b *streamBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left >= 0 {
		b.left -= int64(n)
	}
	b.ended = b.ended || err == io.EOF || b.left == 0
	return n, err
}

// answerThenLinger has h answer. If that is before the body's end, the client
// gets a moment to see the answer. net/http resets the stream otherwise in the
// same breath, which clients such as curl 7.88 take for a failure of the whole
// request. They stop sending once they have the answer, and that ends the
// waiting.
func answerThenLinger(h http.Handler, w http.ResponseWriter, r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody {
		h.ServeHTTP(w, r)
		return
	}
	body := &streamBody{ReadCloser: r.Body, left: r.ContentLength}
	r.Body = body
	h.ServeHTTP(w, r)
	if body.ended {
		return
	}
	end := time.NewTimer(streamLinger)
	defer end.Stop()
	c := http.NewResponseController(w)
	if c.Flush() != nil || c.SetReadDeadline(time.Now().Add(streamLinger)) != nil {
		return
	}
	// What fits into the windows is on its way; whoever sends more is made to
	// wait, so that it looks at the answer. Reading fails where an upload was
	// broken off already.
	if _, _ = io.CopyN(io.Discard, body, streamDrain); body.ended {
		return
	}
	select {
	case <-r.Context().Done():
	case <-end.C:
	}
}
