// Package tracing makes requests known to an OpenTelemetry collector: one span
// for each, by OTLP over HTTP in its JSON form (OTLP specification 1.5, "JSON
// Protobuf Encoding"). The span's context goes on to the function, so that
// what it calls, and what it records itself, belongs to the same trace.
package tracing

import (
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/selvedge-dev/selvedge/internal/gateway"
)

// A Tracer records spans and sends them in the background.
type Tracer struct {
	settings Settings
	exporter *exporter
}

// A span is one request.
type span struct {
	trace, id, parent string // in hexadecimal; parent is "" for the first of a trace
	began, ended      time.Time
	method, slug      string
	path, scheme      string
	status            int
	requestID         string
	executionID       string
	code, failure     string
}

// Middleware records the requests for functions. A nil Tracer has none.
func (t *Tracer) Middleware() gateway.Middleware {
	if t == nil {
		return nil
	}
	return func(next gateway.Handler) gateway.Handler {
		return func(w http.ResponseWriter, r *http.Request, c *gateway.Call) {
			caller, known := gateway.ParseTraceParent(r.Header)
			if !known {
				caller = gateway.TraceParent{TraceID: randomHex(2)}
				delete(r.Header, "Tracestate") // of no trace, or of a broken one
			}
			sampled := t.settings.sample(caller, known)
			id := randomHex(1)
			flags := "-00"
			if sampled {
				flags = "-01"
			}
			r.Header["Traceparent"] = []string{"00-" + caller.TraceID + "-" + id + flags}
			if !sampled {
				next(w, r, c)
				return
			}
			path, _, _ := strings.Cut(r.RequestURI, "?")
			s := &span{
				trace: strings.Clone(caller.TraceID), id: id, parent: strings.Clone(caller.SpanID), began: c.Start,
				// They are parts of the whole head, which is not to be kept.
				method: strings.Clone(r.Method), slug: strings.Clone(c.Route.Slug), path: strings.Clone(path), scheme: "http",
				failure: "the gateway panicked",
			}
			if r.TLS != nil {
				s.scheme = "https"
			}
			defer func() {
				s.ended = time.Now()
				t.exporter.add(s)
			}()
			next(w, r, c)
			s.status, s.requestID, s.executionID = c.Status, c.RequestID, c.ExecutionID
			s.code, s.failure = string(c.Code), ""
			if c.Err != nil && s.code == "" {
				s.failure = c.Err.Error()
			}
		}
	}
}

// Close sends what has not been sent, for a few seconds at most, and returns
// when nothing of the tracer is running. A nil Tracer has nothing to close.
func (t *Tracer) Close() {
	if t != nil {
		t.exporter.close()
	}
}

// randomHex returns words of 64 random bits, of which one at least is set. Ids
// need not be unguessable, only different (W3C Trace Context, 2.2.5).
func randomHex(words int) string {
	var b [16]byte
	for i := range words {
		v := rand.Uint64() | 1
		for j := range 8 {
			b[8*i+j] = byte(v >> (56 - 8*j))
		}
	}
	return hex.EncodeToString(b[:8*words])
}
