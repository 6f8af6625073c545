package upstream

import "strings"

// tokenBytes are the bytes of a token (RFC 9110, 5.6.2): header names are
// made of them.
var tokenBytes = func() (t [256]bool) {
	for _, b := range []byte("!#$%&'*+-.^_`|~0123456789" +
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		t[b] = true
	}
	return t
}()

// hopByHop reports whether a header concerns one connection only and so is
// never passed on (RFC 9110, 7.6.1). Trailer is among them because trailers
// are dropped.
func hopByHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate",
		"Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// named reports whether one of a message's Connection values names the header.
func named(connection []string, name string) bool {
	for _, v := range connection {
		if hasToken(v, name) {
			return true
		}
	}
	return false
}

// hasToken reports whether a comma-separated list has the token, whatever its
// case.
func hasToken(list, token string) bool {
	for list != "" {
		var item string
		item, list, _ = strings.Cut(list, ",")
		if strings.EqualFold(trimOWS(item), token) {
			return true
		}
	}
	return false
}

func trimOWS(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// badByte returns the index of the first byte that has no place in a header
// value (RFC 9110, 5.5), -1 for none.
func badByte[T string | []byte](p T) int {
	for i := range len(p) {
		if b := p[i]; b < ' ' && b != '\t' || b == 0x7f {
			return i
		}
	}
	return -1
}
