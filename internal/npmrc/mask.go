package npmrc

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
)

// String tells the registries and the URLs that have a credential, and none of
// the credentials.
//
// The methods that print have a value receiver, so that a copied Config masks
// itself too.
func (c Config) String() string {
	var b strings.Builder
	for i, a := range c.public() {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%s=%s", a.Key, a.Value)
	}
	return b.String()
}

// GoString is String: %#v would otherwise show the fields.
func (c Config) GoString() string { return c.String() }

// LogValue is String as a group of attributes.
func (c Config) LogValue() slog.Value { return slog.GroupValue(c.public()...) }

// MarshalJSON keeps a Config out of encoded structures.
func (c Config) MarshalJSON() ([]byte, error) { return json.Marshal(c.String()) }

func (c Config) public() []slog.Attr {
	var list []slog.Attr
	if c.registry != nil {
		list = append(list, slog.String("registry", RedactURL(c.registry)))
	}
	for _, scope := range sortedKeys(c.scopes) {
		list = append(list, slog.String(scope, RedactURL(c.scopes[scope])))
	}
	for _, prefix := range sortedKeys(c.auth) {
		kind, _, _ := strings.Cut(c.auth[prefix], " ")
		list = append(list, slog.String(prefix, kind+" ***"))
	}
	return list
}

// sortedKeys makes what is printed, and which of several faults is reported,
// the same on every run.
func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
