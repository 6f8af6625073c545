package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
)

const (
	// watchAfter is how long a wait for the worker lasts at least, and twice at
	// most, before the client is watched as well. Watching costs five allocations,
	// and most answers come sooner; so does nobody mind that a cancellation is seen
	// this much later.
	watchAfter = 10 * time.Millisecond
	// continueAfter is how long a client that expects 100 Continue is kept
	// waiting for the worker to ask for the body, as curl does.
	continueAfter = 1 * time.Second
	// linger bounds the reading of an upload's rest after an early answer, so
	// that the answer is not lost to a connection reset.
	linger = 500 * time.Millisecond
	// lastWrite bounds the last write of an upload that the worker has answered
	// already; a worker that takes longer loses the connection.
	lastWrite = 50 * time.Millisecond
	// maxInformational bounds the 1xx heads before the final one.
	maxInformational = 16
)

// A Field is a header to set. Name must be in canonical form.
type Field struct{ Name, Value string }

// Options say how one request is forwarded.
type Options struct {
	// At is the present time, zero where the caller has not just asked for it.
	At time.Time
	// Path is the path and query to send, byte for byte; it begins with "/".
	Path string
	// Absolute sends the target in absolute form, as Deno.serve needs in order
	// to report the request's own scheme and host; node:http needs it false.
	Absolute bool
	// Scheme is used in the absolute form: "http" or "https".
	Scheme string
	// Host is sent as Host and in the absolute form; "" means the request's.
	Host string
	// Set lists headers that replace the client's own. One with an empty Value
	// is removed.
	Set []Field
	// Strip lists headers, in canonical form, that are not passed on. One that
	// ends in a dash stands for all that begin with it. Set comes after it.
	Strip []string
	// FirstByte bounds the wait for the final head of the answer, counted from
	// the last progress of the upload; 0 means that nothing does.
	FirstByte time.Duration
	// OnHead, if not nil, may edit the head of the answer before it is sent.
	// It is not called for 1xx other than 101.
	OnHead func(status int, h http.Header)
}

// A Result describes what was answered, as far as it got.
type Result struct {
	// Status is that of the answer the client got, 0 for none.
	Status int
	// Bytes counts the body, or what the worker sent after an upgrade.
	Bytes int64
}

// Forward sends r to the worker and its answer to w. The error is nil or an
// *Error; unless its Answered is set, nothing has been written to w and the
// caller answers. When it returns nothing of the exchange is left running.
//
// A kept-alive connection that the worker had closed is replaced by a fresh
// one, once, as long as none of the body was consumed.
func (c *Client) Forward(w http.ResponseWriter, r *http.Request, o Options) (Result, error) {
	x := exchanges.Get().(*exchange)
	x.client, x.w, x.r, x.ctx, x.o = c, w, r, r.Context(), o
	err := x.run()
	res := x.res
	if err != nil {
		x.putBack()
	}
	x.release()
	if err == nil {
		return res, nil
	}
	return res, err
}

var exchanges = sync.Pool{New: func() any {
	return &exchange{cancelled: make(chan struct{}, 1), up: upload{done: make(chan struct{}, 1)}}
}}

// An exchange is the state of one call of Forward. It is pooled for its
// buffers.
type exchange struct {
	client *Client
	w      http.ResponseWriter
	r      *http.Request
	ctx    context.Context
	o      Options
	res    Result

	upgrade string
	head    []byte // the request's head, and the body that it carries
	carried int    // the length of that, bytes
	rd      reader
	ans     answer
	up      upload

	conn *conn
	// unsent means that the head is to be sent by the next Read.
	unsent bool
	clean  bool // conn is at rest and can be given back
	// delivered is Error.Delivered so far.
	delivered bool
	answered  bool

	// Waiting: see Read.
	inBody     bool
	started    time.Time // when the head was sent
	continueAt time.Time // when to stop waiting for 100, zero for no wait
	stopWatch  func() bool
	cancelled  chan struct{} // receives once the watch has closed conn
}

