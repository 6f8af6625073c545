package npmrc

import (
	"os"
	"strings"
)

// environ is an environment by name; of two entries the later one counts.
type environ map[string]string

func parseEnviron(list []string) environ {
	if list == nil {
		list = os.Environ()
	}
	env := environ{}
	for _, kv := range list {
		if name, text, ok := strings.Cut(kv, "="); ok && name != "" {
			env[name] = text
		}
	}
	return env
}

// either returns the first of the names that is set to something.
func (e environ) either(names ...string) string {
	for _, name := range names {
		if text := e[name]; text != "" {
			return text
		}
	}
	return ""
}

// expand puts variables in for ${NAME}. As in npm, an unset variable leaves
// the text as written, ${NAME?} is then empty, and a backslash before the
// dollar keeps it literal. ${NAME-text} and ${NAME:-text} give a default, as
// in a shell. unset is the first name that was left as written.
func expand(s string, env environ) (expanded, unset string) {
	var b strings.Builder
	for {
		at := strings.Index(s, "${")
		if at < 0 {
			break
		}
		end := strings.IndexAny(s[at+2:], "${}")
		if end < 0 || s[at+2+end] != '}' || end == 0 {
			b.WriteString(s[:at+2])
			s = s[at+2:]
			continue
		}
		literal, name := s[at:at+2+end+1], s[at+2:at+2+end]
		before := strings.TrimRight(s[:at], `\`)
		escapes := at - len(before)
		s = s[at+len(literal):]

		b.WriteString(before)
		b.WriteString(strings.Repeat(`\`, escapes/2))
		if escapes%2 == 1 {
			b.WriteString(literal)
			continue
		}
		text, ok := env.lookup(name)
		if !ok {
			text = literal
			if unset == "" {
				unset = name
			}
		}
		b.WriteString(text)
	}
	b.WriteString(s)
	return b.String(), unset
}

// lookup evaluates what stands between the braces.
func (e environ) lookup(expr string) (string, bool) {
	if text, ok := e[expr]; ok {
		return text, true
	}
	if name, fallback, ok := strings.Cut(expr, "-"); ok {
		name, emptyToo := strings.CutSuffix(name, ":")
		if text, ok := e[name]; ok && (text != "" || !emptyToo) {
			return text, true
		}
		return fallback, true
	}
	if name, ok := strings.CutSuffix(expr, "?"); ok {
		return e[name], true
	}
	return "", false
}
