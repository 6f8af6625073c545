// Package fieldtext reads what HTTP headers consist of, for the side of the
// clients and for that of the workers.
package fieldtext

import (
	"encoding/binary"
	"strings"
)

// HasToken reports whether a comma-separated list has the token, whatever its
// case.
func HasToken(list, token string) bool {
	for list != "" {
		var item string
		item, list, _ = strings.Cut(list, ",")
		if strings.EqualFold(TrimOWS(item), token) {
			return true
		}
	}
	return false
}

// TrimOWS cuts optional white space off both ends (RFC 9110, 5.6.3).
func TrimOWS(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// BadByte returns the index of the first byte that has no place in a header
// value (RFC 9110, 5.5), -1 for none. It looks at eight at a time, because tokens
// and cookies are long.
func BadByte(p []byte) int {
	i := 0
	for ; i+8 <= len(p); i += 8 {
		x := binary.LittleEndian.Uint64(p[i:])
		del := x ^ 0x7f*ones
		// A byte's high bit is set if it is below 0x20, or 0x7f. Borrows can
		// only set too many, which the slow look sorts out.
		if ((x-0x20*ones)&^x|(del-ones)&^del)&highs == 0 {
			continue
		}
		if bad := badAmong(p[i : i+8]); bad >= 0 {
			return i + bad
		}
	}
	if bad := badAmong(p[i:]); bad >= 0 {
		return i + bad
	}
	return -1
}

func badAmong(p []byte) int {
	for i, b := range p {
		if b < ' ' && b != '\t' || b == 0x7f {
			return i
		}
	}
	return -1
}
