package upstream

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/selvedge-dev/selvedge/internal/fieldtext"
)

// appendHead appends the head of the request as the worker gets it. upgrade is
// the protocol to ask for, "" for none.
func appendHead(b []byte, r *http.Request, o *Options, upgrade string) ([]byte, error) {
	host := o.Host
	if host == "" {
		host = r.Host
	}
	if err := checkTarget(o, host); err != nil {
		return nil, err
	}
	b = append(b, r.Method...)
	b = append(b, ' ')
	if o.Absolute {
		b = append(b, o.Scheme...)
		b = append(b, "://"...)
		b = append(b, host...)
	}
	b = append(b, o.Path...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, host...)
	b = append(b, "\r\n"...)

	connection := r.Header["Connection"]
	for name, values := range r.Header {
		if hopByHop(name) || framing(name) || (name == "Expect" && !hasBody(r)) || o.strips(name) || o.sets(name) ||
			(connection != nil && named(connection, name)) {
			continue
		}
		for _, value := range values {
			var err error
			if b, err = appendField(b, name, value); err != nil {
				return nil, err
			}
		}
	}
	for _, f := range o.Set {
		if f.Value == "" {
			continue
		}
		var err error
		if b, err = appendField(b, f.Name, f.Value); err != nil {
			return nil, err
		}
	}
	return appendFraming(b, r, upgrade), nil
}

// appendFraming appends what says how the body is framed, and the empty line.
func appendFraming(b []byte, r *http.Request, upgrade string) []byte {
	switch {
	case upgrade != "":
		b = append(b, "Connection: Upgrade\r\nUpgrade: "...)
		b = append(b, upgrade...)
		b = append(b, "\r\n"...)
	case !hasBody(r):
		// Say so where a body is expected (RFC 9110, 8.6).
		if r.Method == "POST" || r.Method == "PUT" || r.Method == "PATCH" {
			b = append(b, "Content-Length: 0\r\n"...)
		}
	case r.ContentLength > 0:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, r.ContentLength, 10)
		b = append(b, "\r\n"...)
	default:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	return append(b, "\r\n"...)
}

// framing reports whether appendHead writes the header itself.
func framing(name string) bool { return name == "Content-Length" || name == "Host" }

func appendField(b []byte, name, value string) ([]byte, error) {
	b = append(b, name...)
	b = append(b, ": "...)
	at := len(b)
	b = append(b, value...)
	if fieldtext.BadByte(b[at:]) >= 0 {
		return nil, fmt.Errorf("header %q has a value with control characters", name)
	}
	return append(b, "\r\n"...), nil
}

// checkTarget refuses what would end the request line or the Host header
// early. net/http lets neither through; this is the second lock.
func checkTarget(o *Options, host string) error {
	if o.Path == "" || o.Path[0] != '/' {
		return fmt.Errorf("target %q does not begin with a slash", o.Path)
	}
	for _, s := range [...]string{o.Path, host, o.Scheme} {
		for i := range len(s) {
			if s[i] <= ' ' || s[i] == 0x7f {
				return fmt.Errorf("byte 0x%02x in the request's target or host", s[i])
			}
		}
	}
	if o.Absolute && (o.Scheme == "" || !isAuthority(host)) {
		return fmt.Errorf("no absolute target from scheme %q and host %q", o.Scheme, host)
	}
	return nil
}

// isAuthority reports whether a host ends where it should in an absolute target.
func isAuthority(host string) bool {
	for i := range len(host) {
		switch host[i] {
		case '/', '?', '#', '@', '\\':
			return false
		}
	}
	return host != ""
}

// strips reports whether Options.Strip names the header.
func (o *Options) strips(name string) bool {
	for _, s := range o.Strip {
		if name == s || strings.HasPrefix(name, s) && s[len(s)-1] == '-' {
			return true
		}
	}
	return false
}

// sets reports whether Options.Set replaces the header.
func (o *Options) sets(name string) bool {
	for i := range o.Set {
		if o.Set[i].Name == name {
			return true
		}
	}
	return false
}

func hasBody(r *http.Request) bool {
	return r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0
}

// upgradeOf returns the protocol that the request asks to switch to, "" for
// none. h2c and TLS are about the client's own connection: clients offer them
// unasked, and a server that does not know them answers as if they were not
// there (RFC 9110, 7.8).
func upgradeOf(r *http.Request) string {
	values := r.Header["Upgrade"]
	if len(values) != 1 || hasBody(r) || !named(r.Header["Connection"], "upgrade") {
		return ""
	}
	token := fieldtext.TrimOWS(values[0])
	if strings.EqualFold(token, "h2c") || len(token) >= 3 && strings.EqualFold(token[:3], "TLS") ||
		strings.Contains(token, ",") || fieldtext.BadByte([]byte(token)) >= 0 {
		return ""
	}
	return token
}
