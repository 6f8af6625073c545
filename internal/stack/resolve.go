package stack

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Pseudo are the pseudo parameters of a stack.
type Pseudo struct {
	// Partition is "aws" where it is left empty.
	Partition string
	Region    string
	Account   string
	StackName string
}

func (p Pseudo) get(name string) (string, bool) {
	switch name {
	case "AWS::Partition":
		if p.Partition == "" {
			return "aws", true
		}
		return p.Partition, true
	case "AWS::Region":
		return p.Region, true
	case "AWS::AccountId":
		return p.Account, true
	case "AWS::StackName":
		return p.StackName, true
	case "AWS::URLSuffix":
		return "amazonaws.com", true
	}
	return "", false
}

// Resolved is what a template comes to with parameters.
type Resolved struct {
	// Parameters are those that were given and the defaults of the others.
	// Those with NoEcho are among them.
	Parameters map[string]string
	Conditions map[string]bool
	// Resources are those that exist, by name.
	Resources map[string]ResolvedResource
	Outputs   map[string]any
}

// A ResolvedResource is a resource that exists. Properties are made of string,
// bool, int, []any and map[string]any. What only AWS can know stands as
// "${Resource}" or "${Resource.Attribute}".
type ResolvedResource struct {
	Type                string
	DependsOn           []string
	DeletionPolicy      string
	UpdateReplacePolicy string
	Properties          map[string]any
}

// Resolve returns what the template comes to. It does not look at whether the
// parameters are any good, which is for Check, but they must be there.
func (t *Template) Resolve(parameters map[string]string, pseudo Pseudo) (*Resolved, error) {
	r := &resolver{template: t, pseudo: pseudo, out: &Resolved{
		Conditions: map[string]bool{}, Resources: map[string]ResolvedResource{}, Outputs: map[string]any{},
	}}
	r.out.Parameters = t.withDefaults(parameters)
	for _, p := range t.Parameters {
		if _, ok := r.out.Parameters[p.Name]; !ok {
			return nil, fmt.Errorf("parameter %s has no value", p.Name)
		}
	}
	if err := r.run(); err != nil {
		return nil, fmt.Errorf("resolve template: %w", err)
	}
	return r.out, nil
}

// withDefaults returns the parameters that the template has. A required one
// that is not given is missing.
func (t *Template) withDefaults(given map[string]string) map[string]string {
	all := map[string]string{}
	for _, p := range t.Parameters {
		if v, ok := given[p.Name]; ok {
			all[p.Name] = v
		} else if !p.Required {
			all[p.Name] = p.Default
		}
	}
	return all
}

type resolver struct {
	template *Template
	pseudo   Pseudo
	out      *Resolved
}

func (r *resolver) run() error {
	for _, c := range r.template.Conditions {
		holds, err := r.test(c.Value)
		if err != nil {
			return fmt.Errorf("condition %s: %w", c.Key, err)
		}
		r.out.Conditions[c.Key] = holds
	}
	for i := range r.template.Resources {
		res := &r.template.Resources[i]
		exists, err := r.exists(res.Condition)
		if err != nil {
			return fmt.Errorf("resource %s: %w", res.Name, err)
		}
		if exists {
			r.out.Resources[res.Name] = ResolvedResource{Type: res.Type, DeletionPolicy: res.DeletionPolicy, UpdateReplacePolicy: res.UpdateReplacePolicy}
		}
	}
	for name, known := range r.out.Resources {
		res := r.template.Resource(name)
		v, err := r.value(res.Properties)
		if err != nil {
			return fmt.Errorf("resource %s: %w", name, err)
		}
		known.Properties, _ = v.(map[string]any)
		for _, on := range res.DependsOn {
			if _, ok := r.out.Resources[on]; ok {
				known.DependsOn = append(known.DependsOn, on)
			} else if r.template.Resource(on) == nil {
				return fmt.Errorf("resource %s depends on %s, which there is not", name, on)
			}
		}
		r.out.Resources[name] = known
	}
	for _, o := range r.template.Outputs {
		exists, err := r.exists(o.Condition)
		if err != nil {
			return fmt.Errorf("output %s: %w", o.Name, err)
		}
		if !exists {
			continue
		}
		if r.out.Outputs[o.Name], err = r.value(o.Value); err != nil {
			return fmt.Errorf("output %s: %w", o.Name, err)
		}
	}
	return nil
}

