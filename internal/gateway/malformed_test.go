package gateway

import (
	"fmt"
	"strings"
	"testing"
)

// TestMalformedRequests sends what is no request, or one that a function could
// read otherwise than the gateway.
func TestMalformedRequests(t *testing.T) {
	s, rec := startEdge(t, nil)
	fields := func(f string) string { return "GET /hello HTTP/1.1\r\nHost: x\r\n" + f + "\r\n\r\n" }
	line := func(l string) string { return l + "\r\nHost: x\r\n\r\n" }
	host := func(h string) string { return "GET /hello HTTP/1.1\r\n" + h + "\r\n\r\n" }
	for _, tc := range []struct {
		name, request string
		status        int
	}{
		{"obs-fold", fields("A: b\r\n c: d"), 400},
		{"obs-fold by tab", fields("A: b\r\n\tc"), 400},
		{"obs-fold before all fields", "GET /hello HTTP/1.1\r\n Host: x\r\n\r\n", 400},
		{"bare CR in a value", fields("A: b\rC: d"), 400},
		{"bare CR at the end of a value", fields("A: b\r"), 400},
		{"bare CR in the request line", line("GET /hello\rx HTTP/1.1"), 400},
		{"bare LF after the request line", "GET /hello HTTP/1.1\nHost: x\r\n\r\n", 400},
		{"bare LF after a field", fields("A: b\nC: d"), 400},
		{"bare LFs only", "GET /hello HTTP/1.1\nHost: x\n\n", 400},
		{"NUL in a value", fields("A: b\x00c"), 400},
		{"NUL in a name", fields("A\x00: b"), 400},
		{"NUL in the target", line("GET /hello\x00 HTTP/1.1"), 400},
		{"NUL in the method", line("GET\x00 /hello HTTP/1.1"), 400},
		{"space before the colon", fields("A : b"), 400},
		{"space in a name", fields("A b: c"), 400},
		{"name empty", fields(": b"), 400},
		{"colon missing", fields("A"), 400},
		{"name not ASCII", fields("É: b"), 400},
		{"HTTP/0.9", "GET /hello\r\n\r\n", 400},
		{"HTTP/0.9 in words", line("GET /hello HTTP/0.9"), 505},
		{"HTTP/2.0 line", line("GET /hello HTTP/2.0"), 505},
		{"HTTP/2 preface with a bare LF", "PRI * HTTP/2.0\r\n\n", 505},
		{"HTTP/2 preface with a field", line("PRI * HTTP/2.0"), 505},
		{"HTTP/1.2", line("GET /hello HTTP/1.2"), 505},
		{"HTTP/1.10", line("GET /hello HTTP/1.10"), 400},
		{"HTTP/1,1", line("GET /hello HTTP/1,1"), 400},
		{"http/1.1", line("GET /hello http/1.1"), 400},
		{"version behind a tab", line("GET /hello\tHTTP/1.1"), 400},
		{"two blanks", line("GET  /hello HTTP/1.1"), 400},
		{"blank in the target", line("GET /hello /x HTTP/1.1"), 400},
		{"blank behind the version", line("GET /hello HTTP/1.1 "), 400},
		{"blank before the method", line(" GET /hello HTTP/1.1"), 400},
		{"method with a colon", line("GET: /hello HTTP/1.1"), 400},
		{"method missing", line("/hello HTTP/1.1"), 400},
		{"line before the request", "\r\n" + line("GET /hello HTTP/1.1"), 400},
		{"fragment in the target", line("GET /hello#x HTTP/1.1"), 400},
		{"percent sign without digits", line("GET /hello/%zz HTTP/1.1"), 400},
		{"target without a slash", line("GET hello HTTP/1.1"), 400},
		{"target of another scheme", line("GET file:///hello HTTP/1.1"), 400},
		{"target with a user", line("GET http://a@b/hello HTTP/1.1"), 400},
		{"target without a host", line("GET http:///hello HTTP/1.1"), 400},
		{"Host missing", host("A: b"), 400},
		{"two Hosts", host("Host: x\r\nHost: y"), 400},
		{"two Hosts alike", host("Host: x\r\nHost: x"), 400},
		{"two Hosts in one", host("Host: x, y"), 400},
		{"Host with a path", host("Host: x/y"), 400},
		{"Host with a query", host("Host: x?y"), 400},
		{"Host with a fragment", host("Host: x#y"), 400},
		{"Host with a user", host("Host: a@b"), 400},
		{"Host with a backslash", host(`Host: a\b`), 400},
		{"Host with a blank", host("Host: a b"), 400},
		{"Host with a quote", host(`Host: a"b`), 400},
		{"Host not ASCII", host("Host: é.example"), 400},
		{"Expect of something else", fields("Expect: 200-ok"), 417},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s.refuses(t, rec, tc.request+smuggled, tc.status)
		})
	}
}

