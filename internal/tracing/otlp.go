package tracing

import (
	"cmp"
	"strconv"
)

// The types are those of OTLP's trace.proto as JSON, as far as they are used:
// ids are hexadecimal and 64-bit numbers are strings.
type (
	otlpRequest struct {
		ResourceSpans []otlpResourceSpans `json:"resourceSpans"`
	}
	otlpResourceSpans struct {
		Resource   otlpResource     `json:"resource"`
		ScopeSpans []otlpScopeSpans `json:"scopeSpans"`
	}
	otlpResource struct {
		Attributes []otlpAttribute `json:"attributes"`
	}
	otlpScopeSpans struct {
		Scope otlpScope  `json:"scope"`
		Spans []otlpSpan `json:"spans"`
	}
	otlpScope struct {
		Name    string `json:"name"`
		Version string `json:"version,omitempty"`
	}
	otlpSpan struct {
		TraceID    string          `json:"traceId"`
		SpanID     string          `json:"spanId"`
		Parent     string          `json:"parentSpanId,omitempty"`
		Name       string          `json:"name"`
		Kind       int             `json:"kind"`
		Start      string          `json:"startTimeUnixNano"`
		End        string          `json:"endTimeUnixNano"`
		Attributes []otlpAttribute `json:"attributes"`
		Status     otlpStatus      `json:"status"`
	}
	otlpStatus struct {
		Code    int    `json:"code,omitempty"`
		Message string `json:"message,omitempty"`
	}
	otlpAttribute struct {
		Key   string    `json:"key"`
		Value otlpValue `json:"value"`
	}
	otlpValue struct {
		String string `json:"stringValue,omitempty"`
		Int    string `json:"intValue,omitempty"`
	}
)

// The numbers of trace.proto.
const (
	kindServer  = 2
	statusError = 2
)

func (x *exporter) request(batch []*span) otlpRequest {
	var about []otlpAttribute
	for _, name := range sorted(x.settings.Resource) {
		about = text(about, name, x.settings.Resource[name])
	}
	spans := make([]otlpSpan, len(batch))
	for i, s := range batch {
		spans[i] = s.otlp()
	}
	return otlpRequest{[]otlpResourceSpans{{
		Resource:   otlpResource{about},
		ScopeSpans: []otlpScopeSpans{{Scope: otlpScope{"selvedge", x.version}, Spans: spans}},
	}}}
}

// otlp names attributes by OpenTelemetry's conventions for HTTP servers and for
// functions. A 4xx is no error of the server's.
func (s *span) otlp() otlpSpan {
	o := otlpSpan{
		TraceID: s.trace, SpanID: s.id, Parent: s.parent, Name: s.method + " /" + s.slug, Kind: kindServer,
		Start: strconv.FormatInt(s.began.UnixNano(), 10), End: strconv.FormatInt(s.ended.UnixNano(), 10),
	}
	a := text(nil, "http.request.method", s.method)
	a = text(a, "http.route", "/"+s.slug)
	a = text(a, "url.path", s.path)
	a = text(a, "url.scheme", s.scheme)
	if s.status != 0 {
		a = append(a, otlpAttribute{"http.response.status_code", otlpValue{Int: strconv.Itoa(s.status)}})
	}
	a = text(a, "faas.name", s.slug)
	a = text(a, "faas.instance", s.executionID)
	a = text(a, "selvedge.request_id", s.requestID)
	switch {
	case s.status >= 500:
		o.Status.Code = statusError
		a = text(a, "error.type", cmp.Or(s.code, strconv.Itoa(s.status)))
	case s.failure != "":
		o.Status = otlpStatus{statusError, s.failure}
		a = text(a, "error.type", "_OTHER")
	}
	o.Attributes = a
	return o
}

func text(to []otlpAttribute, key, value string) []otlpAttribute {
	if value == "" {
		return to
	}
	return append(to, otlpAttribute{key, otlpValue{String: value}})
}
