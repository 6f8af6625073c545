package gateway

import (
	"net/http"
	"strings"
	"testing"
)

const (
	aTrace  = "0af7651916cd43dd8448eb211c80319c"
	aParent = "b7ad6b7169203331"
)

func TestTraceID(t *testing.T) {
	const good = "00-" + aTrace + "-" + aParent + "-01"
	for _, tc := range []struct {
		name  string
		sent  []string
		valid bool
	}{
		{"sampled", []string{good}, true},
		{"not sampled", []string{good[:53] + "00"}, true},
		{"unknown flags", []string{good[:53] + "fe"}, true},
		{"later version", []string{"01" + good[2:]}, true},
		{"later version with more", []string{"cc" + good[2:] + "-what-comes"}, true},
		{"none", nil, false},
		{"empty", []string{""}, false},
		{"two", []string{good, good}, false},
		{"list", []string{good + "," + good}, false},
		{"version 00 with more", []string{good + "-01"}, false},
		{"later version with more but no dash", []string{"01" + good[2:] + "x"}, false},
		{"version ff", []string{"ff" + good[2:]}, false},
		{"version in capitals", []string{"0A" + good[2:]}, false},
		{"zero trace", []string{"00-" + strings.Repeat("0", 32) + "-" + aParent + "-01"}, false},
		{"zero parent", []string{"00-" + aTrace + "-" + strings.Repeat("0", 16) + "-01"}, false},
		{"capitals", []string{strings.ToUpper(good)}, false},
		{"no hexadecimal trace", []string{"00-" + strings.Repeat("g", 32) + "-" + aParent + "-01"}, false},
		{"no hexadecimal flags", []string{good[:53] + "0x"}, false},
		{"other dashes", []string{strings.ReplaceAll(good, "-", "_")}, false},
		{"too short", []string{good[:54]}, false},
		{"spaces", []string{" " + good}, false},
	} {
		want := ""
		if tc.valid {
			want = aTrace
		}
		if got := traceID(http.Header{"Traceparent": tc.sent}); got != want {
			t.Errorf("%s: %q gives the trace %q, want %q", tc.name, tc.sent, got, want)
		}
	}
}

func FuzzTraceID(f *testing.F) {
	f.Add("00-" + aTrace + "-" + aParent + "-01")
	f.Add("01-" + aTrace + "-" + aParent + "-01-x")
	f.Fuzz(func(t *testing.T, sent string) {
		id := traceID(http.Header{"Traceparent": {sent}})
		if id != "" && (len(id) != 32 || !lowerHex(id) || zeros(id)) {
			t.Errorf("%q gives the trace %q", sent, id)
		}
	})
}

// TestTraceContextIsPassedOn: valid or not, the headers are the function's.
func TestTraceContextIsPassedOn(t *testing.T) {
	requests := make(chan *http.Request, 1)
	w := startWorker(t, "e", answering(func(r *http.Request) string {
		requests <- r
		return text(200, "ok")
	}))
	s := startSite(t, &fakePool{workers: []*fakeWorker{w}}, nil)
	const valid = "00-" + aTrace + "-" + aParent + "-01"
	for _, tc := range []struct {
		name    string
		headers map[string]string
		trace   string
	}{
		{"valid", map[string]string{"Traceparent": valid, "Tracestate": "a=1,b@c= 2", "Baggage": "user=1;p=%20 , k=v"}, aTrace},
		{"malformed", map[string]string{"Traceparent": "00-XYZ", "Tracestate": ",,", "Baggage": "="}, ""},
		{"a later version", map[string]string{"Traceparent": "0f" + valid[2:] + "-more"}, aTrace},
		{"state alone", map[string]string{"Tracestate": "a=1", "Baggage": "a=1"}, ""},
		{"none", nil, ""},
	} {
		var header []string
		for name, value := range tc.headers {
			header = append(header, name, value)
		}
		s.do("GET", "/hello", nil, header...)
		r := <-requests
		for _, name := range []string{"Traceparent", "Tracestate", "Baggage"} {
			if got, want := strings.Join(r.Header.Values(name), "|"), tc.headers[name]; got != want {
				t.Errorf("%s: the function saw %s %q, want %q", tc.name, name, got, want)
			}
		}
		if rec := s.record(); rec.TraceID != tc.trace {
			t.Errorf("%s: the record's trace is %q, want %q", tc.name, rec.TraceID, tc.trace)
		}
	}
	// Two are two for the function as well, and none for the log.
	nc, answer := s.dial("GET /hello HTTP/1.1\r\nHost: a\r\ntraceparent: " + valid + "\r\ntraceparent: " + valid + "\r\nConnection: close\r\n\r\n")
	defer nc.Close()
	if r := <-requests; len(r.Header.Values("Traceparent")) != 2 {
		t.Errorf("the function saw %q", r.Header.Values("Traceparent"))
	}
	if rec := s.record(); rec.TraceID != "" {
		t.Errorf("the record's trace is %q", rec.TraceID)
	}
	answer.WriteTo(&strings.Builder{})
}
