package function

import (
	"maps"
	"slices"
	"strings"
)

// A Set is every function found in one look at the disk. It never changes; a
// later look makes another Set, and the two can be swapped atomically.
type Set struct {
	functions []*Function
	bySlug    map[string]*Function
	disabled  []string
	warnings  []string
	problems  map[string]error
}

// NewSet returns the set of the given functions. Discover is the usual way to
// get one; this is for those who already know what they run. Of two functions
// with one slug the later is kept.
func NewSet(functions ...*Function) *Set {
	s := &Set{bySlug: make(map[string]*Function, len(functions))}
	for _, f := range functions {
		s.bySlug[f.Slug] = f
	}
	s.functions = slices.SortedFunc(maps.Values(s.bySlug), func(a, b *Function) int {
		return strings.Compare(a.Slug, b.Slug)
	})
	return s
}

// Functions returns the functions that can be run, sorted by slug.
func (s *Set) Functions() []*Function { return slices.Clone(s.functions) }

// Lookup returns the function with the slug.
func (s *Set) Lookup(slug string) (*Function, bool) {
	f, ok := s.bySlug[slug]
	return f, ok
}

// Len returns how many functions can be run.
func (s *Set) Len() int { return len(s.functions) }

// Disabled returns the slugs that config.toml switches off, sorted.
func (s *Set) Disabled() []string { return slices.Clone(s.disabled) }

// Warnings returns what the user should know but what stops nothing, in the
// order found, each a full sentence that names its file.
func (s *Set) Warnings() []string { return slices.Clone(s.warnings) }

// Problem returns why the function with the slug cannot be run, nil when there
// is no such problem. The error is a *Problem.
func (s *Set) Problem(slug string) error { return s.problems[slug] }

// Problems returns the functions that exist but cannot be run, by slug, or by
// the folder's name where that is no valid slug.
func (s *Set) Problems() map[string]error { return maps.Clone(s.problems) }
