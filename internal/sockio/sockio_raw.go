//go:build linux && !race

package sockio

import (
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"
)

// maxWrite bounds what is written in one call, bytes: while a thread copies
// into the kernel, the collector cannot stop it.
const maxWrite = 64 << 10

// A raw holds the arguments and results of the calls, because a closure made
// for each of them would be an allocation.
type raw struct {
	conn        syscall.RawConn // nil when the connection is no socket
	read, write call
	exchange    func(fd uintptr) bool
	wait        func(fd uintptr) bool
	sent        bool // by exchange
	poller      poller
}

type call struct {
	do  func(fd uintptr) bool
	p   []byte
	n   int
	err syscall.Errno
}

func (c *call) begin(p []byte) { c.p, c.n, c.err = p, 0, 0 }

func (r *raw) init(nc net.Conn) {
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
	default:
		return // something around a socket has a Read of its own
	}
	conn, err := nc.(syscall.Conn).SyscallConn()
	if err != nil {
		return
	}
	r.conn = conn
	r.read.do = r.read.once
	r.write.do = r.write.all
	r.exchange = r.sendThenRead
	r.wait = readable
}

// sendThenRead is called until it returns true, each time after the socket has
// become readable. What came before the first time would be forgotten.
func (r *raw) sendThenRead(fd uintptr) bool {
	if r.sent {
		return r.read.once(fd)
	}
	r.sent = true
	if !r.write.all(fd) || r.write.err != 0 {
		return true
	}
	return r.poller.poll(r.read.do, fd)
}

// readable reports whether a read would not wait, without reading.
func readable(fd uintptr) bool {
	var b [1]byte
	for {
		_, _, err := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&b)), 1, syscall.MSG_PEEK, 0, 0)
		if err != syscall.EINTR {
			return err != syscall.EAGAIN
		}
	}
}

// once reads and reports whether there was anything, an error or the end.
func (c *call) once(fd uintptr) bool {
	for {
		n, _, err := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(c.p))), uintptr(len(c.p)))
		switch err {
		case 0:
			c.n = int(n)
			return true
		case syscall.EINTR:
		case syscall.EAGAIN:
			return false
		default:
			c.err = err
			return true
		}
	}
}

// all writes and reports whether all is written, or has failed.
func (c *call) all(fd uintptr) bool {
	for c.n < len(c.p) {
		p := c.p[c.n:min(len(c.p), c.n+maxWrite)]
		n, _, err := syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		switch err {
		case 0:
			c.n += int(n)
		case syscall.EINTR:
		case syscall.EAGAIN:
			return false
		default:
			c.err = err
			return true
		}
	}
	return true
}

// Wait returns as soon as Read would not wait, so that its buffer need not be
// there before.
func (c *Conn) Wait() error {
	if c.conn == nil {
		return nil
	}
	return c.conn.Read(c.wait)
}

// Read is as net.Conn's.
func (c *Conn) Read(p []byte) (int, error) {
	if c.conn == nil || len(p) == 0 {
		return c.net.Read(p)
	}
	c.read.begin(p)
	err := c.conn.Read(c.read.do)
	return c.received(err)
}

// received is what c.read has come to, err what its caller said.
func (c *Conn) received(err error) (int, error) {
	r := &c.read
	r.p = nil
	switch {
	case err != nil:
		return 0, err
	case r.err != 0:
		return 0, c.failure("read", os.NewSyscallError("read", r.err))
	case r.n == 0:
		return 0, io.EOF
	}
	return r.n, nil
}

// Write is as net.Conn's.
func (c *Conn) Write(p []byte) (int, error) {
	if c.conn == nil {
		return c.net.Write(p)
	}
	w := &c.write
	w.begin(p)
	err := c.conn.Write(w.do)
	w.p = nil
	if err == nil && w.err != 0 {
		err = c.failure("write", os.NewSyscallError("write", w.err))
	}
	return w.n, err
}

// Exchange writes all of p and then reads into buf, which is one system call
// less than Write and Read: the first of Read's most often finds nothing. The
// peer must not speak unless spoken to; what it has sent before may be seen
// only by the next Read. An error whose Op is "write" means that no more than a
// part of p was sent.
func (c *Conn) Exchange(p, buf []byte) (int, error) {
	if c.conn == nil || len(buf) == 0 {
		return exchange(c.net, p, buf)
	}
	yield()
	w, r := &c.write, &c.read
	w.begin(p)
	r.begin(buf)
	c.sent = false
	waiting.Add(1)
	err := c.conn.Read(c.exchange)
	waiting.Add(-1)
	w.p, r.p = nil, nil
	switch {
	case w.err != 0:
		return 0, c.failure("write", os.NewSyscallError("write", w.err))
	case !c.sent: // the deadline has passed, or the connection is closed
		return 0, c.failure("write", err)
	case w.n < len(p):
		return exchange(c, p[w.n:], buf) // its buffer is full
	}
	return c.received(err)
}

// failure wraps an error as package net does.
func (c *Conn) failure(op string, err error) error {
	local := c.net.LocalAddr()
	return &net.OpError{Op: op, Net: local.Network(), Source: local, Addr: c.net.RemoteAddr(), Err: err}
}
