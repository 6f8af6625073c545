package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"
)

// A wire is a connection for measuring short times: the thread waits in the
// kernel, without Go's scheduler in between, and an answer is parsed just as far
// as its length is concerned.
type wire struct {
	file    *os.File
	fd      int
	request []byte
	buf     []byte
}

func dialWire(ctx context.Context, addr, request string) (*wire, error) {
	c, err := dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer c.Close() // the file has a descriptor of its own
	source, ok := c.raw.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("dial %s: a %T has no descriptor", addr, c.raw)
	}
	file, err := source.File()
	if err != nil {
		return nil, err
	}
	w := &wire{file: file, fd: int(file.Fd()), request: []byte(request), buf: make([]byte, 64<<10)} // Fd makes it block
	patience := syscall.NsecToTimeval(answerPatience.Nanoseconds())
	if err := syscall.SetsockoptTimeval(w.fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &patience); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

func (w *wire) Close() error { return w.file.Close() }

// exchange sends the request and returns the body of the answer, which is valid
// until the next one, and how long that took.
func (w *wire) exchange() (body []byte, took time.Duration, err error) {
	began := time.Now()
	if n, err := syscall.Write(w.fd, w.request); err != nil || n < len(w.request) {
		return nil, 0, fmt.Errorf("write %d of %d bytes: %w", n, len(w.request), err)
	}
	for have := 0; ; {
		n, err := syscall.Read(w.fd, w.buf[have:])
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil:
			return nil, 0, err
		case n == 0:
			return nil, 0, fmt.Errorf("the answer ends after %d bytes: %w", have, net.ErrClosed)
		}
		have += n
		body, err := answerBody(w.buf[:have])
		if err != nil {
			return nil, 0, err
		}
		if body != nil {
			return body, time.Since(began), nil
		}
	}
}

// answerBody returns the body of an answer with status 200, nil while it is not
// whole.
func answerBody(raw []byte) ([]byte, error) {
	head, body, ok := bytes.Cut(raw, []byte("\r\n\r\n"))
	if !ok {
		return nil, nil
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
		return nil, fmt.Errorf("the answer is %q", raw)
	}
	const field = "\r\ncontent-length: "
	for i := 0; i+len(field) < len(head); i++ {
		if head[i] != '\r' || !bytes.EqualFold(head[i:i+len(field)], []byte(field)) {
			continue
		}
		value, _, _ := bytes.Cut(head[i+len(field):], []byte("\r"))
		length, err := strconv.Atoi(string(value))
		if err != nil || length > len(body) {
			return nil, err
		}
		return body, nil
	}
	return nil, fmt.Errorf("the answer has no length: %q", head)
}
