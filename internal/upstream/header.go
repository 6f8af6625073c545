package upstream

import "github.com/selvedge-dev/selvedge/internal/fieldtext"

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
		if fieldtext.HasToken(v, name) {
			return true
		}
	}
	return false
}
