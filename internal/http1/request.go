package http1

import (
	"bytes"
	"math"
	"net/http"
	"net/url"
	"strings"

	"github.com/selvedge-dev/selvedge/internal/fieldtext"
)

const (
	// maxFields bounds the header lines of a request. A map entry costs more
	// than the shortest line, so that the bound on bytes alone would not do.
	maxFields = 500
	// usualHeaders is for how many names a header map has room from the start:
	// one more, and Go would double it.
	usualHeaders = 14
	// usualFields is up to how many a connection keeps memory for.
	usualFields = 64
)

// A request holds a Request and what it is made of, for one request of a
// connection after the other.
type request struct {
	*http.Request
	blank  *http.Request // an empty one that has the context
	ctx    *requestContext
	header http.Header
	values []string // what the slices in header are parts of
	target url.URL
	coding [1]string
	fields []fieldSpan

	minor     int // of HTTP/1
	keepAlive bool
	expects   bool // 100 Continue
}

// A fieldSpan is where the parts of a header line are in the head.
type fieldSpan struct{ name, colon, value, end int }

func newRequest() *request {
	return &request{Request: new(http.Request), header: make(http.Header, usualHeaders)}
}

var noRequest http.Request

// within gives the request another context.
func (q *request) within(ctx *requestContext) {
	q.ctx, q.blank = ctx, noRequest.WithContext(ctx)
}

// forget drops what belongs to the last request, so that an idle connection
// keeps nothing of it alive.
func (q *request) forget() {
	clear(q.header)
	clear(q.values)
	q.values = q.values[:0]
	if len(q.fields) > usualFields {
		q.header, q.values, q.fields = make(http.Header, usualHeaders), nil, nil
	}
	q.target = url.URL{}
	*q.Request = *q.blank
}

// parse reads a head, which ends in its empty line. It writes canonical names
// into raw. The strings are all parts of one copy of it.
func (q *request) parse(raw []byte) *Refusal {
	*q.Request = *q.blank
	end := bytes.IndexByte(raw, '\n')
	if end < 1 || raw[end-1] != '\r' {
		return errBareLine
	}
	line := raw[:end-1]
	if refusal := q.scan(raw, end+1); refusal != nil {
		if first := q.readRequestLine(string(line)); first != nil {
			return first // what is no HTTP at all is told so
		}
		return refusal
	}
	all := string(raw)
	if refusal := q.readRequestLine(all[:len(line)]); refusal != nil {
		return refusal
	}
	if refusal := q.readFields(all); refusal != nil {
		return refusal
	}
	return q.readTarget()
}

// scan finds and checks the header lines from i on.
func (q *request) scan(raw []byte, i int) *Refusal {
	q.fields = q.fields[:0]
	for {
		n := bytes.IndexByte(raw[i:], '\n')
		if n < 1 || raw[i+n-1] != '\r' {
			return errBareLine
		}
		line := raw[i : i+n-1]
		if len(line) == 0 {
			return nil
		}
		colon := bytes.IndexByte(line, ':')
		if line[0] == ' ' || line[0] == '\t' {
			return errFolded
		}
		if colon < 1 || !canonicalise(line[:colon]) {
			return errFieldName
		}
		value := line[colon+1:]
		if !isFieldValue(value) {
			return errFieldValue
		}
		from, to := 0, len(value)
		for from < to && (value[from] == ' ' || value[from] == '\t') {
			from++
		}
		for from < to && (value[to-1] == ' ' || value[to-1] == '\t') {
			to--
		}
		if len(q.fields) == maxFields {
			return errHeadLong
		}
		at := i + colon + 1
		q.fields = append(q.fields, fieldSpan{i, i + colon, at + from, at + to})
		i += n + 1
	}
}

// readRequestLine reads "GET /path HTTP/1.1" (RFC 9112, 3).
func (q *request) readRequestLine(line string) *Refusal {
	method, rest, ok := strings.Cut(line, " ")
	i := strings.LastIndexByte(rest, ' ')
	if !ok || i < 1 {
		return errRequestLine
	}
	target, version := rest[:i], rest[i+1:]
	if !isToken(method) {
		return errMethod
	}
	for j := range len(target) {
		if b := target[j]; b <= ' ' || b == 0x7f || b == '#' {
			return errTarget
		}
	}
	q.Method, q.RequestURI = method, target
	q.ProtoMajor = 1
	switch version {
	case "HTTP/1.1":
		q.Proto, q.ProtoMinor = "HTTP/1.1", 1
	case "HTTP/1.0":
		q.Proto, q.ProtoMinor = "HTTP/1.0", 0
	default:
		if len(version) < len("HTTP/1") || version[:5] != "HTTP/" || !plainVersion(version[5:]) {
			return errRequestLine
		}
		return errVersion
	}
	q.minor = q.ProtoMinor
	return nil
}

