package http1

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"time"
)

// Hijack gives the connection to the handler, with what has been read of it.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c := w.c
	if c.hijacked {
		return nil, nil, http.ErrHijacked
	}
	if w.status != 0 {
		if err := w.FlushError(); err != nil {
			return nil, nil, err
		}
	}
	if !c.bodyReadWhole() {
		if !c.body.mu.TryLock() {
			return nil, nil, errReading
		}
		c.body.over = true
		c.body.mu.Unlock()
	}
	c.mu.Lock()
	c.hijacked = true
	watcher := c.watcher
	c.watcher = nil
	c.mu.Unlock()
	c.stopWatcher(watcher)
	c.nc.SetDeadline(time.Time{})
	ahead := &prefixed{c.buf[c.r:c.w], c.nc}
	r := bufio.NewReaderSize(ahead, max(hijackBuffer, c.w-c.r))
	if c.r < c.w {
		_, _ = r.Peek(c.w - c.r) // so that it is Buffered
	}
	// They would be held for as long as the handler runs.
	if len(c.buf) == readBuffer {
		readBuffers.Put((*[readBuffer]byte)(c.buf))
	}
	if cap(w.buf) == writeBuffer {
		writeBuffers.Put((*[writeBuffer]byte)(w.buf[:writeBuffer]))
	}
	c.buf, w.buf, w.header, c.request.fields = nil, nil, nil, nil
	return c.nc, bufio.NewReadWriter(r, bufio.NewWriterSize(c.nc, hijackBuffer)), nil
}

var errReading = errors.New("http1: hijacked while the body is being read")

// hijackBuffer is the size of a hijacker's buffers, in bytes. They live as long
// as a WebSocket, which mostly has its own.
const hijackBuffer = 1 << 10

// A prefixed reads p and then from the connection.
type prefixed struct {
	p []byte
	net.Conn
}

func (r *prefixed) Read(p []byte) (int, error) {
	if len(r.p) > 0 {
		n := copy(p, r.p)
		r.p = r.p[n:]
		return n, nil
	}
	r.p = nil
	return r.Conn.Read(p)
}
