package gateway

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// platformFields are those of a forwarded request that need not be the
// client's.
var platformFields = map[string]bool{
	"host": true, "sb-request-id": true, "x-forwarded-for": true, "x-forwarded-proto": true, "x-forwarded-host": true, "x-real-ip": true,
	"content-length": true, "transfer-encoding": true, "connection": true, "upgrade": true,
}

// FuzzHeaders sends arbitrary bytes over a connection and looks at both ends
// of the gateway: a worker gets no more requests than were accepted, each well
// formed and with no field that was not sent; a client gets answers, each with
// one id; and nothing panics.
func FuzzHeaders(f *testing.F) {
	for _, fields := range []string{
		"A: b", "Content-Length: 3\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "Connection: a, b\r\nA: 1\r\nB: 2",
		"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /hello/x HTTP/1.1\r\nHost: y",
		"Transfer-Encoding : chunked\r\n\r\n0", "A: b\r\n c", "A: b\nC: d", "A: b\rC: d", "A: \x00", "Host: y", "X-Forwarded-For: 1.2.3.4\r\nForwarded: for=x;host=y",
		"Connection: Upgrade\r\nUpgrade: websocket", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x", "Sb-Request-Id: 1\r\nsb-api-key: 2\r\nX-Real-Ip: 3",
		"Content-Length: 30\r\n\r\nGET /hello/x HTTP/1.1\r\nHost: y\r\n\r\nHEAD /hello HTTP/1.1\r\nHost: z", "Connection: close, sb-request-id\r\nTE: trailers\r\nTrailer: X",
	} {
		f.Add([]byte(fields), true)
	}
	for _, raw := range []string{
		"GET /hello?%0d%0a HTTP/1.0\r\n\r\n", "GET http://a/hello HTTP/1.1\r\nHost: b\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "GET /hello HTTP/1.1\nHost: x\n\n",
		"PRI * HTTP/2.0\r\n\n", "HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\nDELETE /functions/v1/hello HTTP/1.1\r\nHost: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "GET /health HTTP/1.1\r\nHost:\r\n\r\n",
	} {
		f.Add([]byte(raw), false)
	}
	f.Fuzz(func(t *testing.T, raw []byte, inRequest bool) {
		if inRequest {
			raw = append([]byte("POST /hello HTTP/1.1\r\nHost: x\r\n"), append(raw, "\r\n\r\n"...)...)
		}
		if bytes.Contains(bytes.ToLower(raw), []byte("100-continue")) {
			return // a worker that is silent about it is waited for
		}
		var rec *recorder
		var forwarded int
		// The last to run: the worker has stopped then.
		t.Cleanup(func() {
			close(rec.got)
			for d := range rec.got {
				forwarded--
				checkDelivery(t, raw, d)
			}
			if forwarded < 0 {
				t.Errorf("%q: the worker got %d requests more than were accepted", raw, -forwarded)
			}
		})
		var log bytes.Buffer
		s, r := startEdge(t, func(o *Options) {
			o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))
		})
		rec = r
		nc, answers := s.dial(string(raw))
		nc.(*net.TCPConn).CloseWrite()
		out, err := io.ReadAll(answers)
		if err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		s.shutdown(0)
		if log.Len() > 0 {
			t.Errorf("%q: the log says %s", raw, log.String()) // of panics, which it survives
		}
		close(s.records)
		var methods []string
		for record := range s.records {
			methods = append(methods, record.Method)
			if errors.Is(record.Err, errPanicked) {
				t.Errorf("%q: the gateway panicked", raw)
			}
			if record.ExecutionID != "" {
				forwarded++
			}
			if record.Retried {
				forwarded++
			}
		}
		if !bytes.HasPrefix(raw, []byte("PRI * HTTP/2.0\r\n")) {
			checkOutput(t, raw, out, methods)
		}
	})
}

// checkDelivery fails the test unless the request is made of what was sent.
func checkDelivery(t *testing.T, raw []byte, d delivery) {
	line, fields, _ := strings.Cut(d.head, "\r\n")
	method, target, _ := strings.Cut(strings.TrimSuffix(line, " HTTP/1.1"), " ")
	path := originForm(target)
	if !bytes.Contains(raw, []byte(method+" ")) || !strings.HasPrefix(path, "/hello") || !bytes.Contains(raw, []byte(path)) {
		t.Errorf("%q: the worker got %q", raw, line)
	}
	for field := range strings.SplitSeq(fields, "\r\n") {
		name, value, ok := strings.Cut(field, ":")
		if !ok || strings.ContainsAny(field, "\r\n\x00") {
			t.Errorf("%q: the worker got the line %q", raw, field)
		}
		if !platformFields[strings.ToLower(name)] && !wasSent(raw, name, strings.TrimSpace(value)) {
			t.Errorf("%q: nobody sent %q", raw, field)
		}
	}
	if d.err == nil && d.ContentLength > 0 && !bytes.Contains(raw, []byte(d.body)) {
		t.Errorf("%q: nobody sent the body %q", raw, d.body)
	}
}

func wasSent(raw []byte, name, value string) bool {
	for line := range bytes.SplitSeq(raw, []byte("\r\n")) {
		n, v, ok := strings.Cut(string(line), ":")
		if ok && strings.EqualFold(n, name) && strings.TrimSpace(v) == value {
			return true
		}
	}
	return false
}

// checkOutput fails the test unless the output is answers to requests of those
// methods, of which the last may be cut.
func checkOutput(t *testing.T, raw, out []byte, methods []string) {
	r := bufio.NewReader(bytes.NewReader(out))
	for _, method := range methods {
		if _, err := r.Peek(1); err != nil {
			return
		}
		res, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			t.Errorf("%q: %q is no answer: %v", raw, out, err)
			return
		}
		ids := res.Header["Sb-Request-Id"]
		if len(ids) != 1 || uuid.Validate(ids[0]) != nil {
			t.Errorf("%q: an answer has the ids %q", raw, ids)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return
		}
	}
	if rest, _ := io.ReadAll(r); len(rest) > 0 {
		t.Errorf("%q: %q is the answer to nothing", raw, rest)
	}
}
