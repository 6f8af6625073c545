package http1

import "github.com/selvedge-dev/selvedge/internal/fieldtext"

// canonical holds, for each byte of a header name, what it becomes at the
// begin of a word and inside of one; 0 for what is no byte of a token (RFC
// 9110, 5.6.2). The form is that of textproto.CanonicalMIMEHeaderKey.
var canonical = func() (t [2][256]byte) {
	for _, b := range []byte("!#$%&'*+-.^_`|~0123456789") {
		t[0][b], t[1][b] = b, b
	}
	for b := byte('a'); b <= 'z'; b++ {
		t[0][b], t[1][b] = b-'a'+'A', b
		t[0][b-'a'+'A'], t[1][b-'a'+'A'] = b-'a'+'A', b
	}
	return t
}()

// canonicalise puts a header name into its canonical form, in place, and
// reports whether it is a token.
func canonicalise(name []byte) bool {
	inside := 0
	for i, b := range name {
		c := canonical[inside&1][b]
		if c == 0 {
			return false
		}
		name[i] = c
		inside = 1
		if c == '-' {
			inside = 0
		}
	}
	return len(name) > 0
}

// isToken reports whether s is a token.
func isToken(s string) bool {
	for i := range len(s) {
		if canonical[0][s[i]] == 0 {
			return false
		}
	}
	return s != ""
}

// isFieldValue reports whether p holds only bytes that have a place in a
// header value.
func isFieldValue(p []byte) bool { return fieldtext.BadByte(p) < 0 }

// hostBytes are those of a host and port (RFC 3986, 3.2.2 and 3.2.3) but for
// the percent sign. A userinfo is not among them: it has no place in a request
// (RFC 9110, 4.2.4).
var hostBytes = func() (t [256]bool) {
	for b := range 256 {
		t[b] = 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9'
	}
	for _, b := range []byte("-._~!$&'()*+;=:[]") {
		t[b] = true
	}
	return t
}()

func isHost(s string) bool {
	for i := range len(s) {
		if !hostBytes[s[i]] {
			return false
		}
	}
	return true
}

// plainPath are the bytes of a path that url.URL neither unescapes nor would
// escape, so that Path is the path as received and RawPath is "".
var plainPath = func() (t [256]bool) {
	for b := range 256 {
		t[b] = 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9'
	}
	for _, b := range []byte("-._~$&+,/:;=@") {
		t[b] = true
	}
	return t
}()
