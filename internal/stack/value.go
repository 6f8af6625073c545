package stack

import (
	"fmt"
	"strings"
)

// A value of a template is a string, a bool, an int, a List, a Map or one of
// the functions below.

// List is a list of values.
type List []any

// Map is an object whose keys keep their order, so that the template has that
// of its source.
type Map []Entry

// Entry is a key of a Map with its value.
type Entry struct {
	Key   string
	Value any
}

// object makes a Map of keys and values in turn.
func object(pairs ...any) Map {
	if len(pairs)%2 != 0 {
		panic("object: a key without a value")
	}
	m := make(Map, 0, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		m = append(m, Entry{pairs[i].(string), pairs[i+1]})
	}
	return m
}

// Get returns the value of a key, nil without it.
func (m Map) Get(key string) any {
	for _, e := range m {
		if e.Key == key {
			return e.Value
		}
	}
	return nil
}

// The functions of CloudFormation that the templates use.
type (
	// Ref is a parameter's value, or what names a resource.
	Ref string
	// GetAtt is "Resource.Attribute".
	GetAtt string
	// Sub is a text with ${Parameter}, ${Resource} and ${Resource.Attribute}.
	Sub string
	// If is one of two values.
	If struct {
		Condition  string
		Then, Else any
	}
	// Select is an element of a list.
	Select struct {
		Index int
		Of    any
	}
	// GetAZs is the list of the region's availability zones.
	GetAZs struct{}
	// FindInMap is a value of a mapping.
	FindInMap struct {
		Mapping string
		First   any
		Second  string
	}

	// Condition is a condition by name.
	Condition string
	// Equals, Not, And, Or and Contains are the tests of conditions and rules.
	Equals   struct{ A, B any }
	Not      struct{ Of any }
	And      []any
	Or       []any
	Contains struct {
		List List
		Item any
	}
)

// noValue leaves out the property or the element that has it.
const noValue = Ref("AWS::NoValue")

// is tests a parameter for a value.
func is(parameter, value string) any { return Equals{Ref(parameter), value} }

// given tests that a parameter is not empty.
func given(parameter string) any { return Not{Equals{Ref(parameter), ""}} }

// short returns a function as YAML has it: its tag and argument.
func short(v any) (tag string, arg any, ok bool) {
	switch v := v.(type) {
	case Ref:
		return "!Ref", string(v), true
	case GetAtt:
		return "!GetAtt", string(v), true
	case Sub:
		return "!Sub", string(v), true
	case If:
		return "!If", List{v.Condition, v.Then, v.Else}, true
	case Select:
		return "!Select", List{v.Index, v.Of}, true
	case GetAZs:
		return "!GetAZs", "", true
	case FindInMap:
		return "!FindInMap", List{v.Mapping, v.First, v.Second}, true
	case Equals:
		return "!Equals", List{v.A, v.B}, true
	case Not:
		return "!Not", List{v.Of}, true
	case And:
		return "!And", List(v), true
	case Or:
		return "!Or", List(v), true
	case Contains:
		return "!Contains", List{v.List, v.Item}, true
	}
	return "", nil, false
}

// names returns what a value refers to: parameters, pseudo parameters,
// resources with and without attributes.
func names(v any) []string {
	var all []string
	walk(v, func(v any) {
		switch v := v.(type) {
		case Ref:
			all = append(all, string(v))
		case GetAtt:
			all = append(all, string(v))
		case Sub:
			for _, p := range v.parts() {
				if p.name {
					all = append(all, p.text)
				}
			}
		}
	})
	return all
}

// walk calls f for v and all that it is made of.
func walk(v any, f func(any)) {
	f(v)
	switch t := v.(type) {
	case List:
		for _, e := range t {
			walk(e, f)
		}
	case Map:
		for _, e := range t {
			walk(e.Value, f)
		}
	default:
		if _, arg, ok := short(v); ok {
			if l, is := arg.(List); is {
				walk(l, f)
			}
		}
	}
}

type subPart struct {
	text string
	name bool
}

// parts divides the text into literals and names.
func (s Sub) parts() []subPart {
	var all []subPart
	rest := string(s)
	for {
		before, after, ok := strings.Cut(rest, "${")
		if before != "" {
			all = append(all, subPart{text: before})
		}
		if !ok {
			return all
		}
		name, more, closed := strings.Cut(after, "}")
		if !closed {
			panic(fmt.Sprintf("no closing brace in %q", string(s)))
		}
		if literal, ok := strings.CutPrefix(name, "!"); ok {
			all = append(all, subPart{text: "${" + literal + "}"})
		} else {
			all = append(all, subPart{text: name, name: true})
		}
		rest = more
	}
}
