package upstream

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	// uploadBuffer is the size of the buffer that bodies are sent from, bytes.
	uploadBuffer = 32 << 10
	// chunkRoom is left before a piece for its size line ("7fff\r\n").
	chunkRoom = 6
)

var (
	errShortBody = errors.New("body is shorter than its Content-Length")
	errLongBody  = errors.New("body is longer than its Content-Length")
)

// An upload sends a request's body in a goroutine of its own. Whoever starts
// one receives from done.
type upload struct {
	buf     []byte
	body    io.Reader
	length  int64 // -1 when unknown
	conn    *conn
	started bool
	done    chan struct{}

	// err is what reading the body ended with; valid after done, or after
	// failed.
	err error

	eof    atomic.Bool  // the body was read to its end
	ended  atomic.Bool  // nothing will be read from the client any more
	failed atomic.Bool  // reading from the client failed
	whole  atomic.Bool  // all of it was written to the worker
	last   atomic.Int64 // when something was last written, Unix nanoseconds
}

func (u *upload) start(r *http.Request, conn *conn, now time.Time) {
	if u.buf == nil {
		u.buf = make([]byte, uploadBuffer)
	}
	u.body, u.length, u.conn, u.started = r.Body, r.ContentLength, conn, true
	u.last.Store(now.UnixNano())
	go u.run()
}

// forget makes u ready for another request.
func (u *upload) forget() {
	u.body, u.conn, u.started, u.err = nil, nil, false, nil
	u.eof.Store(false)
	u.ended.Store(false)
	u.failed.Store(false)
	u.whole.Store(false)
}

// run ends when the body has been sent, when it cannot be read or when the
// worker takes no more of it. The last is no failure: the worker may answer
// all the same.
func (u *upload) run() {
	defer func() { u.done <- struct{}{} }()
	defer u.ended.Store(true)
	left := u.length
	for {
		n, err := u.body.Read(u.buf[chunkRoom : len(u.buf)-2])
		if u.length >= 0 {
			if left -= int64(n); left < 0 {
				err = errLongBody
			} else if left > 0 && err == io.EOF {
				err = errShortBody
			} else if left == 0 && err == nil {
				err = io.EOF
			}
		}
		if err != nil && err != io.EOF {
			// The worker must not take a part for the whole.
			u.err = err
			u.failed.Store(true)
			u.conn.Close()
			return
		}
		last := err == io.EOF
		if last {
			u.eof.Store(true)
		}
		if _, err := u.conn.Write(u.frame(n, last)); err != nil {
			return
		}
		u.last.Store(time.Now().UnixNano())
		if last {
			u.whole.Store(true)
			return
		}
	}
}

// frame returns what to write for the n bytes in the buffer.
func (u *upload) frame(n int, last bool) []byte {
	if u.length >= 0 {
		return u.buf[chunkRoom : chunkRoom+n]
	}
	begin, end := chunkRoom, chunkRoom
	if n > 0 {
		var size [chunkRoom]byte
		line := strconv.AppendInt(size[:0], int64(n), 16)
		line = append(line, "\r\n"...)
		begin -= len(line)
		copy(u.buf[begin:], line)
		end += n
		end += copy(u.buf[end:], "\r\n")
	}
	if last {
		return append(u.buf[begin:end:len(u.buf)], "0\r\n\r\n"...)
	}
	return u.buf[begin:end]
}

// clientErr returns the error that the client's side of the upload failed
// with, nil for none.
func (u *upload) clientErr() error {
	if u.started && u.failed.Load() {
		return u.err
	}
	return nil
}

// progressed returns when something was last sent.
func (u *upload) progressed(headSent time.Time) time.Time {
	if !u.started {
		return headSent
	}
	return time.Unix(0, u.last.Load())
}
