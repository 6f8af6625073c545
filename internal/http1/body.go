package http1

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
)

const (
	// maxChunkLine bounds a chunk's size line with its extensions, in bytes.
	maxChunkLine = 256
	// maxTrailers bounds all trailer lines of a body, in bytes.
	maxTrailers = 4 << 10
	// maxSizeDigits are enough for 2^60 bytes and too few for an overflow.
	maxSizeDigits = 15
	// drainLimit bounds what is read of a body that the handler did not read,
	// for the sake of the connection, in bytes.
	drainLimit = 256 << 10
)

// A body reads a request's body from the connection. One goroutine may read it
// while the handler writes the answer.
type body struct {
	c  *conn
	mu sync.Mutex // held while reading

	state bodyState
	// left is what remains of the body, or of the chunk, in bytes.
	left int64
	// trailers counts the bytes of the trailers.
	trailers int
	closed   bool
	over     bool  // the request has ended
	err      error // what every Read returns from now on
}

type bodyState uint8

const (
	bodyEnded    bodyState = iota
	bodyCounted            // left bytes remain
	chunkSize              // a chunk's size line is next
	chunkData              // left bytes of the chunk remain
	chunkEnd               // the line end after a chunk's data is next
	chunkTrailer           // a trailer line, or the last empty line, is next
)

var errBodyOver = errors.New("http1: body was read after the request's end")

// reset makes b the body that q announces.
func (b *body) reset(length int64) {
	b.mu.Lock() // a reader of the last request may still look
	defer b.mu.Unlock()
	b.state, b.left = bodyCounted, length
	if length < 0 {
		b.state = chunkSize
	}
	b.trailers, b.closed, b.over, b.err = 0, false, false, nil
}

// Read reads what is there, waiting for the client if nothing is.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.over:
		return 0, errBodyOver
	case b.closed:
		return 0, http.ErrBodyReadAfterClose
	case b.err != nil:
		return 0, b.err
	case len(p) == 0:
		return 0, nil
	}
	if b.c.request.expects {
		if err := b.c.response.inviteBody(); err != nil {
			return 0, err
		}
	}
	n, err := b.read(p)
	if err != nil && err != io.EOF && !errors.Is(err, os.ErrDeadlineExceeded) {
		b.err = err
		if !isRefusal(err) {
			b.c.gone()
		}
	}
	return n, err
}

// Ready reports whether all that is left of the body can be read without waiting,
// because the client sent it with the head.
func (b *body) Ready() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state == bodyCounted && b.left <= int64(b.c.w-b.c.r) && !b.c.request.expects &&
		!b.over && !b.closed && b.err == nil
}

// Close makes further reads fail. The rest of the body is the server's.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

func isRefusal(err error) bool {
	var r *Refusal
	return errors.As(err, &r)
}

// read returns io.EOF with the last bytes, if it knows by then that they are.
func (b *body) read(p []byte) (int, error) {
	for {
		switch b.state {
		case bodyEnded:
			return 0, io.EOF
		case bodyCounted, chunkData:
			n, err := b.c.readInto(p[:min(int64(len(p)), b.left)])
			b.left -= int64(n)
			if b.left == 0 {
				if b.state == bodyCounted {
					b.end()
					return n, io.EOF
				}
				b.state = chunkEnd
				// What is there already may tell that this was the last chunk.
				if err == nil && b.skipBuffered() {
					return n, io.EOF
				}
			}
			if n > 0 || err != nil {
				return n, noEOF(err)
			}
		default:
			if err := b.frame(); err == errMore {
				if err := b.c.fill(); err != nil {
					return 0, noEOF(err)
				}
			} else if err != nil {
				return 0, err
			}
		}
	}
}

// skipBuffered reads framing that is in the buffer and reports whether the
// body has ended. An error is kept for the next Read.
func (b *body) skipBuffered() bool {
	for b.state != bodyEnded && b.state != chunkData {
		switch err := b.frame(); err {
		case nil:
		case errMore:
			return false
		default:
			b.err = err
			return false
		}
	}
	return b.state == bodyEnded
}

func (b *body) end() {
	b.state = bodyEnded
	b.c.bodyEnded()
}

// noEOF makes of the connection's end what it is before the body's.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// errMore means that a line is not whole yet.
var errMore = errors.New("more must be read")

// frame takes one line of the chunked coding out of the buffer (RFC 9112, 7.1).
func (b *body) frame() error {
	switch b.state {
	case chunkSize:
		line, err := b.c.line(maxChunkLine, errChunkLine)
		if err != nil {
			return err
		}
		n, ok := parseChunkSize(line)
		if !ok {
			return errChunkSize
		}
		b.left, b.state = n, chunkData
		if n == 0 {
			b.state = chunkTrailer
		}
	case chunkEnd:
		line, err := b.c.line(0, errChunkEnd)
		if err != nil {
			return err
		}
		if len(line) > 0 {
			return errChunkEnd
		}
		b.state = chunkSize
	case chunkTrailer:
		line, err := b.c.line(maxTrailers-b.trailers, errTrailerLen)
		if err != nil {
			return err
		}
		if len(line) == 0 {
			b.end()
			return nil
		}
		b.trailers += len(line) + 2
		colon := bytes.IndexByte(line, ':')
		if colon < 1 || !canonicalise(line[:colon]) || !isFieldValue(line[colon+1:]) {
			return errTrailer
		}
	}
	return nil
}

// parseChunkSize reads a chunk's size in hexadecimal; extensions are ignored.
func parseChunkSize(line []byte) (n int64, ok bool) {
	digits := line
	if i := bytes.IndexByte(line, ';'); i >= 0 {
		digits = line[:i]
		if !isFieldValue(line[i:]) {
			return 0, false
		}
	}
	if len(digits) == 0 || len(digits) > maxSizeDigits {
		return 0, false
	}
	for _, b := range digits {
		switch {
		case '0' <= b && b <= '9':
			n = n<<4 | int64(b-'0')
		case 'a' <= b && b <= 'f':
			n = n<<4 | int64(b-'a'+10)
		case 'A' <= b && b <= 'F':
			n = n<<4 | int64(b-'A'+10)
		default:
			return 0, false
		}
	}
	return n, true
}

// beyondDraining reports whether more remains than would be read for nothing.
// The caller holds mu.
func (b *body) beyondDraining() bool {
	return b.err != nil || b.state == bodyCounted && b.left > drainLimit
}

// drain reads the rest and reports whether it got to the end. The caller holds
// mu, and bounds the time.
func (b *body) drain() bool {
	scratch := b.c.response.scratch()
	for room := drainLimit; room > 0; {
		n, err := b.read(scratch[:min(room, len(scratch))])
		if err == io.EOF {
			return true
		}
		if err != nil {
			return false
		}
		room -= n
	}
	return false
}
