package upstream

import (
	"bytes"
	"errors"
	"io"
	"math"

	"github.com/selvedge-dev/selvedge/internal/fieldtext"
)

// errMore means that a body's next piece has not been read from the worker
// yet: call reader.more and ask again.
var errMore = errors.New("more of the body must be read")

// A body takes an answer's body out of a reader piece by piece, in place.
type body struct {
	rd    *reader
	state bodyState
	// left is what remains of the body, or of the chunk, in bytes.
	left int64
	// trailers counts the bytes of the trailers, which are dropped.
	trailers int
}

type bodyState uint8

const (
	bodyEnded      bodyState = iota
	bodyCounted              // left bytes remain
	bodyToEOF                // the end of the connection ends it
	chunkSize                // a chunk's size line is next
	chunkData                // left bytes of the chunk remain
	chunkEnd                 // the line end after a chunk's data is next
	chunkedTrailer           // a trailer line, or the last empty line, is next
)

// bodyOf returns the body that follows the head a (RFC 9112, 6.3).
func bodyOf(rd *reader, a *answer, toHEAD bool) body {
	b := body{rd: rd}
	switch {
	case toHEAD, a.status < 200, a.status == 204, a.status == 304, a.length == 0:
		b.state = bodyEnded
	case a.chunked:
		b.state = chunkSize
	case a.length > 0:
		b.state, b.left = bodyCounted, a.length
	default:
		b.state = bodyToEOF
	}
	return b
}

// next returns the next piece that has been read, valid until reader.more;
// errMore when nothing has; io.EOF when the body has ended.
func (b *body) next() ([]byte, error) {
	for {
		switch b.state {
		case bodyEnded:
			return nil, io.EOF
		case bodyToEOF:
			b.left = math.MaxInt64
			return b.piece()
		case bodyCounted:
			if b.left == 0 {
				b.state = bodyEnded
				continue
			}
			return b.piece()
		case chunkData:
			if b.left == 0 {
				b.state = chunkEnd
				continue
			}
			return b.piece()
		case chunkSize:
			line, err := b.line(maxChunkLine)
			if err != nil {
				return nil, err
			}
			if b.left, err = parseChunkSize(line); err != nil {
				return nil, err
			}
			b.state = chunkData
			if b.left == 0 {
				b.state = chunkedTrailer
			}
		case chunkEnd:
			line, err := b.line(0)
			if err != nil {
				return nil, err
			}
			if len(line) != 0 {
				return nil, malformed("a chunk is longer than its size")
			}
			b.state = chunkSize
		case chunkedTrailer:
			line, err := b.line(maxHead - b.trailers)
			if err != nil {
				return nil, err
			}
			if len(line) == 0 {
				b.state = bodyEnded
				continue
			}
			if b.trailers += len(line) + 2; bytes.IndexByte(line, ':') < 1 {
				return nil, malformed("a trailer line has no name")
			}
		}
	}
}

// endedBy says what the end of the connection means here: io.EOF when it ends
// the body, an error when the body is incomplete.
func (b *body) endedBy(err error) error {
	if b.state == bodyToEOF && err == io.EOF {
		b.state = bodyEnded
		return io.EOF
	}
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// piece takes what has been read, up to left bytes.
func (b *body) piece() ([]byte, error) {
	rd := b.rd
	n := int(min(int64(rd.w-rd.r), b.left))
	if n == 0 {
		return nil, errMore
	}
	p := rd.buf[rd.r : rd.r+n]
	rd.r += n
	b.left -= int64(n)
	return p, nil
}

// line takes a whole line of at most limit bytes and returns it without its
// end, which must be CR LF.
func (b *body) line(limit int) ([]byte, error) {
	rd := b.rd
	unused := rd.buf[rd.r:rd.w]
	i := bytes.IndexByte(unused, '\n')
	if i > limit+1 || (i < 0 && len(unused) > limit+1) {
		return nil, malformed("a line of its chunked body is too long")
	}
	if i < 0 {
		return nil, errMore
	}
	if i == 0 || unused[i-1] != '\r' {
		return nil, malformed("a line of its chunked body ends in a bare line feed")
	}
	line := unused[:i-1]
	if bad := fieldtext.BadByte(line); bad >= 0 {
		return nil, malformed("byte 0x%02x in a line of its chunked body", line[bad])
	}
	rd.r += i + 1
	return line, nil
}

// parseChunkSize reads a chunk's size in hexadecimal; extensions are ignored.
func parseChunkSize(line []byte) (int64, error) {
	var n int64
	i := 0
	for ; i < len(line); i++ {
		d, ok := hexDigit(line[i])
		if !ok {
			break
		}
		if n > math.MaxInt64>>4 {
			return 0, malformed("a chunk is too large")
		}
		n = n<<4 | int64(d)
	}
	if i == 0 {
		return 0, malformed("a chunk has no size")
	}
	// Blanks before the semicolon are allowed to be read (RFC 9112, 7.1.1).
	if ext := bytes.TrimLeft(line[i:], " \t"); len(ext) > 0 && ext[0] != ';' {
		return 0, malformed("a chunk's size is not a number")
	} else if len(ext) == 0 && i < len(line) {
		return 0, malformed("a chunk's size is followed by blanks")
	}
	return n, nil
}

func hexDigit(b byte) (byte, bool) {
	switch {
	case '0' <= b && b <= '9':
		return b - '0', true
	case 'a' <= b && b <= 'f':
		return b - 'a' + 10, true
	case 'A' <= b && b <= 'F':
		return b - 'A' + 10, true
	}
	return 0, false
}
