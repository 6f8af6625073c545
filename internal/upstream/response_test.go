package upstream

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

// readAll reads one answer and its body from src.
func readAll(src io.Reader, toHEAD bool) (a answer, content []byte, rest []byte, err error) {
	var rd reader
	rd.reset(src)
	if err := readAnswer(&rd, &a); err != nil {
		return a, nil, nil, err
	}
	b := bodyOf(&rd, &a, toHEAD)
	for {
		p, err := b.next()
		switch {
		case err == nil:
			content = append(content, p...)
			continue
		case err == errMore:
			if err = rd.more(); err != nil {
				err = b.endedBy(err)
			}
		}
		if err == io.EOF {
			return a, content, rd.buf[rd.r:rd.w], nil
		}
		if err != nil {
			return a, content, nil, err
		}
	}
}

func TestReadAnswer(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for _, tc := range []struct{ name, in, body string }{
		{"counted", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc"},
		{"no reason", "HTTP/1.1 200\r\ncontent-length:3\r\n\r\nabc", "abc"},
		{"empty reason", "HTTP/1.1 200 \r\ncontent-length: 3 \t\r\n\r\nabc", "abc"},
		{"chunked", "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n3\r\nabc\r\nA;x=\"y\"\r\n0123456789\r\n0\r\n\r\n", "abc0123456789"},
		{"chunk extension after a blank", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3 ;x\r\nabc\r\n0\r\n\r\n", "abc"},
		{"leading zeros", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n00003\r\nabc\r\n000\r\n\r\n", "abc"},
		{"trailers", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\na: 1\r\nb: 2\r\n\r\n", ""},
		{"to the end", "HTTP/1.0 200 OK\r\n\r\nabc", "abc"},
		{"long head", "HTTP/1.1 200 OK\r\na: " + long + "\r\ncontent-length: 3\r\n\r\nabc", "abc"},
		{"long body", "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + long, long},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for name, src := range map[string]io.Reader{
				"at once":     strings.NewReader(tc.in),
				"byte a time": iotest.OneByteReader(strings.NewReader(tc.in)),
			} {
				a, body, rest, err := readAll(src, false)
				if err != nil || string(body) != tc.body || len(rest) != 0 || a.status != 200 {
					t.Errorf("%s: status %d, %d bytes, rest %q, %v", name, a.status, len(body), rest, err)
				}
			}
		})
	}
}

func TestReadAnswerRefuses(t *testing.T) {
	const chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
	for name, in := range map[string]string{
		"not HTTP":               "SSH-2.0-OpenSSH\r\n\r\n",
		"HTTP/2":                 "HTTP/2.0 200 OK\r\n\r\n",
		"HTTP/1.2":               "HTTP/1.2 200 OK\r\n\r\n",
		"two digits":             "HTTP/1.1 20 OK\r\n\r\n",
		"four digits":            "HTTP/1.1 2000 OK\r\n\r\n",
		"status 099":             "HTTP/1.1 099 OK\r\n\r\n",
		"bare LF":                "HTTP/1.1 200 OK\na: b\r\n\r\n",
		"bare LF in headers":     "HTTP/1.1 200 OK\r\na: b\nc: d\r\n\r\n",
		"bare CR":                "HTTP/1.1 200 OK\r\na: b\rc\r\n\r\n",
		"NUL":                    "HTTP/1.1 200 OK\r\na: b\x00\r\n\r\n",
		"folded":                 "HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n",
		"no name":                "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
		"no colon":               "HTTP/1.1 200 OK\r\nab\r\n\r\n",
		"blank before the colon": "HTTP/1.1 200 OK\r\na : b\r\n\r\n",
		"two lengths":            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na",
		"list of lengths":        "HTTP/1.1 200 OK\r\ncontent-length: 1, 1\r\n\r\na",
		"signed length":          "HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\na",
		"no length":              "HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\na",
		"huge length":            "HTTP/1.1 200 OK\r\ncontent-length: 9223372036854775808\r\n\r\na",
		"length and chunked":     "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
		"gzip, chunked":          "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"chunked twice":          "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
		"chunked in HTTP/1.0":    "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
		"endless head":           "HTTP/1.1 200 OK\r\na: " + strings.Repeat("x", maxHead),
		"head too long":          "HTTP/1.1 200 OK\r\na: " + strings.Repeat("x", maxHead) + "\r\n\r\n",
		"no chunk size":          chunked + "\r\n",
		"size not hexadecimal":   chunked + "g\r\n",
		"signed size":            chunked + "-1\r\n",
		"prefixed size":          chunked + "0x1\r\na\r\n",
		"size and blank":         chunked + "1 \r\na\r\n0\r\n\r\n",
		"huge size":              chunked + "8000000000000000\r\n",
		"bare LF after size":     chunked + "1\na\r\n0\r\n\r\n",
		"bare LF after data":     chunked + "1\r\na\n0\r\n\r\n",
		"chunk too long":         chunked + "1\r\nab\r\n0\r\n\r\n",
		"endless size line":      chunked + "1;" + strings.Repeat("x", 2*maxChunkLine),
		"endless trailers":       chunked + "0\r\n" + strings.Repeat("a: b\r\n", maxHead/6+1),
		"bad trailer":            chunked + "0\r\nab\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			if a, _, _, err := readAll(strings.NewReader(in), false); !errors.Is(err, ErrMalformedAnswer) {
				t.Errorf("got status %d, %v", a.status, err)
			}
		})
	}
}

func TestReadAnswerCutShort(t *testing.T) {
	for _, in := range []string{
		"", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab",
		"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nab",
		"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
	} {
		if _, _, _, err := readAll(strings.NewReader(in), false); err == nil || errors.Is(err, ErrMalformedAnswer) {
			t.Errorf("%q: got %v", in, err)
		}
	}
}

// FuzzReadResponse checks that no answer makes the parser panic, that how the
// bytes arrive makes no difference, and that net/http, which tolerates more,
// reads the same in what is accepted.
func FuzzReadResponse(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nt: 1\r\n\r\n",
		"HTTP/1.0 204\r\nset-cookie: a\r\nset-cookie: b\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nxyz",
		"HTTP/1.1 200 OK\r\n\r\nto the end",
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, in []byte, toHEAD bool) {
		a, body, rest, err := readAll(bytes.NewReader(in), toHEAD)
		if len(in) < 4<<10 {
			a2, body2, _, err2 := readAll(iotest.OneByteReader(bytes.NewReader(in)), toHEAD)
			if (err == nil) != (err2 == nil) || err == nil && (a.status != a2.status || !bytes.Equal(body, body2)) {
				t.Fatalf("at once %d %q %v, byte by byte %d %q %v", a.status, body, err, a2.status, body2, err2)
			}
		}
		if err != nil {
			return
		}
		if len(body)+len(rest) > len(in) {
			t.Fatalf("%d bytes in, %d out", len(in), len(body)+len(rest))
		}
		for _, field := range a.fields {
			if field.name != http.CanonicalHeaderKey(field.name) || strings.ContainsAny(field.value, "\r\n\x00") {
				t.Fatalf("header %q: %q", field.name, field.value)
			}
		}
		method := "GET"
		if toHEAD {
			method = "HEAD"
		}
		res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(in)), &http.Request{Method: method})
		if err != nil {
			// net/http wants valid trailers and bounds chunk overhead.
			return
		}
		theirs, err := io.ReadAll(res.Body)
		if err != nil {
			return
		}
		if res.StatusCode != a.status || !bytes.Equal(theirs, body) {
			t.Fatalf("got %d %q, net/http reads %d %q", a.status, body, res.StatusCode, theirs)
		}
	})
}
