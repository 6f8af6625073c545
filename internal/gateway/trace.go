package gateway

import "net/http"

// A TraceParent is what a caller says of the trace that its request belongs to
// (W3C Trace Context, 3.2).
type TraceParent struct {
	TraceID, SpanID string // in lower-case hexadecimal
	Sampled         bool
}

// ParseTraceParent reads a request's traceparent; ok is false where there is
// no valid one. Without tracing the header is the function's alone: the gateway
// passes it on as it is, as it does tracestate and baggage, and neither begins
// a trace nor repairs one.
func ParseTraceParent(h http.Header) (p TraceParent, ok bool) {
	sent := h["Traceparent"]
	if len(sent) != 1 {
		return p, false // with several, nobody can tell which one holds
	}
	// version-traceid-parentid-flags; later versions may append to it.
	const length = 2 + 1 + 32 + 1 + 16 + 1 + 2
	v := sent[0]
	if len(v) < length || v[2] != '-' || v[35] != '-' || v[52] != '-' {
		return p, false
	}
	version, trace, parent, flags := v[:2], v[3:35], v[36:52], v[53:55]
	switch {
	case !lowerHex(version), !lowerHex(trace), !lowerHex(parent), !lowerHex(flags):
		return p, false
	case version == "ff", zeros(trace), zeros(parent):
		return p, false
	case len(v) > length && (version == "00" || v[length] != '-'):
		return p, false
	}
	return TraceParent{TraceID: trace, SpanID: parent, Sampled: sampled(flags[1])}, true
}

// traceID is the trace that a request belongs to, "" for none.
func traceID(h http.Header) string {
	p, _ := ParseTraceParent(h)
	return p.TraceID
}

// sampled looks at the lowest bit of the flags' last digit.
func sampled(digit byte) bool {
	if digit >= 'a' {
		digit -= 'a' - 10
	}
	return digit&1 == 1
}

func lowerHex(s string) bool {
	for i := range len(s) {
		if b := s[i]; (b < '0' || b > '9') && (b < 'a' || b > 'f') {
			return false
		}
	}
	return true
}

func zeros(s string) bool {
	for i := range len(s) {
		if s[i] != '0' {
			return false
		}
	}
	return true
}
