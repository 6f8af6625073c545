package gateway

import "net/http"

// traceID returns the trace id of a request's traceparent, "" where there is
// no valid one (W3C Trace Context, 3.2). The header itself is the function's:
// the gateway is no part of a trace, so it passes traceparent, tracestate and
// baggage on as they are, and neither begins a trace nor repairs one.
func traceID(h http.Header) string {
	sent := h["Traceparent"]
	if len(sent) != 1 {
		return "" // with several, nobody can tell which one holds
	}
	// version-traceid-parentid-flags; later versions may append to it.
	const length = 2 + 1 + 32 + 1 + 16 + 1 + 2
	v := sent[0]
	if len(v) < length || v[2] != '-' || v[35] != '-' || v[52] != '-' {
		return ""
	}
	version, trace, parent, flags := v[:2], v[3:35], v[36:52], v[53:55]
	switch {
	case !lowerHex(version), !lowerHex(trace), !lowerHex(parent), !lowerHex(flags):
		return ""
	case version == "ff", zeros(trace), zeros(parent):
		return ""
	case len(v) > length && (version == "00" || v[length] != '-'):
		return ""
	}
	return trace
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
