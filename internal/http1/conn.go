package http1

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/selvedge-dev/selvedge/internal/sockio"
)

const (
	// readBuffer is the size of the buffer that heads are read into, bytes. It
	// grows for a longer one.
	readBuffer = 4 << 10
	// slack is by how much a deadline may be late. It is set again only when
	// it would be earlier than it should, so once in this time.
	slack = 1 * time.Second
	// drainPatience bounds the wait for the rest of a body that the handler
	// did not read.
	drainPatience = 500 * time.Millisecond
	// lingerPatience bounds each wait for more of what a client still sends
	// after its last answer, and lingerLimit all of them. Were the connection
	// closed at once, the kernel would reset it, and the client could lose the
	// answer (RFC 9112, 9.6).
	lingerPatience = 1 * time.Second
	lingerLimit    = 10 * time.Second
)

var (
	// longAgo makes a read return at once.
	longAgo = time.Unix(1, 0)
	// epoch is when clocks begin to count.
	epoch = time.Now()
)

// A clock is a time since epoch. To read it costs half of time.Now, which asks
// for the time of day as well.
type clock time.Duration

func now() clock { return clock(time.Since(epoch)) }

// Deadlines that are none.
const (
	noDeadline      clock = 0
	unknownDeadline clock = -1 // set by someone else
)

// A connState says what Shutdown may do with a connection.
type connState int32

const (
	connNew    connState = iota // has not sent a request yet
	connIdle                    // is between two requests
	connActive                  // has one in hand
	connClosed                  // is to be closed
)

// A conn serves one connection. Only its own goroutine uses it, but for what
// is said otherwise.
type conn struct {
	server *Server
	nc     net.Conn
	io     *sockio.Conn // reads and writes nc
	base   context.Context
	remote string
	tls    *tls.ConnectionState // nil without TLS
	state  atomic.Int32         // a connState
	since  atomic.Int64         // when that was new or idle, a clock

	buf  []byte // what was read is in buf[r:w]
	r, w int

	request  *request
	response response
	body     *body
	// readDeadline is the one that holds; writeDeadline too.
	readDeadline, writeDeadline clock
	// ownRead and ownWrite mean that the handler has set the deadline.
	ownRead, ownWrite atomic.Bool

	mu          sync.Mutex
	handling    bool // the handler runs
	hijacked    bool
	bodyRead    bool // nothing of the body is left in the connection
	watchWanted bool
	watcher     chan struct{} // closed when the watcher stopped
}

// readBuffers and writeBuffers are those of connections that were hijacked,
// which need none.
var (
	readBuffers  = sync.Pool{New: func() any { return new([readBuffer]byte) }}
	writeBuffers = sync.Pool{New: func() any { return new([writeBuffer]byte) }}
)

func newConn(s *Server, nc net.Conn, base context.Context) *conn {
	c := &conn{server: s, nc: nc, io: sockio.New(nc), base: base}
	c.response.c = c
	c.since.Store(int64(now()))
	return c
}

// serve answers the connection's requests until it ends.
func (c *conn) serve() {
	c.remote = c.nc.RemoteAddr().String()
	c.buf = readBuffers.Get().(*[readBuffer]byte)[:]
	first := true
	for c.await(first) {
		if secure, ok := c.nc.(*tls.Conn); ok && first {
			state := secure.ConnectionState() // the first read has shaken hands
			c.tls = &state
		}
		raw, refusal, err := c.readHead()
		if err != nil {
			break // nobody to answer
		}
		if refusal == nil {
			c.setRequest()
			if refusal = c.request.parse(raw); refusal != nil && first && isPreface(raw) && c.server.Preface != nil {
				c.handOver(raw)
				return
			}
		}
		if refusal != nil {
			c.refuse(refusal, raw, c.nc)
			break
		}
		if !c.handle() {
			if c.hijacked {
				return
			}
			break
		}
		first = false
		c.rest()
	}
	c.nc.Close()
}

// setRequest provides a request whose context nobody else can hold.
func (c *conn) setRequest() {
	if c.request == nil {
		c.request = newRequest()
	}
	if q := c.request; q.ctx == nil || q.ctx.real.Load() != nil {
		q.within(&requestContext{c: c, base: c.base})
	}
}

// rest drops what the last request leaves, and buffers that it made grow.
func (c *conn) rest() {
	c.request.forget()
	c.response.forget()
	if c.r == c.w && len(c.buf) > readBuffer {
		c.buf = make([]byte, readBuffer)
		c.r, c.w = 0, 0
	}
}

