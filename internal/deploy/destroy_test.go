package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// fakeDefinitions are task definitions of two families, in pages of three.
type fakeDefinitions struct {
	state   map[string]ecstypes.TaskDefinitionStatus
	batches []int
	fail    string // an operation
	refuse  string // a revision that cannot be deleted
}

func (f *fakeDefinitions) ListTaskDefinitions(_ context.Context, in *ecs.ListTaskDefinitionsInput, _ ...func(*ecs.Options)) (*ecs.ListTaskDefinitionsOutput, error) {
	if f.fail == "ListTaskDefinitions" {
		return nil, errors.New("broken")
	}
	var all []string
	for _, arn := range sortedKeys(f.state) {
		if f.state[arn] == in.Status && strings.Contains(arn, "/"+*in.FamilyPrefix) {
			all = append(all, arn)
		}
	}
	from := 0
	fmt.Sscan(aws.ToString(in.NextToken), &from)
	out := &ecs.ListTaskDefinitionsOutput{TaskDefinitionArns: all[from:min(from+3, len(all))]}
	if from+3 < len(all) {
		out.NextToken = aws.String(fmt.Sprint(from + 3))
	}
	return out, nil
}

func (f *fakeDefinitions) DeregisterTaskDefinition(_ context.Context, in *ecs.DeregisterTaskDefinitionInput, _ ...func(*ecs.Options)) (*ecs.DeregisterTaskDefinitionOutput, error) {
	if f.fail == "DeregisterTaskDefinition" {
		return nil, errors.New("broken")
	}
	f.state[*in.TaskDefinition] = ecstypes.TaskDefinitionStatusInactive
	return &ecs.DeregisterTaskDefinitionOutput{}, nil
}

func (f *fakeDefinitions) DeleteTaskDefinitions(_ context.Context, in *ecs.DeleteTaskDefinitionsInput, _ ...func(*ecs.Options)) (*ecs.DeleteTaskDefinitionsOutput, error) {
	f.batches = append(f.batches, len(in.TaskDefinitions))
	out := &ecs.DeleteTaskDefinitionsOutput{}
	for _, arn := range in.TaskDefinitions {
		switch {
		case f.state[arn] != ecstypes.TaskDefinitionStatusInactive:
			return nil, fmt.Errorf("%s is %s", arn, f.state[arn])
		case arn == f.refuse:
			out.Failures = append(out.Failures, ecstypes.Failure{Arn: &arn, Reason: aws.String("it is in use")})
		default:
			delete(f.state, arn)
		}
	}
	return out, nil
}

type silent struct{}

func (silent) Begin(string) {}
func (silent) Now(string)   {}
func (silent) Note(string)  {}
func (silent) Warn(string)  {}
func (silent) End(string)   {}

func definitions() *fakeDefinitions {
	f := &fakeDefinitions{state: map[string]ecstypes.TaskDefinitionStatus{"x:task-definition/shop-production-2:1": ecstypes.TaskDefinitionStatusActive}}
	for i := range 23 {
		f.state[fmt.Sprintf("x:task-definition/shop-production:%d", i+1)] = ecstypes.TaskDefinitionStatusActive
	}
	f.state["x:task-definition/shop-production:5"] = ecstypes.TaskDefinitionStatusInactive // an earlier destroy was cut short
	return f
}

func TestRemoveDefinitions(t *testing.T) {
	f := definitions()
	n, err := removeDefinitions(t.Context(), f, "shop-production", silent{})
	if n != 23 || err != nil || !slices.Equal(f.batches, []int{10, 10, 3}) {
		t.Errorf("%d, %v, batches of %v", n, err, f.batches)
	}
	if left := sortedKeys(f.state); len(left) != 1 || left[0] != "x:task-definition/shop-production-2:1" {
		t.Errorf("left: %q", left)
	}
	if n, err := removeDefinitions(t.Context(), f, "shop-production", silent{}); n != 0 || err != nil {
		t.Errorf("again: %d, %v", n, err)
	}
	for _, fail := range []string{"ListTaskDefinitions", "DeregisterTaskDefinition"} {
		f := definitions()
		f.fail = fail
		if _, err := removeDefinitions(t.Context(), f, "shop-production", silent{}); err == nil {
			t.Errorf("%s failed, and nobody said so", fail)
		}
	}
	f = definitions()
	f.refuse = "x:task-definition/shop-production:7"
	if _, err := removeDefinitions(t.Context(), f, "shop-production", silent{}); err == nil || !strings.Contains(err.Error(), "shop-production:7: it is in use") {
		t.Errorf("%v", err)
	}
}

func TestRemains(t *testing.T) {
	at := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	s := &Settings{Names: Target{Project: "shop", Environment: "production"}}
	o := &Operator{Clients: &Clients{Region: "eu-central-1"}, Settings: s, Options: Options{Now: func() time.Time { return at }}}
	p := &possessions{
		secrets:     []*SecretStore{{Name: "shop/production/keys"}},
		definitions: []string{"x"},
		service:     &Stack{Parameters: map[string]string{"EnableInsights": "true", "HostedZoneId": "Z1", "DomainName": "f.example.com"}},
	}
	list := o.remains(p)
	var all strings.Builder
	for _, left := range list {
		fmt.Fprintf(&all, "%s | %s\n", left.What, left.Remove)
	}
	for _, want := range []string{"until 2026-02-01", "delete-secret --secret-id shop/production/keys --force-delete-without-recovery", "for up to an hour", "/aws/ecs/containerinsights/shop-production/performance", "zone Z1", "15 months"} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("%q is not in\n%s", want, all.String())
		}
	}
	if list := o.remains(&possessions{}); len(list) != 0 {
		t.Errorf("%+v", list)
	}
}