// plainVersion reports whether s is a version: one digit, or two around a dot.
func plainVersion(s string) bool {
	digit := func(b byte) bool { return '0' <= b && b <= '9' }
	return len(s) == 1 && digit(s[0]) || len(s) == 3 && digit(s[0]) && s[1] == '.' && digit(s[2])
}

// readFields fills the header map and takes note of what concerns the framing
// and the connection.
func (q *request) readFields(all string) *Refusal {
	var hosts, length, coding, expect int
	q.keepAlive, q.expects = q.minor == 1, false
	closes, keeps := false, false
	q.Header = q.header
	for _, f := range q.fields {
		name, value := all[f.name:f.colon], all[f.value:f.end]
		switch name {
		case "Host":
			hosts++
			q.Host = value
			continue // as net/http does, so that nobody takes it from there
		case "Content-Length":
			n, ok := parseLength(value)
			if length++; !ok {
				return errLength
			}
			q.ContentLength = n
		case "Transfer-Encoding":
			if coding++; coding > 1 {
				return errCodings
			}
			if !strings.EqualFold(value, "chunked") {
				return errCoding
			}
			continue
		case "Connection":
			closes = closes || fieldtext.HasToken(value, "close")
			keeps = keeps || fieldtext.HasToken(value, "keep-alive")
		case "Expect":
			if expect++; expect > 1 || !strings.EqualFold(value, "100-continue") {
				return errExpectation
			}
		}
		q.add(name, value)
	}
	switch {
	case hosts == 0 && q.minor == 1:
		return errNoHost
	case hosts > 1:
		return errHosts
	case !isHost(q.Host):
		return errHost
	case length > 1:
		return errLengths
	case coding > 0 && length > 0:
		return errBothFramings
	case coding > 0 && q.minor == 0:
		return errOldCoding
	case coding > 0:
		q.coding[0] = "chunked"
		q.TransferEncoding, q.ContentLength = q.coding[:], -1
	}
	// Persistence: RFC 9112, 9.3.
	q.keepAlive = !closes && (q.minor == 1 || keeps)
	q.Close = !q.keepAlive
	// HTTP/1.0 knows no 100 (RFC 9110, 10.1.1).
	q.expects = expect > 0 && q.minor == 1 && q.ContentLength != 0
	return nil
}

func (q *request) add(name, value string) {
	if had := q.header[name]; had != nil {
		q.header[name] = append(had, value)
		return
	}
	n := len(q.values)
	q.values = append(q.values, value)
	q.header[name] = q.values[n : n+1 : n+1]
}

// parseLength reads a Content-Length: digits and nothing else.
func parseLength(s string) (n int64, ok bool) {
	for i := range len(s) {
		d := int64(s[i]) - '0'
		if d < 0 || d > 9 || n > (math.MaxInt64-d)/10 {
			return 0, false
		}
		n = 10*n + d
	}
	return n, s != ""
}

// readTarget sets URL, and Host where the target names one (RFC 9112, 3.2).
func (q *request) readTarget() *Refusal {
	q.URL = &q.target
	target := q.RequestURI
	switch {
	case q.Method == "CONNECT":
		return q.readAuthority(target)
	case target[0] == '/':
		if readPlain(&q.target, target) {
			return nil
		}
	case target == "*":
		if q.Method != "OPTIONS" {
			return errTarget
		}
		q.target = url.URL{Path: "*"}
		return nil
	default:
		return q.readAbsolute(target)
	}
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return errTarget
	}
	q.target = *u
	return nil
}

// readPlain sets u from a path and query, unless the path needs unescaping.
func readPlain(u *url.URL, target string) bool {
	i := 0
	for i < len(target) && plainPath[target[i]] {
		i++
	}
	if i < len(target) && target[i] != '?' {
		return false
	}
	*u = url.URL{Path: target[:i]}
	if i < len(target) {
		u.RawQuery = target[i+1:]
		u.ForceQuery = u.RawQuery == ""
	}
	return true
}

// readAuthority reads what CONNECT asks for (RFC 9112, 3.2.3).
func (q *request) readAuthority(target string) *Refusal {
	if !isHost(target) {
		return errTarget
	}
	u, err := url.ParseRequestURI("http://" + target)
	if err != nil || u.Host == "" {
		return errTarget
	}
	q.target = url.URL{Host: u.Host}
	q.Host = u.Host
	return nil
}

// readAbsolute reads a target as it is sent to proxies, which servers must
// understand; its authority counts instead of Host (RFC 9112, 3.2.2).
func (q *request) readAbsolute(target string) *Refusal {
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		return errTarget
	}
	authority := rest
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority = rest[:i]
	}
	if authority == "" || !isHost(authority) {
		return errTarget
	}
	u, err := url.ParseRequestURI(target)
	if err != nil || u.Host == "" {
		return errTarget
	}
	q.target = *u
	q.Host = u.Host
	return nil
}