// What looks dangerous and is allowed reaches the function byte for byte, as
// one request with the fields it had.
func TestTargetsByteForByte(t *testing.T) {
	s, rec := startEdge(t, nil)
	for _, tc := range []struct{ name, target, want string }{
		{"encoded line end in the path", "/hello/%0d%0aX-Injected:%20yes%0d%0a%0d%0aGET%20/x", ""},
		{"encoded line end in the query", "/hello?a=%0d%0aX-Injected:%20yes", ""},
		{"encoded NUL", "/hello/%00", ""},
		{"encoded slash and dots", "/hello/..%2f..%2Fetc/%2e%2e/passwd", ""},
		{"dots", "/hello/../../etc/passwd", ""},
		{"slashes", "/hello//a///b//", ""},
		{"mixed case of digits", "/hello/%C3%a9", ""},
		{"bytes above ASCII", "/hello/é?ü", ""},
		{"encoded letters", "/hello/%61?%62", ""},
		{"characters that browsers escape", "/hello/|^`{}\"<>?|^`{}\"<>", ""},
		{"double encoded", "/hello/%252e%252e%255c", ""},
		{"empty query", "/hello?", ""},
		{"question marks", "/hello/?a?b=?", ""},
		{"semicolons and commas", "/hello/;a=b,c;?x;y", ""},
		{"a URL in the path", "/hello/http://evil.example/", ""},
		{"prefix", "/functions/v1/hello//%2F", "/hello//%2F"},
		{"absolute form", "http://api.example/functions/v1/hello//%2F?%0a", "/hello//%2F?%0a"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			all := s.talk("GET " + tc.target + " HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n\r\n")
			if len(all) != 1 || all[0].StatusCode != 200 {
				t.Fatalf("answers %+v", all)
			}
			want := tc.want
			if want == "" {
				want = tc.target
			}
			d := rec.next()
			if line, _, _ := strings.Cut(d.head, "\r\n"); line != "GET http://api.example"+want+" HTTP/1.1" || strings.Contains(d.head, "X-Injected: ") {
				t.Errorf("the function got %q", d.head)
			}
			rec.nothing()
			if r := s.record(); strings.ContainsAny(r.Path, "\r\n") {
				t.Errorf("record %+v", r)
			}
		})
	}
}

// Targets that lead to no function do so in every disguise.
func TestTargetsOfNoFunction(t *testing.T) {
	s, rec := startEdge(t, nil)
	for _, target := range []string{
		"//hello", "///", "/./hello", "/hel%6Co", "/%68ello", "/hello%2f", "/hello%00", "/hello%0d%0a", "/hello;x", "/HELLO",
		"/functions/v1//hello", "/functions/v1/%68ello", "/functions%2fv1/hello", "/functions/v1/../hello", "/FUNCTIONS/v1/hello",
		"/_internal/../hello", "/.hello", "http://x//hello", "http://x",
	} {
		all := s.talk("GET " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if len(all) != 1 || all[0].StatusCode != 404 {
			t.Errorf("%s: answers %+v", target, all)
		}
		rec.nothing()
	}
}

// The authority of an absolute target counts, not the Host beside it (RFC
// 9112, section 3.2.2), and the function gets one of them only.
func TestAbsoluteTargetAndHostDiffer(t *testing.T) {
	s, rec := startEdge(t, nil)
	all := s.talk("GET http://one.example/hello HTTP/1.1\r\nHost: two.example\r\nConnection: close\r\n\r\n")
	if len(all) != 1 || all[0].StatusCode != 200 {
		t.Fatalf("answers %+v", all)
	}
	if d := rec.next(); d.RequestURI != "http://one.example/hello" || d.Host != "one.example" ||
		d.Header.Get("X-Forwarded-Host") != "one.example" || strings.Contains(d.head, "two.example") {
		t.Errorf("the function got %q", d.head)
	}
}

func TestMethodsOfNoFunction(t *testing.T) {
	s, rec := startEdge(t, nil)
	for _, method := range []string{"get", "Get", "TRACE", "TRACK", "PROPFIND", "PURGE", "GETX", "DEBUG", "_", "!"} {
		all := s.talk(fmt.Sprintf("%s /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", method))
		if len(all) != 1 || all[0].StatusCode != 405 {
			t.Errorf("%s: answers %+v", method, all)
		}
		rec.nothing()
	}
	for _, request := range []string{"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\nConnection: close\r\n\r\n", "CONNECT /hello HTTP/1.1\r\nHost: x\r\n\r\n"} {
		if all := s.talk(request + smuggled); len(all) != 1 || all[0].StatusCode < 400 {
			t.Errorf("%q: answers %+v", request, all)
		}
		rec.nothing()
	}
}
