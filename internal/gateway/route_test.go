package gateway

import (
	"net/url"
	"strings"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/function"
)

func TestParseRoute(t *testing.T) {
	for _, tc := range []struct {
		target string
		want   Route
	}{
		{"/hello", Route{RouteFunction, "hello", "/hello"}},
		{"/hello/", Route{RouteFunction, "hello", "/hello/"}},
		{"/hello?a=/x//y?z", Route{RouteFunction, "hello", "/hello?a=/x//y?z"}},
		{"/functions/v1/hello", Route{RouteFunction, "hello", "/hello"}},
		{"/functions/v1/hello/a%2Fb//%41/../c?q=%20", Route{RouteFunction, "hello", "/hello/a%2Fb//%41/../c?q=%20"}},
		{"/functions/v1/functions/v1/x", Route{RouteFunction, "functions", "/functions/v1/x"}},
		{"/functions", Route{RouteFunction, "functions", "/functions"}},
		{"/functions/v2/hello", Route{RouteFunction, "functions", "/functions/v2/hello"}},
		{"/hello/../other", Route{RouteFunction, "hello", "/hello/../other"}},
		{"http://host/functions/v1/hello?x", Route{RouteFunction, "hello", "/hello?x"}},
		{"/", Route{Kind: RouteIndex}},
		{"/?x", Route{Kind: RouteIndex}},
		{"/health", Route{Kind: RouteHealth}},
		{"/health?x=1", Route{Kind: RouteHealth}},
		{"/_internal/health", Route{Kind: RouteHealth}},
		{"/_internal/metric", Route{Kind: RouteMetric}},
		{"", Route{}}, {"*", Route{}}, {"host:443", Route{}}, {"//", Route{}}, {"//hello", Route{}},
		{"http://host", Route{}}, {"http://host?/hello", Route{}},
		{"/functions/v1", Route{}}, {"/functions/v1/", Route{}}, {"/functions/v1//hello", Route{}},
		{"/functions/v1/../hello", Route{}}, {"/functions/v1?/hello", Route{}},
		{"/_internal/other", Route{}}, {"/_shared", Route{}}, {"/.git/config", Route{}}, {"/1x", Route{}},
		{"/hello%2Fworld", Route{}}, {"/hel%6Co", Route{}}, {"/..%2Fhello", Route{}}, {"/hello\\..\\x", Route{}},
		{"/hello;x", Route{}}, {"/héllo", Route{}},
	} {
		if got := ParseRoute(tc.target); got != tc.want {
			t.Errorf("ParseRoute(%q) = %+v, want %+v", tc.target, got, tc.want)
		}
	}
}

// FuzzRoute checks that a slug is always a valid one and stands literally in
// the target, and that what the function sees is a part of what was received.
func FuzzRoute(f *testing.F) {
	for _, s := range []string{"/hello/x?y", "/functions/v1/hello//a%2F..", "//x", "http://h/functions/v1/a", "*", "/a/../b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		r := ParseRoute(target)
		if r.Kind != RouteFunction {
			if r.Slug != "" || r.Target != "" {
				t.Fatalf("%q: %+v", target, r)
			}
			return
		}
		if !function.ValidSlug(r.Slug) || !strings.HasSuffix(target, r.Target) {
			t.Fatalf("%q: %+v", target, r)
		}
		rest, ok := strings.CutPrefix(r.Target, "/"+r.Slug)
		if !ok || rest != "" && rest[0] != '/' && rest[0] != '?' {
			t.Fatalf("%q: %+v", target, r)
		}
		// Going in by the other door leads to the same function.
		if again := ParseRoute(functionsPrefix + r.Target); again != r {
			t.Fatalf("%q: %+v, again %+v", target, r, again)
		}
		// What net/http takes for the path agrees about the first segment.
		if u, err := url.ParseRequestURI(r.Target); err == nil && strings.HasPrefix(r.Target, "/") {
			if first, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/"); first != r.Slug {
				t.Fatalf("%q: slug %q, net/url sees %q", target, r.Slug, first)
			}
		}
	})
}
