package gateway

import (
	"net/netip"
	"strings"
)

// A forwardedHop is one element of a Forwarded header: what a proxy says of
// the request that it got. Fields are "" where it says nothing.
type forwardedHop struct {
	node  string // whom it saw ("for")
	proto string
	host  string
	addr  netip.Addr // of node, set by who needs it
}

// parseForwarded reads the values of the Forwarded header (RFC 7239, section
// 4). A header that does not follow the grammar says nothing at all: a proxy
// that appends to what it does not understand must not lend it its name.
func parseForwarded(values []string) (hops []forwardedHop, ok bool) {
	for _, rest := range values {
		var hop forwardedHop
		begun := false
		for rest = trim(rest); rest != ""; rest = trim(rest) {
			switch rest[0] {
			case ',':
				if begun {
					hops = append(hops, hop)
				}
				hop, begun, rest = forwardedHop{}, false, rest[1:]
				continue
			case ';':
				rest = rest[1:]
				continue
			}
			var name, value string
			if name, value, rest, ok = forwardedPair(rest); !ok || !hop.set(name, value) {
				return nil, false
			}
			begun = true
			if next := trim(rest); next != "" && next[0] != ',' && next[0] != ';' {
				return nil, false
			}
		}
		if begun {
			hops = append(hops, hop)
		}
	}
	return hops, len(hops) > 0
}

// set notes a parameter, of which each may come once.
func (hop *forwardedHop) set(name, value string) bool {
	var field *string
	switch {
	case strings.EqualFold(name, "for"):
		field = &hop.node
	case strings.EqualFold(name, "proto"):
		field = &hop.proto
	case strings.EqualFold(name, "host"):
		field = &hop.host
	default:
		return true // "by" and extensions
	}
	if *field != "" || value == "" {
		return false
	}
	*field = value
	return true
}

// forwardedPair cuts name=value off s; the value may be quoted.
func forwardedPair(s string) (name, value, rest string, ok bool) {
	name, rest, ok = strings.Cut(s, "=")
	if !ok || token(name) != len(name) || name == "" || rest == "" {
		return "", "", "", false
	}
	if rest[0] != '"' {
		// Addresses with a colon must be quoted, and often are not.
		n := 0
		for n < len(rest) && (token(rest[n:n+1]) == 1 || strings.IndexByte(":[]", rest[n]) >= 0) {
			n++
		}
		return name, rest[:n], rest[n:], n > 0
	}
	var b strings.Builder
	for i := 1; i < len(rest); i++ {
		switch rest[i] {
		case '"':
			return name, b.String(), rest[i+1:], true
		case '\\':
			if i++; i == len(rest) {
				return "", "", "", false
			}
		}
		b.WriteByte(rest[i])
	}
	return "", "", "", false
}

// token returns how many bytes of a token (RFC 9110, 5.6.2) s begins with.
func token(s string) int {
	for i := range len(s) {
		switch b := s[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9':
		case strings.IndexByte("!#$%&'*+-.^_`|~", b) >= 0:
		default:
			return i
		}
	}
	return len(s)
}

func trim(s string) string { return strings.Trim(s, " \t") }
