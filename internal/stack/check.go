package stack

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A ParameterError is everything that is wrong with parameters.
type ParameterError struct{ Problems []Problem }

// A Problem is one thing that is wrong.
type Problem struct {
	// Parameter is the name, "" where several do not go together.
	Parameter string
	// Rule is the name of the rule that is broken, "" where a value alone is
	// wrong.
	Rule string
	// Message says what is wrong and what to give. It never has the value of a
	// NoEcho parameter.
	Message string
}

func (e *ParameterError) Error() string {
	var all []string
	for _, p := range e.Problems {
		all = append(all, p.Message)
	}
	return strings.Join(all, "\n")
}

// Check returns a *ParameterError if CloudFormation would refuse the
// parameters, or if a name is none of the template's. Parameters that are not
// given have their defaults.
func (t *Template) Check(parameters map[string]string) error {
	var found []Problem
	for name := range parameters {
		if _, ok := t.Parameter(name); !ok {
			found = append(found, Problem{Parameter: name, Message: fmt.Sprintf("There is no parameter %s.", name)})
		}
	}
	slices.SortFunc(found, func(a, b Problem) int { return strings.Compare(a.Parameter, b.Parameter) })
	all := t.withDefaults(parameters)
	for _, p := range t.Parameters {
		v, ok := all[p.Name]
		switch {
		case !ok:
			found = append(found, Problem{Parameter: p.Name, Message: p.Name + " is missing: " + lowerFirst(p.Description)})
		default:
			if problem := p.problem(v); problem != "" {
				found = append(found, Problem{Parameter: p.Name, Message: problem})
			}
		}
	}
	r := &resolver{template: t, out: &Resolved{Parameters: all, Conditions: map[string]bool{}}}
	for _, rule := range t.Rules {
		broken, err := r.broken(rule)
		if err != nil {
			return fmt.Errorf("rule %s: %w", rule.Name, err)
		}
		for _, message := range broken {
			found = append(found, Problem{Rule: rule.Name, Message: message})
		}
	}
	if len(found) > 0 {
		return &ParameterError{found}
	}
	return nil
}

// broken returns what a rule says about the parameters.
func (r *resolver) broken(rule Rule) ([]string, error) {
	if rule.When != nil {
		if holds, err := r.test(rule.When); err != nil || !holds {
			return nil, err
		}
	}
	var said []string
	for _, a := range rule.Assertions {
		holds, err := r.test(a.That)
		if err != nil {
			return nil, err
		}
		if !holds {
			said = append(said, a.Else)
		}
	}
	return said, nil
}

// problem says what is wrong with a value, "" if nothing is.
func (p Parameter) problem(v string) string {
	shown := strconv.Quote(v)
	if p.NoEcho {
		shown = "what was given"
	}
	if p.Type == "Number" {
		n, err := strconv.Atoi(v)
		if err != nil || strconv.Itoa(n) != v {
			return fmt.Sprintf("%s must be a whole number, not %s.", p.Name, shown)
		}
		if (p.Min != 0 || p.Max != 0) && (n < p.Min || n > p.Max) {
			return fmt.Sprintf("%s must be from %d to %d, not %d.", p.Name, p.Min, p.Max, n)
		}
	}
	if p.AllowedValues != nil && !slices.Contains(p.AllowedValues, v) {
		return fmt.Sprintf("%s must be one of %s, not %s.", p.Name, strings.Join(p.AllowedValues, ", "), shown)
	}
	if p.AllowedPattern != "" && !regexp.MustCompile(`^(?:`+p.AllowedPattern+`)$`).MatchString(v) {
		return fmt.Sprintf("%s must be %s, not %s.", p.Name, p.Constraint, shown)
	}
	return ""
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }
