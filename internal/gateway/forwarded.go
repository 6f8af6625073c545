package gateway

import (
	"net"
	"net/http"
	"strings"
)

// origin is how a request looked where it came in, before any proxy.
type origin struct {
	// scheme is "http" or "https".
	scheme string
	host   string
	// chain is the X-Forwarded-For to pass on.
	chain string
}

// outside reads what the proxies in front say. Functions build absolute URLs
// from it, so a value that could not stand in a URL is not believed.
func outside(r *http.Request) origin {
	o := origin{scheme: "http", host: r.Host}
	if r.TLS != nil {
		o.scheme = "https"
	}
	switch proto := first(r.Header["X-Forwarded-Proto"]); {
	case proto == "":
	case strings.EqualFold(proto, "https"):
		o.scheme = "https"
	case strings.EqualFold(proto, "http"):
		o.scheme = "http"
	}
	if host := first(r.Header["X-Forwarded-Host"]); host != "" && validHost(host) {
		o.host = host
	}
	if o.host == "" || !validHost(o.host) {
		o.host = "localhost" // HTTP/1.0 needs no Host
	}
	o.chain = peer(r)
	if had := r.Header["X-Forwarded-For"]; len(had) > 0 {
		o.chain = strings.Join(had, ", ") + ", " + o.chain
	}
	return o
}

// first returns the first item of a header that may hold a list: each proxy
// appends its own.
func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	item, _, _ := strings.Cut(values[0], ",")
	return strings.TrimSpace(item)
}

// validHost reports whether s can be the authority of a URL as servers see
// them: a name or an address, and a port.
func validHost(s string) bool {
	for i := range len(s) {
		switch b := s[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9':
		case b == '.', b == '-', b == '_', b == ':', b == '[', b == ']':
		default:
			return false
		}
	}
	return s != ""
}

// peer returns the address at the other end of the connection, without its
// port.
func peer(r *http.Request) string {
	if i := strings.LastIndexByte(r.RemoteAddr, ':'); i > 0 {
		return strings.Trim(r.RemoteAddr[:i], "[]")
	}
	return r.RemoteAddr
}

// clientIP returns the client's address as the outermost of our own proxies
// saw it. Items further left in X-Forwarded-For are the client's to invent.
func clientIP(r *http.Request, proxies int) string {
	if proxies > 0 {
		items := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
		ip := strings.TrimSpace(items[max(0, len(items)-proxies)])
		if net.ParseIP(ip) != nil {
			return ip
		}
	}
	return peer(r)
}
