package upstream

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"

	"github.com/selvedge-dev/selvedge/internal/fieldtext"
)

const (
	// maxHead bounds an answer's head, in bytes, and all of its trailers.
	maxHead = 256 << 10
	// maxChunkLine bounds a chunk's size line with its extensions, in bytes.
	maxChunkLine = 4 << 10
	// readBuffer is the size of the buffer that answers are read into, bytes.
	readBuffer = 32 << 10
)

// A reader holds what has been read of the worker's answer and not used yet.
type reader struct {
	src  io.Reader
	buf  []byte
	r, w int // buf[r:w] is unused
}

// reset makes rd ready for an answer from src. A buffer that a long head made
// grow is dropped, so that one such answer does not pin its size for ever.
func (rd *reader) reset(src io.Reader) {
	if rd.buf == nil || len(rd.buf) > readBuffer {
		rd.buf = readBuffers.Get().(*[readBuffer]byte)[:]
	}
	rd.src, rd.r, rd.w = src, 0, 0
}

// readBuffers are those that exchanges have given up before their end.
var readBuffers = sync.Pool{New: func() any { return new([readBuffer]byte) }}

// giveUp gives the buffer back; nothing is read into rd from here on.
func (rd *reader) giveUp() {
	if len(rd.buf) == readBuffer {
		readBuffers.Put((*[readBuffer]byte)(rd.buf))
	}
	rd.buf, rd.r, rd.w = nil, 0, 0
}

