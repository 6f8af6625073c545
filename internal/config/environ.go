package config

import (
	"maps"
	"slices"
	"strings"
)

// An environ is the process environment, as a map.
type environ map[string]string

func parseEnviron(list []string) environ {
	env := make(environ, len(list))
	for _, entry := range list {
		if name, value, ok := strings.Cut(entry, "="); ok {
			env[name] = value
		}
	}
	return env
}

func (e environ) names() []string { return slices.Sorted(maps.Keys(e)) }