// release gives the exchange back, without what would keep a request alive.
func (x *exchange) release() {
	clear(x.ans.fields)
	clear(x.ans.drops)
	x.up.forget()
	x.rd.src = nil
	x.ans = answer{fields: x.ans.fields[:0], drops: x.ans.drops[:0]}
	x.client, x.w, x.r, x.ctx, x.o, x.res = nil, nil, nil, nil, Options{}, Result{}
	x.upgrade, x.head, x.carried = "", x.head[:0], 0
	x.delivered, x.answered = false, false
	x.continueAt = time.Time{}
	exchanges.Put(x)
}

func (x *exchange) run() error {
	if x.ctx.Err() != nil {
		return x.fail(ErrClientGone, context.Cause(x.ctx))
	}
	x.upgrade = upgradeOf(x.r)
	var err error
	if x.head, err = appendHead(x.head, x.r, &x.o, x.upgrade); err != nil {
		return x.fail(ErrBadRequest, err)
	}
	if err := x.carry(); err != nil {
		return x.fail(ErrRequestBody, err)
	}
	if x.conn, err = x.client.take(); err != nil {
		return x.fail(ErrClosed, nil)
	}
	if x.conn != nil {
		stale, err := x.attempt()
		if !stale {
			return err
		}
	}
	x.o.At = time.Time{} // it has passed
	patience := x.o.FirstByte
	if patience <= 0 {
		patience = dialPatience
	}
	if x.conn, err = x.client.dial(x.ctx, patience); err != nil {
		e := err.(*Error)
		e.Delivered = x.delivered
		return e
	}
	_, err = x.attempt()
	return err
}

// attempt runs the exchange on x.conn. stale means that the connection ended
// before any byte of an answer and none of the body was consumed.
func (x *exchange) attempt() (stale bool, err error) {
	x.clean, x.inBody = false, false
	defer x.settle()
	if x.started = x.o.At; x.started.IsZero() {
		x.started = time.Now()
	}
	x.unsent = !x.uploads() // the head goes out with the first read
	if !x.unsent {
		if _, err := x.conn.Write(x.head); err != nil {
			return true, x.fail(function.ErrWorkerGone, err)
		}
		// Without it net/http reads the whole body before the first byte of
		// the answer. HTTP/2 needs no such thing and says so by an error.
		_ = http.NewResponseController(x.w).EnableFullDuplex()
		if len(x.r.Header["Expect"]) > 0 {
			x.continueAt = x.started.Add(continueAfter)
		} else {
			x.startUpload()
		}
	}
	x.conn.patient(x.started, watchAfter)
	x.rd.reset(x)
	for range maxInformational {
		if err := readAnswer(&x.rd, &x.ans); err != nil {
			return x.lost(err)
		}
		switch s := x.ans.status; {
		case s == http.StatusSwitchingProtocols:
			return false, x.switchProtocols()
		case s == http.StatusContinue:
			x.startUpload()
		case s < 200:
			x.inform()
		default:
			return false, x.answer()
		}
	}
	return false, x.fail(ErrMalformedAnswer, errors.New("it has too many 1xx heads"))
}

// lost says what a failure to read the answer's head means.
func (x *exchange) lost(err error) (stale bool, _ error) {
	nothing := x.rd.w == 0
	if isWrite(err) {
		return true, x.fail(function.ErrWorkerGone, err)
	}
	// See Error.Delivered: a reset tells that the head was not read.
	if !errors.Is(err, syscall.ECONNRESET) || !nothing || !x.readAtOnce() {
		x.delivered = true
	}
	switch {
	case isMalformed(err):
		return false, x.fail(ErrMalformedAnswer, err)
	case errors.Is(err, ErrFirstByteTimeout):
		return false, x.fail(ErrFirstByteTimeout, nil)
	case x.ctx.Err() != nil:
		return false, x.fail(ErrClientGone, context.Cause(x.ctx))
	}
	if failed := x.up.clientErr(); failed != nil {
		return false, x.fail(ErrRequestBody, failed)
	}
	again := nothing && !x.up.started && (x.carried == 0 || !x.delivered)
	return again, x.fail(function.ErrWorkerGone, err)
}

func (x *exchange) fail(kind, cause error) *Error {
	return &Error{Kind: kind, Err: cause, Delivered: x.delivered,
		BodyRead: x.up.started, Answered: x.answered}
}

// Read reads from the worker for x.rd. It is where an exchange waits: reads
// have a short deadline first, and only one that passes it pays for watching
// the client, for the first-byte timeout and for the wait for 100 Continue.
func (x *exchange) Read(p []byte) (int, error) {
	for {
		n, err := x.read(p)
		if n > 0 || err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, plain(err)
		}
		x.watch()
		if x.inBody {
			x.conn.SetReadDeadline(time.Time{})
			continue
		}
		now := time.Now()
		if !x.continueAt.IsZero() && !now.Before(x.continueAt) {
			x.startUpload()
		}
		next := x.continueAt
		if x.o.FirstByte > 0 {
			limit := x.up.progressed(x.started).Add(x.o.FirstByte)
			if !now.Before(limit) {
				return 0, ErrFirstByteTimeout
			}
			if next.IsZero() || limit.Before(next) {
				next = limit
			}
		}
		x.conn.SetReadDeadline(next)
	}
}

// read reads, and sends the head before that if it has not been sent.
func (x *exchange) read(p []byte) (int, error) {
	if !x.unsent {
		return x.conn.Read(p)
	}
	n, err := x.conn.Exchange(x.head, p)
	// The deadline may pass before anything is sent, if this goroutine had to
	// wait for a processor.
	x.unsent = isWrite(err) && errors.Is(err, os.ErrDeadlineExceeded)
	return n, err
}

func isWrite(err error) bool {
	if err == nil {
		return false // without the allocation
	}
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "write"
}

// plain strips net's wrapping off the end of a connection.
func plain(err error) error {
	if err == io.EOF || err == nil {
		return err
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op != "write" {
		return op.Err
	}
	return err
}

// watch closes the connection as soon as the client goes away, which is what
// aborts req.signal in the function.
func (x *exchange) watch() {
	if x.stopWatch != nil {
		return
	}
	conn, cancelled := x.conn, x.cancelled
	x.stopWatch = context.AfterFunc(x.ctx, func() {
		conn.Close()
		cancelled <- struct{}{}
	})
}

// startUpload begins to send the body, once.
func (x *exchange) startUpload() {
	x.continueAt = time.Time{}
	if !x.up.started && x.uploads() {
		x.up.start(x.r, x.conn, x.started)
	}
}

// settle ends what the attempt started and gives the connection back, or
// closes it.
func (x *exchange) settle() {
	clean := x.clean && x.ans.keepAlive && x.rd.r == x.rd.w
	if x.stopWatch != nil {
		if !x.stopWatch() {
			<-x.cancelled
			clean = false
		}
		x.stopWatch = nil
	}
	if x.uploads() {
		clean = x.settleUpload() && clean
	}
	if clean {
		x.client.give(x.conn)
	} else {
		x.conn.Close()
	}
	x.conn = nil
}

// settleUpload waits for the upload's end, making it end if the answer came
// first, and reports whether the body was sent whole.
func (x *exchange) settleUpload() bool {
	if !x.up.started {
		x.conn.Close()
		if x.answered {
			// The client was never asked for the body it announced.
			_ = http.NewResponseController(x.w).SetReadDeadline(time.Now().Add(linger))
		}
		return false
	}
	if x.up.eof.Load() {
		// Only the last write is left, most often done but not yet said so.
		if !x.up.whole.Load() {
			x.conn.SetWriteDeadline(time.Now().Add(lastWrite))
		}
		<-x.up.done
		x.conn.SetWriteDeadline(time.Time{})
		return x.up.whole.Load()
	}
	x.conn.Close()
	rc := http.NewResponseController(x.w)
	if !x.up.ended.Load() {
		// It waits for the client. A deadline in the past is the only way to
		// make net/http's Body.Read return. It ends the connection's context
		// too, so this must be the connection's last request: eof was false
		// when the answer's head was written, which therefore says so.
		_ = rc.SetReadDeadline(time.Unix(1, 0))
	}
	<-x.up.done
	if !x.up.eof.Load() {
		_ = rc.SetReadDeadline(time.Now().Add(linger))
	}
	if !x.answered {
		x.lastOfConnection() // the caller answers
	}
	return false
}
