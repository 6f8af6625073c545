package http1

import (
	"bufio"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestRefusals has every way to be refused by its name.
func TestRefusals(t *testing.T) {
	const get, host = "GET / HTTP/1.1\r\n", "Host: x\r\n"
	post := "POST / HTTP/1.1\r\nHost: x\r\n"
	for _, tc := range []struct {
		name, request string
		want          *Refusal
	}{
		{"length and chunked", post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", errBothFramings},
		{"chunked and length", post + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", errBothFramings},
		{"two lengths that differ", post + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", errLengths},
		{"two lengths that agree", post + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", errLengths},
		{"list of lengths", post + "Content-Length: 3, 3\r\n\r\nabc", errLength},
		{"length with plus", post + "Content-Length: +3\r\n\r\nabc", errLength},
		{"length with minus", post + "Content-Length: -3\r\n\r\n", errLength},
		{"length with inner space", post + "Content-Length: 1 0\r\n\r\n", errLength},
		{"length in hexadecimal", post + "Content-Length: 0x3\r\n\r\nabc", errLength},
		{"empty length", post + "Content-Length:\r\n\r\n", errLength},
		{"length over 2^63", post + "Content-Length: 9223372036854775808\r\n\r\n", errLength},
		{"length over 2^64", post + "Content-Length: 18446744073709551619\r\n\r\n", errLength},
		{"length with fraction", post + "Content-Length: 3.0\r\n\r\nabc", errLength},
		{"other coding", post + "Transfer-Encoding: gzip\r\n\r\n", errCoding},
		{"coding before chunked", post + "Transfer-Encoding: gzip, chunked\r\n\r\n", errCoding},
		{"identity", post + "Transfer-Encoding: identity\r\n\r\n", errCoding},
		{"chunked in quotes", post + "Transfer-Encoding: \"chunked\"\r\n\r\n", errCoding},
		{"chunked with parameter", post + "Transfer-Encoding: chunked;q=1\r\n\r\n", errCoding},
		{"chunked with vertical tab", post + "Transfer-Encoding: \x0bchunked\r\n\r\n", errFieldValue},
		{"empty coding", post + "Transfer-Encoding:\r\n\r\n", errCoding},
		{"chunked twice", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", errCodings},
		{"chunked and identity", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", errCodings},
		{"chunked in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", errOldCoding},
		{"folded value", get + host + "A: b\r\n c\r\n\r\n", errFolded},
		{"folded first line", get + " A: b\r\n" + host + "\r\n", errFolded},
		{"value folded by a tab", get + host + "A: b\r\n\tc\r\n\r\n", errFolded},
		{"space before colon", get + host + "Content-Length : 3\r\n\r\n", errFieldName},
		{"tab before colon", get + host + "A\t: b\r\n\r\n", errFieldName},
		{"no colon", get + host + "nonsense\r\n\r\n", errFieldName},
		{"empty name", get + host + ": b\r\n\r\n", errFieldName},
		{"name with NUL", get + host + "A\x00: b\r\n\r\n", errFieldName},
		{"name with umlaut", get + host + "Ä: b\r\n\r\n", errFieldName},
		{"name with brackets", get + host + "A(b): c\r\n\r\n", errFieldName},
		{"value with NUL", get + host + "A: b\x00c\r\n\r\n", errFieldValue},
		{"value with DEL", get + host + "A: b\x7fc\r\n\r\n", errFieldValue},
		{"value with bare CR", get + host + "A: b\rc\r\n\r\n", errFieldValue},
		{"value with CR CR LF", get + host + "A: b\r\r\n\r\n", errFieldValue},
		{"control character in a long value", get + host + "A: 0123456789abc\x01defghi\r\n\r\n", errFieldValue},
		{"header line with bare LF", get + host + "A: b\nB: c\r\n\r\n", errBareLine},
		{"request line with bare LF", "GET / HTTP/1.1\nHost: x\r\n\r\n", errBareLine},
		{"bare LFs only", "GET / HTTP/1.1\nHost: x\n\n", errBareLine},
		{"empty line with bare LF", get + host + "\n\r\n\r\n", errBareLine},
		{"request line with bare CR", "GET /\r HTTP/1.1\r\nHost: x\r\n\r\n", errTarget},
		{"empty first line", "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", errRequestLine},
		{"no Host", get + "\r\n", errNoHost},
		{"two Hosts", get + host + host + "\r\n", errHosts},
		{"two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\n" + host + host + "\r\n", errHosts},
		{"list of Hosts", get + "Host: x, y\r\n\r\n", errHost},
		{"Host with path", get + "Host: x/y\r\n\r\n", errHost},
		{"Host with userinfo", get + "Host: u@x\r\n\r\n", errHost},
		{"Host with backslash", get + "Host: x\\y\r\n\r\n", errHost},
		{"Host with percent", get + "Host: x%2fy\r\n\r\n", errHost},
		{"HTTP/0.9", "GET /\r\n\r\n", errRequestLine},
		{"no version", "GET / \r\n\r\n", errRequestLine},
		{"small version", "GET / http/1.1\r\n" + host + "\r\n", errRequestLine},
		{"long version", "GET / HTTP/1.10\r\n" + host + "\r\n", errRequestLine},
		{"HTTP/1.2", "GET / HTTP/1.2\r\n" + host + "\r\n", errVersion},
		{"HTTP/2.0", "GET / HTTP/2.0\r\n" + host + "\r\n", errVersion},
		{"HTTP/3", "GET / HTTP/3\r\n" + host + "\r\n", errVersion},
		{"preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", errVersion},
		{"empty method", " / HTTP/1.1\r\n" + host + "\r\n", errMethod},
		{"method with brackets", "G[]T / HTTP/1.1\r\n" + host + "\r\n", errMethod},
		{"two spaces", "GET  / HTTP/1.1\r\n" + host + "\r\n", errTarget},
		{"space in target", "GET /a b HTTP/1.1\r\n" + host + "\r\n", errTarget},
		{"tab in target", "GET /a\tb HTTP/1.1\r\n" + host + "\r\n", errTarget},
		{"NUL in target", "GET /a\x00b HTTP/1.1\r\n" + host + "\r\n", errTarget},
		{"fragment", "GET /a#b HTTP/1.1\r\n" + host + "\r\n", errTarget},
		{"bad escape", "GET /%zz HTTP/1.1\r\n" + host + "\r\n", errTarget},
		{"relative target", "GET a HTTP/1.1\r\n" + host + "\r\n", errTarget},
		{"only a query", "GET ?a HTTP/1.1\r\n" + host + "\r\n", errTarget},
		{"asterisk for GET", "GET * HTTP/1.1\r\n" + host + "\r\n", errTarget},
		{"authority for GET", "GET x:80 HTTP/1.1\r\n" + host + "\r\n", errTarget},
		{"path for CONNECT", "CONNECT /a HTTP/1.1\r\n" + host + "\r\n", errTarget},
		{"other scheme", "GET ftp://x/ HTTP/1.1\r\n" + host + "\r\n", errTarget},
		{"absolute without host", "GET http:///a HTTP/1.1\r\n" + host + "\r\n", errTarget},
		{"absolute with userinfo", "GET http://u:p@x/a HTTP/1.1\r\n" + host + "\r\n", errTarget},
		{"other expectation", post + "Content-Length: 1\r\nExpect: 200-ok\r\n\r\n", errExpectation},
		{"two expectations", post + "Content-Length: 1\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n\r\n", errExpectation},
		{"long target", "GET /" + strings.Repeat("a", 9000), errTargetLong},
		{"long target and the rest", "GET /" + strings.Repeat("a", 9000) + " HTTP/1.1\r\nHost: x\r\n\r\n", errTargetLong},
		{"long header", get + host + "A: " + strings.Repeat("a", 9000), errHeadLong},
		{"long header and the rest", get + host + "A: " + strings.Repeat("a", 9000) + "\r\n\r\n", errHeadLong},
		{"many headers", get + host + strings.Repeat("A:b\r\n", maxFields) + "\r\n", errHeadLong},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", errRequestLine},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var told *Refusal
			s := startSite(t, func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") }, func(s *Server) {
				s.MaxHeaderBytes = 8 << 10
				s.OnRefusal = func(h http.Header, r *Refusal, addr string) { told = r; h.Set("X-Remote", addr) }
			})
			c := s.dial(tc.request)
			res, body := c.answer("GET")
			want := fmt.Sprintf(`{"code":"%s","message":"%s"}`, tc.want.Code, tc.want.Message)
			if res.StatusCode != tc.want.Status || body != want {
				t.Errorf("got %d %s, want %s", res.StatusCode, body, want)
			}
			if told != tc.want || res.Header.Get("X-Remote") != c.LocalAddr().String() {
				t.Errorf("the hook got %v, headers are %v", told, res.Header)
			}
			if !res.Close || res.Header.Get("Content-Type") != "application/json" {
				t.Errorf("close %v, headers %v", res.Close, res.Header)
			}
			c.closed()
		})
	}
}

func TestRefusalOfHEADHasNoBody(t *testing.T) {
	s := startSite(t, nil, nil)
	c := s.dial("HEAD / HTTP/1.1\r\n\r\n")
	if res, _ := c.answer("HEAD"); res.StatusCode != 400 {
		t.Errorf("got %d", res.StatusCode)
	}
	c.closed()
}

// TestTargets compares with net/url what a Request's URL is.
func TestTargets(t *testing.T) {
	for _, target := range []string{
		"/", "/a", "//a", "//a/b", "///", "/a?", "/a?b", "/a??b", "/a?b?", "/a?b=%20&c=/%zz", "/a%2Fb//c", "/%41", "/ä", "/a:b@c;d=e+f$g&h,i",
		"/a!b'c(d)e*f", "/a|b{c}^d`e\"<>", "/a\\b", "/..", "/a/./../b", "/a?b#"[:4], "/?x=[1]",
	} {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			t.Fatal(err)
		}
		q := newRequest()
		q.within(&requestContext{})
		if refusal := q.parse([]byte("GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n")); refusal != nil {
			t.Errorf("%s: %v", target, refusal)
		} else if *q.URL != *u || q.RequestURI != target || q.Host != "x" {
			t.Errorf("%s: got %#v, want %#v", target, *q.URL, *u)
		}
	}
	for line, host := range map[string]string{
		"GET http://other:81/a?b HTTP/1.1": "other:81", "GET HTTPS://[::1]/ HTTP/1.1": "[::1]", "GET http://other HTTP/1.1": "other",
		"GET http://other?a HTTP/1.1": "other", "CONNECT other:443 HTTP/1.1": "other:443", "OPTIONS * HTTP/1.1": "x",
	} {
		q := newRequest()
		q.within(&requestContext{})
		if refusal := q.parse([]byte(line + "\r\nHost: x\r\n\r\n")); refusal != nil || q.Host != host {
			t.Errorf("%s: host %q, %v", line, q.Host, refusal)
		}
	}
}

// TestRequest looks at every field that net/http sets.
func TestRequest(t *testing.T) {
	for _, raw := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /a?b HTTP/1.0\r\n\r\n",
		"GET /a?b HTTP/1.0\r\nHost:\r\nconnection: Keep-Alive\r\n\r\n",
		"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 0003\r\n\r\nabc",
		"POST /a HTTP/1.1\r\nhost: x\r\nTRANSFER-ENCODING: Chunked\r\n\r\n0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nset-cookie: a\r\nSET-cookie:b\r\nx:\r\nx1-y2--z_: \t v w \t\r\nETag: é\r\nwww-authenticate: x\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: a, Close\r\nTE: trailers\r\n\r\n",
		"M-SEARCH / HTTP/1.1\r\nHost: x:80\r\nContent-Length: 0\r\n\r\n",
	} {
		want, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
		if err != nil {
			t.Fatal(err)
		}
		q := newRequest()
		q.within(&requestContext{})
		head, _, _ := strings.Cut(raw, "\r\n\r\n")
		if refusal := q.parse([]byte(head + "\r\n\r\n")); refusal != nil {
			t.Errorf("%q: %v", raw, refusal)
			continue
		}
		if err := sameRequest(q.Request, want); err != nil {
			t.Errorf("%q: %v", raw, err)
		}
		if q.Close != want.Close {
			t.Errorf("%q: close is %v", raw, q.Close)
		}
	}
}

// sameRequest says in what a request differs from how net/http reads it.
func sameRequest(got, want *http.Request) error {
	gh, wh := maps.Clone(got.Header), maps.Clone(want.Header)
	if wh.Get("Pragma") == "no-cache" && gh["Cache-Control"] == nil {
		delete(wh, "Cache-Control") // net/http adds it
	}
	delete(gh, "Trailer")
	switch {
	case got.Method != want.Method, got.RequestURI != want.RequestURI, got.Host != want.Host, got.Proto != want.Proto,
		got.ProtoMajor != want.ProtoMajor, got.ProtoMinor != want.ProtoMinor:
		return fmt.Errorf("got %s %s %s to %q, want %s %s %s to %q", got.Method, got.RequestURI, got.Proto, got.Host,
			want.Method, want.RequestURI, want.Proto, want.Host)
	case !reflect.DeepEqual(got.URL, want.URL):
		return fmt.Errorf("URL is %#v, want %#v", got.URL, want.URL)
	case got.ContentLength != want.ContentLength || !slices.Equal(got.TransferEncoding, want.TransferEncoding):
		return fmt.Errorf("length is %d %q, want %d %q", got.ContentLength, got.TransferEncoding, want.ContentLength, want.TransferEncoding)
	case !reflect.DeepEqual(gh, wh):
		return fmt.Errorf("headers are %q, want %q", gh, wh)
	}
	return nil
}

func TestFieldValueBytes(t *testing.T) {
	for b := range 256 {
		want := b >= ' ' && b != 0x7f || b == '\t'
		for at := range 20 {
			p := []byte("0123456789\xffabc\tdefgh")
			p[at] = byte(b)
			if isFieldValue(p) != want {
				t.Errorf("byte %#x at %d: %v", b, at, !want)
			}
		}
	}
}