// more reads once from the source. What is unused stays, possibly moved; if it
// fills the buffer, the buffer grows.
func (rd *reader) more() error {
	switch {
	case rd.r == rd.w:
		rd.r, rd.w = 0, 0
	case rd.w < len(rd.buf):
	case rd.r > 0:
		rd.w = copy(rd.buf, rd.buf[rd.r:rd.w])
		rd.r = 0
	default:
		grown := make([]byte, 2*len(rd.buf))
		rd.w = copy(grown, rd.buf[:rd.w])
		rd.buf = grown
	}
	n, err := rd.src.Read(rd.buf[rd.w:])
	rd.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// head reads to the end of an answer's head and returns it with its final
// empty line. The bytes are valid until the next call of more.
func (rd *reader) head() ([]byte, error) {
	seen := 0
	for {
		unused := rd.buf[rd.r:rd.w]
		if i := bytes.Index(unused[seen:], []byte("\r\n\r\n")); i >= 0 {
			n := seen + i + 4
			if n > maxHead {
				return nil, malformed("its head is longer than %d bytes", maxHead)
			}
			rd.r += n
			return unused[:n], nil
		}
		if len(unused) >= maxHead {
			return nil, malformed("its head is longer than %d bytes", maxHead)
		}
		// The four bytes may straddle two reads.
		seen = max(0, len(unused)-3)
		if err := rd.more(); err != nil {
			return nil, err
		}
	}
}

// A field is one header line, its name in canonical form.
type field struct{ name, value string }

// An answer is a parsed head and how its body is framed.
type answer struct {
	status int
	fields []field
	// length is the Content-Length, -1 for none.
	length  int64
	chunked bool
	// keepAlive means that the connection outlives the answer.
	keepAlive bool
	// drops holds the values of the Connection header, whose names are
	// hop-by-hop.
	drops []string
}

// readAnswer reads and parses the next head into a, reusing its slices.
func readAnswer(rd *reader, a *answer) error {
	head, err := rd.head()
	if err != nil {
		return err
	}
	return a.parse(head)
}

// parse reads a head that ends in an empty line. It canonicalises names in
// place and then keeps one string of the whole head, of which every name and
// value is a part: two allocations however many headers there are.
func (a *answer) parse(head []byte) error {
	*a = answer{fields: a.fields[:0], drops: a.drops[:0], length: -1}
	if err := canonicalise(head); err != nil {
		return err
	}
	rest := string(head)
	line, rest, _ := strings.Cut(rest, "\r\n")
	minor, status, err := parseStatusLine(line)
	if err != nil {
		return err
	}
	a.status, a.keepAlive = status, minor == 1
	for {
		line, rest, _ = strings.Cut(rest, "\r\n")
		if line == "" {
			break
		}
		name, value, _ := strings.Cut(line, ":")
		f := field{name, fieldtext.TrimOWS(value)}
		if err := a.frame(f); err != nil {
			return err
		}
		a.fields = append(a.fields, f)
	}
	// Both together are how answers are smuggled (RFC 9112, 6.1).
	if a.chunked && a.length >= 0 {
		return malformed("it has both Content-Length and Transfer-Encoding")
	}
	if a.chunked && minor == 0 {
		return malformed("it is chunked in HTTP/1.0")
	}
	return nil
}

// frame takes note of a header that says how the answer is framed.
func (a *answer) frame(f field) error {
	switch f.name {
	case "Content-Length":
		n, err := parseLength(f.value)
		if err != nil {
			return err
		}
		if a.length >= 0 {
			return malformed("it has two Content-Length headers")
		}
		a.length = n
	case "Transfer-Encoding":
		if a.chunked || !strings.EqualFold(f.value, "chunked") {
			return malformed("its Transfer-Encoding is not one \"chunked\"")
		}
		a.chunked = true
	case "Connection":
		a.drops = append(a.drops, f.value)
		if fieldtext.HasToken(f.value, "close") {
			a.keepAlive = false
		}
	}
	return nil
}

// canonicalise checks every byte of a head and puts header names into the form
// of textproto.CanonicalMIMEHeaderKey.
func canonicalise(head []byte) error {
	// The status line: parseStatusLine looks at the rest of it.
	i := bytes.Index(head, []byte("\r\n"))
	if bad := fieldtext.BadByte(head[:i]); bad >= 0 {
		return malformed("byte 0x%02x in its status line", head[bad])
	}
	for i += 2; ; {
		line := head[i:]
		end := bytes.IndexByte(line, '\n')
		if end < 1 || line[end-1] != '\r' {
			return malformed("a header line ends in a bare line feed")
		}
		line = line[:end-1]
		if len(line) == 0 {
			return nil
		}
		colon := bytes.IndexByte(line, ':')
		if colon < 1 {
			return malformed("a header line has no name")
		}
		upper := true
		for j, b := range line[:colon] {
			switch {
			case !tokenBytes[b]:
				return malformed("byte 0x%02x in a header name", b)
			case upper && 'a' <= b && b <= 'z':
				line[j] = b - 'a' + 'A'
			case !upper && 'A' <= b && b <= 'Z':
				line[j] = b - 'A' + 'a'
			}
			upper = b == '-'
		}
		if bad := fieldtext.BadByte(line[colon+1:]); bad >= 0 {
			return malformed("byte 0x%02x in the header %s", line[colon+1+bad], line[:colon])
		}
		i += end + 1
	}
}

// parseStatusLine reads "HTTP/1.1 200 OK"; the reason may be missing.
func parseStatusLine(line string) (minor, status int, err error) {
	if len(line) < len("HTTP/1.1 200") || line[:7] != "HTTP/1." || line[8] != ' ' {
		return 0, 0, errStatusLine
	}
	switch line[7] {
	case '0', '1':
		minor = int(line[7] - '0')
	default:
		return 0, 0, errStatusLine
	}
	for _, b := range []byte(line[9:12]) {
		if b < '0' || b > '9' {
			return 0, 0, errStatusLine
		}
		status = 10*status + int(b-'0')
	}
	if status < 100 || (len(line) > 12 && line[12] != ' ') {
		return 0, 0, errStatusLine
	}
	return minor, status, nil
}

// parseLength reads a Content-Length: digits and nothing else.
func parseLength(s string) (int64, error) {
	if s == "" {
		return 0, malformed("its Content-Length is empty")
	}
	var n int64
	for _, b := range []byte(s) {
		if b < '0' || b > '9' {
			return 0, malformed("its Content-Length is not a number")
		}
		if n > (math.MaxInt64-9)/10 {
			return 0, malformed("its Content-Length is too large")
		}
		n = 10*n + int64(b-'0')
	}
	return n, nil
}

var errStatusLine = malformed("its status line is not one of HTTP/1")

// malformed returns an error of the kind ErrMalformedAnswer.
func malformed(format string, args ...any) error {
	return &malformedError{fmt.Sprintf(format, args...)}
}

type malformedError struct{ what string }

func (e *malformedError) Error() string        { return e.what }
func (e *malformedError) Is(target error) bool { return target == ErrMalformedAnswer }

func isMalformed(err error) bool { return errors.Is(err, ErrMalformedAnswer) }
