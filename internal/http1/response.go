package http1

import (
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/selvedge-dev/selvedge/internal/fieldtext"
)

const (
	// writeBuffer is the size of the buffer that answers are gathered in,
	// bytes. What does not fit is sent from where it is, in the same call.
	writeBuffer = 4 << 10
	// framingRoom is left behind a head for what says how the body is framed,
	// which is not known before some of it is. The longest are "Connection:
	// keep-alive", "Transfer-Encoding: chunked", the empty line and a size.
	framingRoom = 96
)

// A response is the ResponseWriter of one request of a connection after the
// other.
type response struct {
	c      *conn
	header http.Header
	minor  int
	isHEAD bool

	// buf[from:] has not been sent yet.
	buf  []byte
	from int

	status    int  // 0 before WriteHeader
	committed bool // the framing has been decided
	// headEnd and bodyAt are the bounds of the framingRoom in buf, until then.
	headEnd, bodyAt int
	declared        int64 // Content-Length as the handler set it, -1 for none
	closes          bool  // the handler set Connection: close
	written         int64 // bytes of the body, sent or not
	bodiless        bool  // the status has no body
	chunked         bool
	untilClose      bool // the end of the connection ends the body
	keepAlive       bool
	err             error // what writing to the client failed with

	// inviting guards awaiting, because the body is read by others.
	inviting sync.Mutex
	awaiting bool // the client may wait for 100 Continue

	vector  [3][]byte
	buffers net.Buffers
}

// reset makes w the answer to q.
func (w *response) reset(q *request) {
	if w.header == nil {
		w.header = make(http.Header, usualHeaders)
		w.buf = writeBuffers.Get().(*[writeBuffer]byte)[:0]
	}
	w.minor, w.isHEAD = q.minor, q.Method == http.MethodHead
	w.buf, w.from = w.buf[:0], 0
	w.status, w.committed, w.closes, w.written = 0, false, false, 0
	w.bodiless, w.chunked, w.untilClose = false, false, false
	w.keepAlive, w.err, w.awaiting = q.keepAlive, nil, q.expects
}

// forget drops what belongs to the answer that has been given.
func (w *response) forget() {
	clear(w.header)
	if cap(w.buf) > 4*writeBuffer {
		w.buf = make([]byte, 0, writeBuffer)
	}
}

// scratch is memory that nothing uses once the answer has been sent.
func (w *response) scratch() []byte { return w.buf[:cap(w.buf)] }

// Header returns the headers that WriteHeader will send.
func (w *response) Header() http.Header {
	if w.header == nil { // since Hijack
		w.header = http.Header{}
	}
	return w.header
}

// WriteHeader takes the headers as they are. A status of 1xx is sent at once,
// any other one with the first of the body.
func (w *response) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic("http1: invalid status " + strconv.Itoa(status))
	}
	if w.status != 0 || w.c.hijacked {
		return
	}
	if status < 200 && status != http.StatusSwitchingProtocols {
		w.inform(status)
		return
	}
	w.status = status
	w.bodiless = status < 200 || status == http.StatusNoContent || status == http.StatusNotModified
	w.declared = -1
	w.buf = appendStatus(w.buf[:0], status)
	dated := false
	for name, values := range w.header {
		switch name {
		case "Content-Length":
			w.declare(values)
			continue
		case "Transfer-Encoding":
			continue
		case "Connection":
			values = w.connection(values)
		case "Date":
			dated = true
		}
		w.buf = appendField(w.buf, name, values)
	}
	if !dated {
		w.buf = appendDate(w.buf, time.Now())
	}
	w.headEnd = len(w.buf)
	w.bodyAt = w.headEnd + framingRoom
	if w.bodyAt > cap(w.buf) {
		w.buf = append(w.buf, make([]byte, framingRoom)...)
	}
	w.buf = w.buf[:w.bodyAt]
}

// declare notes the handler's Content-Length. One that is none is ignored.
func (w *response) declare(values []string) {
	if len(values) == 1 {
		if n, ok := parseLength(fieldtext.TrimOWS(values[0])); ok {
			w.declared = n
		}
	}
}

// connection notes whether the handler wants the connection closed, and
// returns what else it says of it: an Upgrade header needs to be named there
// (RFC 9110, 7.8).
func (w *response) connection(values []string) []string {
	var others []string
	for _, v := range values {
		switch {
		case fieldtext.HasToken(v, "close"):
			w.closes = true
		case !fieldtext.HasToken(v, "keep-alive"):
			others = append(others, v)
		}
	}
	return others
}

