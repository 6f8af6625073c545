package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// Shared header values: they are read, never written.
var (
	closeValue    = []string{"close"}
	noContentType []string
)

// answer writes the final head and the body to the client.
func (x *exchange) answer() error {
	x.delivered = true
	if x.upgrade != "" && x.ans.status < 400 {
		return x.fail(ErrUpgradeRefused, nil)
	}
	h := x.w.Header()
	x.copyHeaders(h)
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = noContentType // or net/http would guess one
	}
	if x.o.OnHead != nil {
		x.o.OnHead(x.ans.status, h)
	}
	if x.uploads() && !(x.up.started && x.up.eof.Load()) {
		x.lastOfConnection() // the answer is early
	}
	x.w.WriteHeader(x.ans.status)
	x.answered = true
	x.res.Status = x.ans.status
	if err := x.copyBody(); err != nil {
		return err
	}
	x.clean = x.framingHolds()
	return nil
}

// lastOfConnection ends the client's connection after the answer: what is left
// of the upload must not be read as the next request. A stream of HTTP/2 ends
// by itself, and others share its connection.
func (x *exchange) lastOfConnection() {
	if x.r.ProtoMajor < 2 {
		x.w.Header()["Connection"] = closeValue
	}
}

// copyHeaders puts the answer's end-to-end headers into h. The values of all
// headers share one array.
func (x *exchange) copyHeaders(h http.Header) {
	values := make([]string, len(x.ans.fields))
	for i, f := range x.ans.fields {
		if hopByHop(f.name) || (len(x.ans.drops) > 0 && named(x.ans.drops, f.name)) {
			continue
		}
		values[i] = f.value
		if had := h[f.name]; had != nil {
			h[f.name] = append(had, f.value)
		} else {
			h[f.name] = values[i : i+1 : i+1]
		}
	}
}

// copyBody writes the body to the client. Before it waits for the worker it
// flushes what the client has not got, so that an event is never held back.
func (x *exchange) copyBody() error {
	b := bodyOf(&x.rd, &x.ans, x.r.Method == http.MethodHead)
	unflushed := true // the head
	for {
		p, err := b.next()
		switch {
		case err == nil:
			n, err := x.w.Write(p)
			x.res.Bytes += int64(n)
			if err != nil {
				return x.fail(ErrClientGone, err)
			}
			unflushed = true
		case err == io.EOF:
			return nil
		case err == errMore:
			if unflushed {
				if err := http.NewResponseController(x.w).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
					return x.fail(ErrClientGone, err)
				}
				unflushed = false
			}
			if err := x.waitForBody(&b); err == io.EOF {
				return nil
			} else if err != nil {
				return x.cut(err)
			}
		default:
			return x.cut(err)
		}
	}
}

// waitForBody reads more of the body. Nothing bounds the wait but the client
// and the worker's life.
func (x *exchange) waitForBody(b *body) error {
	if !x.inBody {
		x.inBody = true
		x.watch()
		x.conn.SetReadDeadline(time.Time{})
	}
	if err := x.rd.more(); err != nil {
		return b.endedBy(err)
	}
	return nil
}

// cut says why the answer ended before its end.
func (x *exchange) cut(err error) error {
	if x.ctx.Err() != nil {
		return x.fail(ErrClientGone, context.Cause(x.ctx))
	}
	if failed := x.up.clientErr(); failed != nil {
		return x.fail(ErrRequestBody, failed)
	}
	return x.fail(ErrAnswerCut, err)
}

// framingHolds reports whether the end of the answer was told by its framing,
// so that what comes next on the connection is the next answer. A 204 or 304
// that announced a body all the same is not trusted.
func (x *exchange) framingHolds() bool {
	switch {
	case x.r.Method == http.MethodHead, x.ans.status == http.StatusNotModified:
		return true
	case x.ans.status == http.StatusNoContent:
		return !x.ans.chunked && x.ans.length <= 0
	}
	return x.ans.chunked || x.ans.length >= 0
}

// inform passes a 1xx head on, except where the client could not take it
// (HTTP/1.0) or where net/http may be writing 100 Continue at the same time.
func (x *exchange) inform() {
	if !x.r.ProtoAtLeast(1, 1) || len(x.r.Header["Expect"]) > 0 {
		return
	}
	h := x.w.Header()
	x.copyHeaders(h)
	x.w.WriteHeader(x.ans.status)
	for _, f := range x.ans.fields {
		delete(h, f.name)
	}
}
