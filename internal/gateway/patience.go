package gateway

import (
	"io"
	"net/http"
	"time"
)

// impatient has a request of HTTP/2 end when its client stalls: net/http's
// server only notices that no byte arrives over the whole connection, where a
// client can keep one stream waiting by never sending the rest of a body, or
// never making room for the rest of an answer.
func impatient(next http.Handler, t Timeouts) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		pw := &patientWriter{ResponseWriter: w, writing: patience{limit: t.Write, giveUp: func() { _ = control.SetWriteDeadline(longAgo) }}}
		if r.ContentLength != 0 {
			r.Body = &patientBody{ReadCloser: r.Body, reading: patience{limit: t.Read, giveUp: func() { _ = control.SetReadDeadline(longAgo) }}}
		}
		next.ServeHTTP(pw, r)
		if t.Write <= 0 {
			return
		}
		// What is left to send goes out after the return.
		_ = control.SetWriteDeadline(time.Now().Add(t.Write))
	})
}

// longAgo makes a read or a write end at once.
var longAgo = time.Unix(1, 0)

// A patience bounds one wait after the other, but not what is between them.
type patience struct {
	limit  time.Duration
	giveUp func() // has the wait end
	timer  *time.Timer
	gaveUp chan struct{}
}

// begin bounds the wait that follows; a limit of 0 does not.
func (p *patience) begin() {
	switch {
	case p.limit <= 0:
	case p.timer == nil:
		p.gaveUp = make(chan struct{}, 1)
		p.timer = time.AfterFunc(p.limit, func() {
			p.giveUp()
			p.gaveUp <- struct{}{}
		})
	default:
		p.timer.Reset(p.limit)
	}
}

// end says that the wait is over. When it returns giveUp does not run.
func (p *patience) end() {
	if p.timer != nil && !p.timer.Stop() {
		<-p.gaveUp
	}
}

type patientBody struct {
	io.ReadCloser
	reading patience
}

func (b *patientBody) Read(p []byte) (int, error) {
	b.reading.begin()
	defer b.reading.end()
	return b.ReadCloser.Read(p)
}

type patientWriter struct {
	http.ResponseWriter
	writing patience
}

// Unwrap is for http.ResponseController.
func (w *patientWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *patientWriter) Write(p []byte) (int, error) {
	w.writing.begin()
	defer w.writing.end()
	return w.ResponseWriter.Write(p)
}

// FlushError sends what has been written.
func (w *patientWriter) FlushError() error {
	w.writing.begin()
	defer w.writing.end()
	return http.NewResponseController(w.ResponseWriter).Flush()
}
