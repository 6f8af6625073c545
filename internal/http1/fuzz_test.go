package http1

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A memConn is a connection whose client has sent all it ever will.
type memConn struct {
	in   *bytes.Reader
	out  bytes.Buffer
	step int // bytes that a Read returns at most, 0 for any
}

func (m *memConn) Read(p []byte) (int, error) {
	if m.step > 0 {
		p = p[:min(m.step, len(p))]
	}
	return m.in.Read(p)
}
func (m *memConn) Write(p []byte) (int, error)      { return m.out.Write(p) }
func (m *memConn) Close() error                     { return nil }
func (m *memConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (m *memConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (m *memConn) SetDeadline(time.Time) error      { return nil }
func (m *memConn) SetReadDeadline(time.Time) error  { return nil }
func (m *memConn) SetWriteDeadline(time.Time) error { return nil }

// FuzzReadRequest gives a whole connection to the server and to net/http's
// parser. The server may refuse more; what it accepts, and where it sees one
// request end and the next begin, must be the same.
func FuzzReadRequest(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nHost: y\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nA: b\r\n\r\nGET /b HTTP/1.1\r\nHost: y\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
		"GET http://x/%2F?a HTTP/1.0\r\nConnection: keep-alive\r\nA: b\r\n c\r\n\r\n",
		"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"PRI * HTTP/2.0\r\n\n", "PRI * HTTP/2.0\r\nA : b\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na",
	} {
		f.Add([]byte(s), uint8(0))
		f.Add([]byte(s), uint8(1))
	}
	f.Fuzz(func(t *testing.T, raw []byte, step uint8) {
		reference := bufio.NewReader(bytes.NewReader(raw))
		s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			want, err := http.ReadRequest(reference)
			if err != nil {
				t.Fatalf("net/http refuses %q: %v", raw, err)
			}
			if err := sameRequest(r, want); err != nil {
				t.Fatalf("%q: %v", raw, err)
			}
			body, err := io.ReadAll(r.Body)
			wantBody, wantErr := io.ReadAll(want.Body)
			if err != nil {
				return // the connection ends
			}
			if wantErr != nil || !bytes.Equal(body, wantBody) {
				t.Fatalf("%q: body %q, net/http has %q, %v", raw, body, wantBody, wantErr)
			}
		})}
		s.Preface = func(_ net.Conn, read []byte) {
			if !bytes.HasPrefix(raw, read) || !bytes.HasPrefix(read, preface) {
				t.Fatalf("%q: hands %q over", raw, read)
			}
		}
		nc := &memConn{in: bytes.NewReader(raw), step: int(step)}
		newConn(s, nc, context.Background()).serve()
		checkAnswers(t, nc.out.Bytes())
	})
}

// checkAnswers fails the test unless the output is whole answers.
func checkAnswers(t *testing.T, out []byte) {
	t.Helper()
	r := bufio.NewReader(bytes.NewReader(out))
	for {
		if _, err := r.Peek(1); err == io.EOF {
			return
		}
		res, err := http.ReadResponse(r, &http.Request{Method: "HEAD"}) // the handlers write nothing
		if err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		if n := res.ContentLength; n > 0 { // a refusal
			io.CopyN(io.Discard, r, n)
		}
	}
}

// FuzzChunked checks that a chunked body which the server accepts is what
// net/http makes of it, and that any body survives being cut into chunks.
func FuzzChunked(f *testing.F) {
	for _, s := range []string{
		"0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n", "3;x=\"y\"\r\nabc\r\n00\r\nA: b\r\nC: d\r\n\r\n", "3\nabc\n0\n\n", "3\r\nabcd\r\n0\r\n\r\n",
		"ffffffffffffffff\r\n", "-3\r\nabc\r\n0\r\n\r\n", "0x3\r\nabc\r\n0\r\n\r\n", "3 \r\nabc\r\n0\r\n\r\n", "A\r\n0123456789\r\n0\r\n: x\r\n\r\n",
	} {
		f.Add([]byte(s), uint8(0), uint8(3))
		f.Add([]byte(s), uint8(1), uint8(1))
	}
	const head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
	f.Fuzz(func(t *testing.T, raw []byte, step, size uint8) {
		if got, err := readChunked(head+string(raw), int(step), int(size)+1); err == nil {
			want, rest, err := reference(head + string(raw))
			if err != nil {
				t.Fatalf("net/http refuses %q: %v", raw, err)
			}
			if got.body != want || got.rest != rest {
				t.Fatalf("%q: got %+v, net/http has %q and %q after it", raw, got, want, rest)
			}
		}
		var chunked strings.Builder
		for p := raw; len(p) > 0; {
			n := min(len(p), int(size)+1)
			fmt.Fprintf(&chunked, "%x\r\n%s\r\n", n, p[:n])
			p = p[n:]
		}
		chunked.WriteString("0\r\n\r\nrest")
		got, err := readChunked(head+chunked.String(), int(step), int(size)+1)
		if err != nil || got.body != string(raw) || got.rest != "rest" {
			t.Fatalf("%q in chunks: got %+v, %v", raw, got, err)
		}
	})
}

type bodyAndRest struct{ body, rest string }

// readChunked reads a request's body by reads of a size, and what follows it.
func readChunked(raw string, step, size int) (got bodyAndRest, err error) {
	nc := &memConn{in: bytes.NewReader([]byte(raw)), step: step}
	s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var b strings.Builder
		for p := make([]byte, size); err == nil; {
			var n int
			n, err = r.Body.Read(p)
			b.Write(p[:n])
		}
		got.body = b.String()
		if err != io.EOF {
			return
		}
		err = nil
		c, rw, _ := w.(http.Hijacker).Hijack()
		rest, _ := io.ReadAll(rw)
		got.rest = string(rest)
		c.Close()
	})}
	newConn(s, nc, context.Background()).serve()
	return got, err
}

func reference(raw string) (body, rest string, err error) {
	r := bufio.NewReader(strings.NewReader(raw))
	req, err := http.ReadRequest(r)
	if err != nil {
		return "", "", err
	}
	b, err := io.ReadAll(req.Body)
	if err != nil {
		return "", "", err
	}
	after, err := io.ReadAll(r)
	return string(b), string(after), err
}