// inform sends a 1xx head, unless the client is of HTTP/1.0 (RFC 9110, 15.2).
func (w *response) inform(status int) {
	if w.minor == 0 {
		return
	}
	if status == http.StatusContinue {
		w.inviting.Lock()
		w.awaiting = false
		w.inviting.Unlock()
	}
	b := appendStatus(make([]byte, 0, 512), status)
	for name, values := range w.header {
		switch name {
		case "Content-Length", "Transfer-Encoding", "Connection", "Date":
			continue
		}
		b = appendField(b, name, values)
	}
	_ = w.send(append(b, "\r\n"...))
}

// inviteBody sends 100 Continue before the body is read for the first time,
// unless an answer or the body has begun (RFC 9110, 10.1.1).
func (w *response) inviteBody() error {
	w.inviting.Lock()
	defer w.inviting.Unlock()
	if !w.awaiting {
		return nil
	}
	w.awaiting = false
	c := w.c
	if c.r < c.w {
		return nil
	}
	if c.server.WriteTimeout > 0 && !c.ownWrite.Load() {
		// writeDeadline is the handler's goroutine's; it holds no longer than this.
		c.nc.SetWriteDeadline(time.Now().Add(c.server.WriteTimeout + slack))
	}
	_, err := c.nc.Write([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
	return err
}

// Write sends some of the body, or keeps it until there is more.
func (w *response) Write(p []byte) (int, error) { return write(w, p) }

// WriteString is Write for a string.
func (w *response) WriteString(s string) (int, error) { return write(w, s) }

func write[T string | []byte](w *response, p T) (int, error) {
	switch {
	case w.c.hijacked:
		return 0, http.ErrHijacked
	case w.err != nil:
		return 0, w.err
	case w.status == 0:
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case len(p) == 0:
		return 0, nil
	case w.bodiless:
		return 0, http.ErrBodyNotAllowed
	case w.declared >= 0 && w.written+int64(len(p)) > w.declared:
		return 0, http.ErrContentLength
	}
	w.written += int64(len(p))
	if w.isHEAD {
		return len(p), nil
	}
	if len(w.buf)+len(p)+framingRoom <= cap(w.buf) && !w.chunked {
		w.buf = append(w.buf, p...)
		if w.written != w.declared || !w.c.bodyReadWhole() {
			return len(p), nil
		}
		// It is all of it: the client need not wait for what else the handler
		// does.
		if err := w.FlushError(); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	if err := w.push([]byte(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// push sends p after what is in the buffer.
func (w *response) push(p []byte) error {
	if !w.committed {
		w.commit(false, false, len(p))
	} else if w.chunked {
		w.buf = append(strconv.AppendInt(w.buf, int64(len(p)), 16), "\r\n"...)
	}
	if !w.chunked {
		return w.send(p)
	}
	if len(w.buf)+len(p)+framingRoom <= cap(w.buf) {
		w.buf = append(append(w.buf, p...), "\r\n"...)
		return nil
	}
	return w.send(p, lineEnd)
}

// commit decides how the body is framed (RFC 9112, 6) and writes that between
// the head and what there is of the body. whole says that it is all of it,
// unread that the request's body makes the connection of no further use, and
// more is how much follows in the same chunk.
func (w *response) commit(whole, unread bool, more int) {
	w.committed = true
	length := int64(-1)
	switch {
	case w.status < 200 || w.status == http.StatusNoContent:
	case w.status == http.StatusNotModified:
		length = w.declared
	case w.declared >= 0:
		length = w.declared
	case w.isHEAD:
		if whole && w.written > 0 {
			length = w.written
		}
	case whole:
		length = w.written
	case w.minor == 1:
		w.chunked = true
	default:
		w.untilClose = true
	}
	if w.closes || unread || w.untilClose || w.status == http.StatusSwitchingProtocols ||
		w.c.server.closing.Load() || !whole && w.c.bodyHopeless() {
		w.keepAlive = false
	}
	w.inviting.Lock()
	if w.awaiting {
		// The client was not asked for the body, and may send it or not.
		w.awaiting, w.keepAlive = false, false
	}
	w.inviting.Unlock()

	var room [framingRoom]byte
	framing := room[:0]
	if length >= 0 {
		framing = append(framing, "Content-Length: "...)
		framing = strconv.AppendInt(framing, length, 10)
		framing = append(framing, "\r\n"...)
	} else if w.chunked {
		framing = append(framing, "Transfer-Encoding: chunked\r\n"...)
	}
	if !w.keepAlive {
		framing = append(framing, "Connection: close\r\n"...)
	} else if w.minor == 0 {
		framing = append(framing, "Connection: keep-alive\r\n"...)
	}
	framing = append(framing, "\r\n"...)
	begun := len(w.buf) - w.bodyAt
	if w.chunked && begun+more > 0 {
		framing = strconv.AppendInt(framing, int64(begun+more), 16)
		framing = append(framing, "\r\n"...)
	}
	// The head moves up to its framing: it is shorter than most bodies.
	w.from = w.bodyAt - len(framing) - w.headEnd
	copy(w.buf[w.from:], w.buf[:w.headEnd])
	copy(w.buf[w.from+w.headEnd:w.bodyAt], framing)
	if w.chunked && begun > 0 && more == 0 {
		w.buf = append(w.buf, "\r\n"...)
	}
}

var lineEnd = []byte("\r\n")

// bodyHopeless reports whether so much of the request's body is unread that
// the connection will not be used again. It does not wait for a reader.
func (c *conn) bodyHopeless() bool {
	if c.bodyReadWhole() || !c.body.mu.TryLock() {
		return false
	}
	defer c.body.mu.Unlock()
	return c.body.beyondDraining()
}

// FlushError sends what has been written so far.
func (w *response) FlushError() error {
	switch {
	case w.c.hijacked:
		return http.ErrHijacked
	case w.err != nil:
		return w.err
	case w.status == 0:
		w.WriteHeader(http.StatusOK)
	}
	if !w.committed {
		w.commit(false, false, 0)
	}
	return w.send()
}

// Flush is FlushError for those who know no errors.
func (w *response) Flush() { _ = w.FlushError() }

// end sends the rest of the answer after the handler has returned, and reports
// whether the client has got a whole one. unread is as for commit.
func (w *response) end(unread bool) bool {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.committed {
		w.commit(true, unread, 0)
	}
	if unread {
		w.keepAlive = false
	}
	if w.chunked {
		w.buf = append(w.buf, "0\r\n\r\n"...)
	}
	if w.send() != nil {
		return false
	}
	if w.declared > w.written && !w.isHEAD && !w.bodiless {
		w.abort() // the client waits for more
		return false
	}
	return true
}

// abort ends an answer without making it look whole. What the client has not
// been sent is dropped.
func (w *response) abort() {
	w.keepAlive = false
	if !w.untilClose {
		return
	}
	// An orderly end would be the end of the body. Without waiting for its
	// data to be sent, the connection is reset.
	if nc, ok := w.c.nc.(interface{ SetLinger(sec int) error }); ok {
		_ = nc.SetLinger(0)
	}
}

// send writes the buffer and then the parts to the client.
func (w *response) send(parts ...[]byte) error {
	if w.err != nil {
		return w.err
	}
	c := w.c
	if c.server.stopped.Load() {
		w.err = ErrStopped
		return w.err
	}
	first := w.buf[w.from:]
	if !w.committed {
		first = nil // a 1xx is sent ahead of it
	}
	if len(first) == 0 && len(parts) == 0 {
		return nil // Write has sent all
	}
	if c.server.WriteTimeout > 0 && !c.ownWrite.Load() {
		c.arm(&c.writeDeadline, now(), c.server.WriteTimeout, c.nc.SetWriteDeadline)
	}
	var err error
	switch {
	case len(parts) == 0:
		_, err = c.io.Write(first)
	case len(first) == 0 && len(parts) == 1:
		_, err = c.io.Write(parts[0])
	default:
		w.buffers = append(append(net.Buffers(w.vector[:0]), first), parts...)
		_, err = w.buffers.WriteTo(c.nc)
		clear(w.vector[:])
	}
	if w.committed {
		w.buf, w.from = w.buf[:0], 0
	}
	if err != nil {
		w.err = err
		c.gone()
	}
	return err
}

// EnableFullDuplex does nothing: reading and writing never wait for each other.
func (w *response) EnableFullDuplex() error { return nil }

// SetReadDeadline bounds reading the body, until the request's end.
func (w *response) SetReadDeadline(t time.Time) error {
	w.c.ownRead.Store(true)
	return w.c.nc.SetReadDeadline(t)
}

// SetWriteDeadline bounds writing the answer, until the request's end.
func (w *response) SetWriteDeadline(t time.Time) error {
	w.c.ownWrite.Store(true)
	return w.c.nc.SetWriteDeadline(t)
}

func appendStatus(b []byte, status int) []byte {
	if status == http.StatusOK {
		return append(b, "HTTP/1.1 200 OK\r\n"...)
	}
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ') // it stays when there is no reason (RFC 9112, 4)
	b = append(b, http.StatusText(status)...)
	return append(b, "\r\n"...)
}

// appendField appends a header's lines. A name that is no token would end the
// head early, or begin another header: it is left out.
func appendField(b []byte, name string, values []string) []byte {
	if len(values) == 0 || !isToken(name) {
		return b
	}
	for _, value := range values {
		b = append(b, name...)
		b = append(b, ": "...)
		at := len(b)
		b = append(b, value...)
		if !isFieldValue(b[at:]) {
			b = append(b[:at], strings.Map(visible, value)...)
		}
		b = append(b, "\r\n"...)
	}
	return b
}

// visible makes a space of what has no place in a value.
func visible(r rune) rune {
	if r < ' ' && r != '\t' || r == 0x7f {
		return ' '
	}
	return r
}
