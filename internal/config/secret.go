package config

import (
	"log/slog"
	"strings"
)

// A Secret is a string that no log, error or %v shows. Reveal is the only way
// to its value.
type Secret string

// Reveal returns the value.
func (s Secret) Reveal() string { return string(s) }

// Set reports whether there is a value.
func (s Secret) Set() bool { return s != "" }

// String returns the masked value.
func (s Secret) String() string { return Mask(string(s)) }

// GoString returns the masked value, for %#v.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// LogValue returns the masked value, for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns the masked value, for JSON.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// hidden stands for a value of which nothing is shown.
const hidden = "••••••"

// Mask returns a stand-in for a secret: enough to tell two long ones apart by
// their last four characters, nothing of a short one, "" for none.
func Mask(value string) string {
	switch {
	case value == "":
		return ""
	case len(value) < 24 || strings.ContainsFunc(value[len(value)-4:], unprintable):
		return hidden
	}
	return hidden + value[len(value)-4:]
}

func unprintable(r rune) bool { return r <= ' ' || r > '~' }
