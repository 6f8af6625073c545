package deploy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"github.com/selvedge-dev/selvedge/internal/stack"
)

// A Diff is what a change set would do, for people and scripts.
type Diff struct {
	// Creates is set for a stack that is not there yet.
	Creates    bool              `json:"creates,omitempty"`
	Parameters []ParameterChange `json:"parameters"`
	Resources  []ResourceChange  `json:"resources"`
}

// A ParameterChange is a parameter that gets another value. Secret ones are
// named only.
type ParameterChange struct {
	Name   string `json:"name"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
	Secret bool   `json:"secret,omitempty"`
	// From is where the new value was set, "" where it follows from the deploy.
	From string `json:"from,omitempty"`
}

// A ResourceChange is a resource that is made, changed, replaced or removed.
type ResourceChange struct {
	// Action is "add", "change", "replace", "may be replaced" or "remove".
	Action string `json:"action"`
	Name   string `json:"name"`
	Type   string `json:"type"`
	// Properties are those that change.
	Properties []string `json:"properties,omitempty"`
	// Warning says what a replacement or removal does to those who use it.
	Warning string `json:"warning,omitempty"`
}

// losses are what goes with a resource that is replaced or removed. A task
// definition is not among them: each release is a new one.
var losses = map[string]string{
	"AWS::ElasticLoadBalancingV2::LoadBalancer": "the load balancer gets another address; DNS records that are not part of the stack must follow",
	"AWS::ElasticLoadBalancingV2::TargetGroup":  "requests find no task until those of the new target group are healthy",
	"AWS::ECS::Service":                         "no task runs from the end of the old service to the start of the new one",
	"AWS::ECS::Cluster":                         "no task runs from the end of the old cluster to the start of the new one",
	"AWS::Logs::LogGroup":                       "the log so far is no longer where the new one is",
	"AWS::EC2::VPC":                             "the whole network is made anew",
	"AWS::EC2::Subnet":                          "tasks move to other addresses",
	"AWS::EC2::EIP":                             "the fixed address changes; allow lists elsewhere must follow",
	"AWS::CertificateManager::Certificate":      "a new certificate must be issued first",
}

// diff makes one from a change set.
func (o *Operator) diff(s *changeSet) *Diff {
	d := &Diff{Creates: !s.existing.exists(), Parameters: []ParameterChange{}, Resources: []ResourceChange{}}
	secret := map[string]bool{}
	for _, p := range stack.Service().Parameters {
		secret[p.Name] = p.NoEcho
	}
	for _, name := range slices.Sorted(maps.Keys(s.set)) {
		after, before := s.set[name], ""
		if s.existing.exists() {
			before = s.existing.Parameters[name]
		}
		switch {
		case secret[name]:
			// CloudFormation shows asterisks also for one that is empty, which
			// it is where the keys are in a secret.
			if after != "" || before != "" && s.existing.Parameters["KeysSecretArn"] == "" {
				d.Parameters = append(d.Parameters, ParameterChange{Name: name, Secret: true})
			}
		case before != after:
			d.Parameters = append(d.Parameters, ParameterChange{Name: name, Before: before, After: after, From: o.Settings.Parameters[name].Origin})
		}
	}
	for _, c := range s.changes {
		if c.ResourceChange != nil {
			d.Resources = append(d.Resources, resourceChange(c.ResourceChange))
		}
	}
	slices.SortStableFunc(d.Resources, func(a, b ResourceChange) int {
		return cmp.Or(cmp.Compare(a.Action, b.Action), cmp.Compare(a.Name, b.Name))
	})
	return d
}

func resourceChange(c *types.ResourceChange) ResourceChange {
	r := ResourceChange{Action: "change", Name: aws.ToString(c.LogicalResourceId), Type: aws.ToString(c.ResourceType)}
	for _, detail := range c.Details {
		if t := detail.Target; t != nil {
			name := cmp.Or(aws.ToString(t.Name), string(t.Attribute))
			if name != "" && !slices.Contains(r.Properties, name) {
				r.Properties = append(r.Properties, name)
			}
		}
	}
	slices.Sort(r.Properties)
	switch {
	case c.Action == types.ChangeActionAdd:
		r.Action, r.Properties = "add", nil
	case c.Action == types.ChangeActionRemove:
		r.Action, r.Properties = "remove", nil
	case c.Replacement == types.ReplacementTrue:
		r.Action = "replace"
	case c.Replacement == types.ReplacementConditional:
		r.Action = "may be replaced"
	}
	if r.Action != "add" && r.Action != "change" {
		r.Warning = losses[r.Type]
	}
	return r
}

// signs are how lines of a diff begin.
var signs = map[string]string{"add": "+", "change": "~", "replace": "±", "may be replaced": "±?", "remove": "-"}

// Lines writes the diff for people.
func (d *Diff) Lines() []string {
	var lines []string
	for _, p := range d.Parameters {
		switch {
		case d.Creates && (p.From == "" || p.From == "default"):
			continue // there is nothing to compare with, and nobody chose it
		case p.Secret:
			lines = append(lines, fmt.Sprintf("~ %s (secret)", p.Name))
		case d.Creates:
			lines = append(lines, fmt.Sprintf("+ %s = %s (%s)", p.Name, quoted(p.After), p.From))
		default:
			line := fmt.Sprintf("~ %s: %s → %s", p.Name, quoted(p.Before), quoted(p.After))
			if p.From != "" {
				line += " (" + p.From + ")"
			}
			lines = append(lines, line)
		}
	}
	if d.Creates {
		return append(lines, d.summary()...)
	}
	for _, r := range d.Resources {
		line := fmt.Sprintf("%-2s %s  %s", signs[r.Action], r.Name, r.Type)
		if r.Type == "AWS::ECS::TaskDefinition" && r.Action == "replace" {
			line = "~  " + r.Name + "  a new release" // as each is
		}
		if len(r.Properties) > 0 {
			line += "  (" + strings.Join(r.Properties, ", ") + ")"
		}
		lines = append(lines, line)
	}
	return lines
}

// summary counts what a new stack gets, by type.
func (d *Diff) summary() []string {
	counts := map[string]int{}
	for _, r := range d.Resources {
		counts[strings.TrimPrefix(r.Type, "AWS::")]++
	}
	lines := []string{fmt.Sprintf("+ %d resources:", len(d.Resources))}
	line := " "
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		word := strings.ReplaceAll(kind, "::", " ")
		if counts[kind] > 1 {
			word = fmt.Sprintf("%s ×%d", word, counts[kind])
		}
		if len(line)+len(word) > 90 {
			lines, line = append(lines, line+","), " "
		}
		if line != " " {
			line += ","
		}
		line += " " + word
	}
	return append(lines, line)
}

// Warnings are what a user should know before a yes.
func (d *Diff) Warnings() []string {
	var list []string
	for _, r := range d.Resources {
		if r.Warning == "" {
			continue
		}
		verb := map[string]string{"replace": "is replaced", "may be replaced": "may be replaced", "remove": "is removed"}[r.Action]
		list = append(list, fmt.Sprintf("%s %s: %s", r.Name, verb, r.Warning))
	}
	return list
}

// quoted writes a value for people: of an image, what tells it from others.
func quoted(value string) string {
	if value == "" {
		return "none"
	}
	if name, digest, ok := strings.Cut(value, "@sha256:"); ok && len(digest) > 12 {
		return lastPart(name) + "@sha256:" + digest[:12] + "…"
	}
	return value
}
