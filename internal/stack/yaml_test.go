package stack

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// maxBody is how long a template may be that is sent with the call, in bytes.
// A longer one has to lie in a bucket of S3.
const maxBody = 51200

func TestTemplatesFitIntoACall(t *testing.T) {
	for name, tpl := range map[string]*Template{"service": Service(), "registry": Registry()} {
		if n := len(tpl.YAML()); n > maxBody {
			t.Errorf("the template of the %s has %d bytes, %d more than fit", name, n, n-maxBody)
		}
	}
}

// TestYAMLSaysWhatTheTemplateIs reads the file with a parser of YAML and
// compares all of it with what it was made from.
func TestYAMLSaysWhatTheTemplateIs(t *testing.T) {
	for name, tpl := range map[string]*Template{"service": Service(), "registry": Registry()} {
		t.Run(name, func(t *testing.T) {
			var doc yaml.Node
			if err := yaml.Unmarshal(tpl.YAML(), &doc); err != nil {
				t.Fatal(err)
			}
			got := plainNode(t, doc.Content[0]).(map[string]any)
			want := map[string]any{
				"AWSTemplateFormatVersion": "2010-09-09", "Description": tpl.Description, "Metadata": got["Metadata"],
				"Parameters": map[string]any{}, "Resources": map[string]any{}, "Outputs": map[string]any{},
			}
			for _, p := range tpl.Parameters {
				want["Parameters"].(map[string]any)[p.Name] = parameterFields(p)
			}
			for i := range tpl.Resources {
				r := &tpl.Resources[i]
				m := map[string]any{"Type": r.Type}
				put := func(key string, v any) {
					if !reflect.ValueOf(v).IsZero() {
						m[key] = v
					}
				}
				put("Condition", r.Condition)
				put("DeletionPolicy", r.DeletionPolicy)
				put("UpdateReplacePolicy", r.UpdateReplacePolicy)
				if r.DependsOn != nil {
					m["DependsOn"] = plainValue(texts(r.DependsOn))
				}
				if r.StartsAfter != nil {
					m["Metadata"] = map[string]any{"StartsAfter": plainValue(r.StartsAfter)}
				}
				if len(r.Properties) > 0 {
					m["Properties"] = plainValue(r.Properties)
				}
				want["Resources"].(map[string]any)[r.Name] = m
			}
			for _, o := range tpl.Outputs {
				m := map[string]any{"Value": plainValue(o.Value)}
				if o.Condition != "" {
					m["Condition"] = o.Condition
				}
				if o.Description != "" {
					m["Description"] = o.Description
				}
				want["Outputs"].(map[string]any)[o.Name] = m
			}
			if len(tpl.Rules) > 0 {
				rules := map[string]any{}
				for _, r := range tpl.Rules {
					m := map[string]any{}
					if r.When != nil {
						m["RuleCondition"] = plainValue(r.When)
					}
					var all []any
					for _, a := range r.Assertions {
						all = append(all, map[string]any{"Assert": plainValue(a.That), "AssertDescription": a.Else})
					}
					m["Assertions"] = all
					rules[r.Name] = m
				}
				want["Rules"] = rules
				want["Mappings"] = plainValue(tpl.Mappings)
				want["Conditions"] = plainValue(tpl.Conditions)
			}
			compare(t, "", got, want)

			// Each parameter is asked for under some heading.
			groups := fmt.Sprint(got["Metadata"])
			for _, p := range tpl.Parameters {
				if !strings.Contains(groups, p.Name) || p.Group == "" {
					t.Errorf("%s is in no group", p.Name)
				}
				if p.Description == "" || !strings.HasSuffix(p.Description, ".") {
					t.Errorf("%s has no description", p.Name)
				}
			}
		})
	}
}

func parameterFields(p Parameter) map[string]any {
	number := func(s string) any {
		if n, err := strconv.Atoi(s); err == nil && p.Type == "Number" {
			return n
		}
		return s
	}
	m := map[string]any{"Type": p.Type, "Description": p.Description}
	if !p.Required {
		m["Default"] = number(p.Default)
	}
	if p.NoEcho {
		m["NoEcho"] = true
	}
	if p.AllowedValues != nil {
		var all []any
		for _, v := range p.AllowedValues {
			all = append(all, number(v))
		}
		m["AllowedValues"] = all
	}
	if p.AllowedPattern != "" {
		m["AllowedPattern"] = p.AllowedPattern
		if !strings.HasSuffix(p.Constraint, "or nothing") {
			m["ConstraintDescription"] = p.Constraint
		}
	}
	if p.Min != 0 || p.Max != 0 {
		m["MinValue"], m["MaxValue"] = p.Min, p.Max
	}
	return m
}

// plainNode is a node of YAML with functions as objects of one key, the tag.
func plainNode(t *testing.T, n *yaml.Node) any {
	t.Helper()
	var v any
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i < len(n.Content); i += 2 {
			key := n.Content[i].Value
			if _, twice := m[key]; twice {
				t.Errorf("line %d: %s twice", n.Content[i].Line, key)
			}
			m[key] = plainNode(t, n.Content[i+1])
		}
		v = m
	case yaml.SequenceNode:
		l := []any{}
		for _, c := range n.Content {
			l = append(l, plainNode(t, c))
		}
		v = l
	case yaml.ScalarNode:
		if strings.HasPrefix(n.Tag, "!!") {
			if err := n.Decode(&v); err != nil {
				t.Fatal(err)
			}
		} else {
			v = n.Value
		}
	default:
		t.Fatalf("line %d: neither map, list nor scalar", n.Line)
	}
	if strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!") {
		return map[string]any{n.Tag: v}
	}
	return v
}

// plainValue is the same of a value of a template.
func plainValue(v any) any {
	if c, ok := v.(Condition); ok {
		return map[string]any{"Condition": string(c)}
	}
	if tag, arg, ok := short(v); ok {
		return map[string]any{tag: plainValue(arg)}
	}
	switch v := v.(type) {
	case Map:
		m := map[string]any{}
		for _, e := range v {
			m[e.Key] = plainValue(e.Value)
		}
		return m
	case List:
		l := []any{}
		for _, e := range v {
			l = append(l, plainValue(e))
		}
		return l
	}
	return v
}

func compare(t *testing.T, at string, got, want any) {
	t.Helper()
	g, ok := got.(map[string]any)
	w, also := want.(map[string]any)
	if !ok || !also {
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %#v\nwant %#v", at, got, want)
		}
		return
	}
	for key := range w {
		if _, ok := g[key]; !ok {
			t.Errorf("%s/%s is missing", at, key)
		}
	}
	for key := range g {
		compare(t, at+"/"+key, g[key], w[key])
	}
}

func TestYAMLForms(t *testing.T) {
	tpl := &Template{Head: "one\n\ntwo", Description: "d", Resources: []Resource{{Name: "A", Type: "T", Properties: object(
		"Text", "yes", "Number", "12", "Colon", "a: b", "Quote", "it's", "Lines", "a\n  b\n", "Empty", "", "Long", strings.Repeat("word ", 40)+"end",
		"List", List{List{"x"}, object("k", Ref("P"), "long", strings.Repeat("y", 150))},
		"None", object("Count", Map{}),
	)}}}
	var doc yaml.Node
	if err := yaml.Unmarshal(tpl.YAML(), &doc); err != nil {
		t.Fatalf("%v\n%s", err, tpl.YAML())
	}
	got := plainNode(t, doc.Content[0]).(map[string]any)["Resources"].(map[string]any)["A"].(map[string]any)["Properties"]
	compare(t, "", got, plainValue(tpl.Resources[0].Properties))
}