func (r *resolver) exists(condition string) (bool, error) {
	if condition == "" {
		return true, nil
	}
	return r.test(Condition(condition))
}

// absent is what becomes of AWS::NoValue.
type absent struct{}

// value resolves anything but tests.
func (r *resolver) value(v any) (any, error) {
	switch v := v.(type) {
	case string, bool, int:
		return v, nil
	case nil:
		return map[string]any(nil), nil
	case Map:
		all := map[string]any{}
		for _, e := range v {
			got, err := r.value(e.Value)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", e.Key, err)
			}
			if got != (absent{}) {
				all[e.Key] = got
			}
		}
		return all, nil
	case List:
		all := []any{}
		for i, e := range v {
			got, err := r.value(e)
			if err != nil {
				return nil, fmt.Errorf("%d: %w", i, err)
			}
			if got != (absent{}) {
				all = append(all, got)
			}
		}
		return all, nil
	case If:
		holds, err := r.test(Condition(v.Condition))
		if err != nil {
			return nil, err
		}
		if holds {
			return r.value(v.Then)
		}
		return r.value(v.Else)
	case Ref:
		if v == noValue {
			return absent{}, nil
		}
		return r.name(string(v))
	case GetAtt:
		return r.name(string(v))
	case Sub:
		var b strings.Builder
		for _, p := range v.parts() {
			text := p.text
			if p.name {
				var err error
				if text, err = r.name(p.text); err != nil {
					return nil, err
				}
			}
			b.WriteString(text)
		}
		return b.String(), nil
	case GetAZs:
		return []any{"${AvailabilityZone1}", "${AvailabilityZone2}"}, nil
	case Select:
		of, err := r.value(v.Of)
		if err != nil {
			return nil, err
		}
		list, ok := of.([]any)
		if !ok || v.Index >= len(list) {
			return nil, fmt.Errorf("no element %d of %v", v.Index, of)
		}
		return list[v.Index], nil
	case FindInMap:
		first, err := r.value(v.First)
		if err != nil {
			return nil, err
		}
		top, _ := r.template.Mappings.Get(v.Mapping).(Map)
		row, _ := top.Get(fmt.Sprint(first)).(Map)
		if found := row.Get(v.Second); found != nil {
			return found, nil
		}
		return nil, fmt.Errorf("mapping %s has no %v, %s", v.Mapping, first, v.Second)
	}
	return nil, fmt.Errorf("%T is no value", v)
}

// name resolves parameters, pseudo parameters and resources.
func (r *resolver) name(name string) (string, error) {
	if v, ok := r.pseudo.get(name); ok {
		return v, nil
	}
	if v, ok := r.out.Parameters[name]; ok {
		return v, nil
	}
	resource, _, _ := strings.Cut(name, ".")
	if _, ok := r.out.Resources[resource]; ok {
		return "${" + name + "}", nil
	}
	return "", fmt.Errorf("%s does not exist with these parameters", name)
}

// test resolves what a condition or a rule asks.
func (r *resolver) test(v any) (bool, error) {
	all := func(list []any, want bool) (bool, error) {
		for _, e := range list {
			if holds, err := r.test(e); err != nil || holds != want {
				return !want, err
			}
		}
		return want, nil
	}
	switch v := v.(type) {
	case Condition:
		holds, ok := r.out.Conditions[string(v)]
		if !ok {
			return false, fmt.Errorf("no condition %s before this", string(v))
		}
		return holds, nil
	case And:
		return all(v, true)
	case Or:
		return all(v, false)
	case Not:
		holds, err := r.test(v.Of)
		return !holds, err
	case Equals:
		a, err := r.value(v.A)
		if err != nil {
			return false, err
		}
		b, err := r.value(v.B)
		return fmt.Sprint(a) == fmt.Sprint(b), err
	case Contains:
		list, err := r.value(v.List)
		if err != nil {
			return false, err
		}
		item, err := r.value(v.Item)
		return slices.Contains(list.([]any), item), err
	}
	return false, fmt.Errorf("%T is no test", v)
}

// Names returns the names of the resources, sorted.
func (r *Resolved) Names() []string { return slices.Sorted(maps.Keys(r.Resources)) }