// await waits for the first byte of a request and reports whether there is to
// be an answer.
func (c *conn) await(first bool) bool {
	patience, at := c.server.IdleTimeout, now()
	if first {
		patience = c.server.ReadHeaderTimeout
	} else {
		c.since.Store(int64(at))
		c.state.Store(int32(connIdle))
		if c.server.closing.Load() && c.r == c.w {
			return false
		}
		if c.r < c.w {
			// The next request is here already. Others are asked first: who sends
			// many at once would keep a processor for as long as they last.
			runtime.Gosched()
		}
	}
	if c.r == c.w {
		c.r, c.w = 0, 0
		c.arm(&c.readDeadline, at, patience, c.nc.SetReadDeadline)
		n, err := c.io.Read(c.buf)
		if err != nil {
			if first {
				c.refusePlain(err)
			}
			return false
		}
		c.w = n
	}
	from := connIdle
	if first {
		from = connNew
	}
	return c.state.CompareAndSwap(int32(from), int32(connActive))
}

// armRead sees to it that a read waits at least for patience; 0 means for ever.
func (c *conn) armRead(patience time.Duration) {
	c.arm(&c.readDeadline, now(), patience, c.nc.SetReadDeadline)
}

func (c *conn) arm(deadline *clock, at clock, patience time.Duration, set func(time.Time) error) {
	if patience <= 0 {
		if *deadline != noDeadline {
			*deadline = noDeadline
			set(time.Time{})
		}
		return
	}
	if left := time.Duration(*deadline - at); left < patience || left > patience+slack {
		*deadline = at + clock(patience+slack)
		set(epoch.Add(time.Duration(*deadline)))
	}
}

// endRead makes reads end after the time, exactly.
func (c *conn) endRead(after time.Duration) {
	c.readDeadline = now() + clock(after)
	c.nc.SetReadDeadline(epoch.Add(time.Duration(c.readDeadline)))
}

// fill reads once more into the buffer. What is unused stays, possibly moved;
// if it fills the buffer, the buffer grows.
func (c *conn) fill() error {
	switch {
	case c.r == c.w:
		c.r, c.w = 0, 0
	case c.w < len(c.buf):
	case c.r > 0:
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	default:
		grown := make([]byte, 2*len(c.buf))
		c.w = copy(grown, c.buf[:c.w])
		c.buf = grown
	}
	n, err := c.io.Read(c.buf[c.w:])
	c.w += n
	if n > 0 {
		return nil
	}
	return err
}

// readInto reads what is in the buffer, else from the connection: straight
// into p unless that is small.
func (c *conn) readInto(p []byte) (int, error) {
	if c.r == c.w {
		c.armBody()
		if len(p) >= readBuffer/4 {
			return c.io.Read(p)
		}
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.buf[c.r:c.w])
	c.r += n
	return n, nil
}

// armBody bounds a read of the body, unless the handler does.
func (c *conn) armBody() {
	if !c.ownRead.Load() {
		c.armRead(c.server.ReadTimeout)
	}
}

// line takes a line of at most limit bytes out of the buffer and returns it
// without its end, which must be CR LF.
func (c *conn) line(limit int, tooLong error) ([]byte, error) {
	unused := c.buf[c.r:c.w]
	i := bytes.IndexByte(unused, '\n')
	if i > limit+1 || i < 0 && len(unused) > limit+1 {
		return nil, tooLong
	}
	if i < 0 {
		c.armBody()
		return nil, errMore
	}
	if i == 0 || unused[i-1] != '\r' {
		return nil, errBareLine
	}
	c.r += i + 1
	return unused[:i-1], nil
}

// handle has the handler answer the request, and reports whether the
// connection can take another one.
func (c *conn) handle() bool {
	q := c.request
	q.RemoteAddr, q.TLS = c.remote, c.tls
	c.bodyRead = q.ContentLength == 0
	q.Body = http.NoBody
	if !c.bodyRead {
		if c.body == nil {
			c.body = &body{c: c}
		}
		c.body.reset(q.ContentLength)
		q.Body = c.body
	}
	c.response.reset(q)
	c.begin()
	whole := c.run(q.Request)
	if c.hijacked {
		c.finish()
		return false
	}
	return c.settle(whole)
}

