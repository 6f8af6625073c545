package deploy

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/selvedge-dev/selvedge/internal/stack"
)

// A Scale is how many tasks there should be at least and at most; 0 leaves that
// as it is.
type Scale struct{ Min, Max int }

// Scale changes how many tasks a deployment has. Between the bounds, their
// number follows the load.
func (o *Operator) Scale(ctx context.Context, s Scale) (*Result, error) {
	k, err := o.live(ctx)
	if err != nil {
		return nil, err
	}
	changes, err := s.changes(k)
	if err != nil {
		return nil, err
	}
	o.Report.End(fmt.Sprintf("%s in account %s, %s", k.Name, o.account, o.Region))
	if len(changes) == 0 {
		return o.result("unchanged", k), nil
	}
	return o.update(ctx, k, changes, true)
}

// changes are the parameters that get another value. A minimum above the
// maximum raises that too, unless it was given.
func (s Scale) changes(k *Stack) (map[string]string, error) {
	was := map[string]int{}
	for _, name := range []string{"DesiredCount", "MaxCount"} {
		n, err := strconv.Atoi(k.Parameters[name])
		if err != nil {
			return nil, &Problem{What: "the stack " + k.Name + " has no number for its parameter " + name, Why: "it is of another template", Next: []string{"bring it up to date: selvedge deploy"}}
		}
		was[name] = n
	}
	if s.Min > was["MaxCount"] && s.Max == 0 {
		s.Max = s.Min
	}
	changes := map[string]string{}
	for name, n := range map[string]int{"DesiredCount": s.Min, "MaxCount": s.Max} {
		if n != 0 && n != was[name] {
			changes[name] = strconv.Itoa(n)
		}
	}
	return changes, checkChanges(k, changes)
}

// checkChanges sees whether the template takes the parameters of a stack with
// these changes, as far as it is about those that change.
func checkChanges(k *Stack, changes map[string]string) error {
	t := stack.Service()
	all := map[string]string{}
	for _, p := range t.Parameters {
		if v, ok := k.Parameters[p.Name]; ok && !p.NoEcho {
			all[p.Name] = v
		}
		if v, ok := changes[p.Name]; ok {
			all[p.Name] = v
		}
	}
	var bad *stack.ParameterError
	if err := t.Check(all); !errors.As(err, &bad) {
		return err
	}
	p := &Problem{Usage: true, State: nothingRuns}
	for _, problem := range bad.Problems {
		for name := range changes {
			if problem.Parameter == name || problem.Parameter == "" && strings.Contains(problem.Message, name) {
				p.Details = append(p.Details, problem.Message)
				break
			}
		}
	}
	switch len(p.Details) {
	case 0:
		return nil
	case 1:
		p.What, p.Details = strings.TrimSuffix(p.Details[0], "."), nil
	default:
		p.What = "these numbers do not go together"
	}
	return p
}
