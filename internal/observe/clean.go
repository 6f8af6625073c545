package observe

import (
	"strings"
	"unicode/utf8"
)

// colors is what becomes of the colour sequences (SGR) in a text.
type colors int

const (
	showColors colors = iota // as escapes, like all else that is not text
	dropColors
	keepColors
)

// appendClean appends text of strangers so that a terminal does nothing but
// print it: control characters, those of C1 included, become visible escapes
// such as \x1b, invalid UTF-8 becomes U+FFFD. Tabs stay. Line ends are escaped
// as well, so the result is one line.
//
// Colours that are kept are ended at the end of the text.
func appendClean(b []byte, s string, colors colors) []byte {
	start, painted := 0, false
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < 0x7f || c == '\t' {
			i++
			continue
		}
		if colors != showColors {
			if n := sgrLen(s[i:]); n > 0 {
				if colors == dropColors {
					b = append(b, s[start:i]...)
					start = i + n
				}
				painted = colors == keepColors
				i += n
				continue
			}
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		isInvalid := r == utf8.RuneError && size == 1
		if !isInvalid && r > 0x9f {
			i += size
			continue
		}
		b = append(b, s[start:i]...)
		switch {
		case isInvalid:
			b = utf8.AppendRune(b, utf8.RuneError)
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		default:
			b = append(b, '\\', 'x', hexDigits[r>>4], hexDigits[r&15])
		}
		i += size
		start = i
	}
	b = append(b, s[start:]...)
	if painted {
		b = append(b, sgrReset...)
	}
	return b
}

// maxSGR is the longest sequence that passes for a colour; real ones have some
// twenty bytes.
const maxSGR = 64

// sgrLen returns the length of the colour sequence that s starts with, 0 for
// none. It is ESC [ parameters m (ECMA-48, 8.3.117), with the colon that ISO
// 8613-6 allows in parameters.
func sgrLen(s string) int {
	if !strings.HasPrefix(s, "\x1b[") {
		return 0
	}
	for i := 2; i < min(len(s), maxSGR); i++ {
		switch c := s[i]; {
		case c == 'm':
			return i + 1
		case c != ';' && c != ':' && (c < '0' || c > '9'):
			return 0
		}
	}
	return 0
}