// run calls the handler and reports whether it returned, instead of panicking.
func (c *conn) run(r *http.Request) (returned bool) {
	defer func() {
		if returned {
			return
		}
		if p := recover(); p != http.ErrAbortHandler {
			c.server.log().Error("handler panicked", "remote", c.remote, "panic", p, "stack", string(debug.Stack()))
		}
	}()
	c.server.Handler.ServeHTTP(&c.response, r)
	return true
}

// settle ends the request after its handler and reports whether the connection
// can take another one.
func (c *conn) settle(whole bool) bool {
	b := c.body
	left := !c.bodyReadWhole() // something of the body may be in the connection
	if left {
		if !b.mu.TryLock() {
			// Someone still reads it.
			c.nc.SetReadDeadline(longAgo)
			b.mu.Lock()
			b.err = errBodyOver
		}
		b.over = true
		defer b.mu.Unlock()
		c.body = nil // it may still be held
		if b.state == bodyEnded {
			left = false
		}
	}
	if whole {
		whole = c.response.end(left && (b.beyondDraining() || c.request.expects))
	} else {
		c.response.abort()
	}
	c.finish()
	if c.request.MultipartForm != nil {
		c.request.MultipartForm.RemoveAll()
	}
	if c.ownRead.Swap(false) {
		c.readDeadline = unknownDeadline
	}
	if c.ownWrite.Swap(false) {
		c.writeDeadline = unknownDeadline
	}
	switch {
	case !whole:
		return false
	case c.response.keepAlive && (!left || c.drain(b)):
		return true
	case left || c.r < c.w:
		c.linger(c.nc)
	}
	return false
}

func (c *conn) bodyReadWhole() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bodyRead
}

func (c *conn) drain(b *body) bool {
	if b.err != nil {
		return false
	}
	c.endRead(drainPatience)
	c.ownRead.Store(true) // so that armBody leaves it
	defer c.ownRead.Store(false)
	return b.drain()
}

// linger reads what the client still sends until it has seen the end of the
// answer. nc is the connection, or what is under it.
func (c *conn) linger(nc net.Conn) {
	if half, ok := nc.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		return
	}
	c.endRead(lingerPatience)
	for until := now() + clock(lingerLimit); now() < until && !c.server.closing.Load(); c.armRead(lingerPatience) {
		if _, err := nc.Read(c.buf); err != nil {
			return
		}
	}
}

// refuse answers a request that the handler does not see.
func (c *conn) refuse(refusal *Refusal, raw []byte, nc net.Conn) {
	c.setRequest()
	q := c.request
	q.forget()
	q.Method = "GET"
	if bytes.HasPrefix(raw, []byte("HEAD ")) {
		q.Method = "HEAD"
	}
	w := &c.response
	q.minor, q.keepAlive = 1, false
	w.reset(q)
	h := w.Header()
	h["Content-Type"] = []string{"application/json"}
	if c.server.OnRefusal != nil {
		c.server.OnRefusal(h, refusal, c.remote)
	}
	w.WriteHeader(refusal.Status)
	w.WriteString(`{"code":"` + refusal.Code + `","message":"` + refusal.Message + `"}`)
	if w.end(true) {
		c.linger(nc)
	}
}

// refusePlain tells who speaks HTTP where TLS is spoken: to be hung up on says
// nothing. err is what the handshake failed with.
func (c *conn) refusePlain(err error) {
	var other tls.RecordHeaderError
	if !errors.As(err, &other) || other.Conn == nil {
		return
	}
	if method, _, _ := bytes.Cut(other.RecordHeader[:], []byte(" ")); !isToken(string(method)) {
		return // it is something else
	}
	c.io = sockio.New(other.Conn)
	c.refuse(errPlain, nil, other.Conn)
}

// The begin of HTTP/2 without TLS (RFC 9113, 3.4), as far as it is a head.
var preface = []byte("PRI * HTTP/2.0\r\n\r\n")

func isPreface(raw []byte) bool { return bytes.Equal(raw, preface) }

// handOver gives the connection away with what has been read of it. raw is the
// head that was read last.
func (c *conn) handOver(raw []byte) {
	c.mu.Lock()
	c.hijacked = true // cut looks at it
	c.mu.Unlock()
	c.r -= len(raw)
	c.nc.SetDeadline(time.Time{})
	c.server.Preface(c.nc, bytes.Clone(c.buf[c.r:c.w]))
}

func isTimeout(err error) bool { return err != nil && errors.Is(err, os.ErrDeadlineExceeded) }

var _ io.ReadCloser = (*body)(nil)
