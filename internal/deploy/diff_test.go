package deploy

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

func resource(action types.ChangeAction, name, kind string, replacement types.Replacement, properties ...string) types.Change {
	c := &types.ResourceChange{Action: action, LogicalResourceId: &name, ResourceType: &kind, Replacement: replacement}
	for _, p := range properties {
		c.Details = append(c.Details, types.ResourceChangeDetail{Target: &types.ResourceTargetDefinition{Name: aws.String(p), Attribute: types.ResourceAttributeProperties}})
	}
	return types.Change{ResourceChange: c}
}

func TestDiffLines(t *testing.T) {
	o := &Operator{Settings: &Settings{Parameters: map[string]Value{"CPU": {"1024", "selvedge.toml:3"}}}}
	s := &changeSet{
		change: change{
			existing: &Stack{Status: types.StackStatusUpdateComplete, Parameters: map[string]string{
				"CPU": "512", "Memory": "2048", "JWTSecret": noEcho, "AnonKey": noEcho, "KeysSecretArn": "arn:x", "ImageUri": "1.dkr.ecr.x.amazonaws.com/shop@" + digestOf(1)}},
			set: map[string]string{"CPU": "1024", "Memory": "2048", "JWTSecret": "", "AnonKey": "", "AlarmEmail": "ops@example.com", "ImageUri": "1.dkr.ecr.x.amazonaws.com/shop@sha256:" + strings.Repeat("a", 64)},
		},
		changes: []types.Change{
			resource(types.ChangeActionModify, "TaskDefinition", "AWS::ECS::TaskDefinition", types.ReplacementTrue, "Cpu", "ContainerDefinitions"),
			resource(types.ChangeActionModify, "Service", "AWS::ECS::Service", types.ReplacementFalse, "TaskDefinition"),
			resource(types.ChangeActionModify, "LoadBalancer", "AWS::ElasticLoadBalancingV2::LoadBalancer", types.ReplacementTrue, "Scheme"),
			resource(types.ChangeActionAdd, "AlarmTopic", "AWS::SNS::Topic", ""),
			resource(types.ChangeActionRemove, "LogGroup", "AWS::Logs::LogGroup", ""),
		},
	}
	d := o.diff(s)
	want := []string{
		"~ AlarmEmail: none → ops@example.com",
		"~ CPU: 512 → 1024 (selvedge.toml:3)",
		"~ ImageUri: shop@sha256:000000000000… → shop@sha256:aaaaaaaaaaaa…",
		"+  AlarmTopic  AWS::SNS::Topic",
		"~  Service  AWS::ECS::Service  (TaskDefinition)",
		"-  LogGroup  AWS::Logs::LogGroup",
		"±  LoadBalancer  AWS::ElasticLoadBalancingV2::LoadBalancer  (Scheme)",
		"~  TaskDefinition  a new release  (ContainerDefinitions, Cpu)",
	}
	if got := d.Lines(); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	warnings := strings.Join(d.Warnings(), "\n")
	if !strings.Contains(warnings, "LoadBalancer is replaced: the load balancer gets another address") || !strings.Contains(warnings, "LogGroup is removed") || strings.Contains(warnings, "TaskDefinition") {
		t.Errorf("warnings %s", warnings)
	}

	// From the way by hand: the keys that were parameters become a secret.
	s.existing.Parameters["KeysSecretArn"] = ""
	s.set["AnonKey"] = "the-anon-key"
	lines := strings.Join(o.diff(s).Lines(), "\n")
	if !strings.Contains(lines, "~ JWTSecret (secret)") || !strings.Contains(lines, "~ AnonKey (secret)") || strings.Contains(lines, "the-anon-key") || strings.Contains(lines, noEcho) {
		t.Errorf("got\n%s", lines)
	}
}

// TestAdvice: what AWS says leads to what is to be done.
func TestAdvice(t *testing.T) {
	for said, want := range map[string]string{
		"OutOfMemoryError: Container killed due to memory usage":                                        "more memory",
		"exec /usr/local/bin/selvedge: exec format error":                                               "cpu_architecture",
		"CannotPullContainerError: pull image manifest has been retried 5 time(s)":                      "cannot be pulled",
		"ResourceInitializationError: unable to pull secrets or registry auth":                          "a secret cannot be read",
		"Task failed ELB health checks in (target-group arn:x)":                                         "does not answer /health",
		"Error occurred during operation 'ECS Deployment Circuit Breaker was triggered'.":               "do not stay up",
		"The maximum number of VPCs has been reached. (Service: Ec2, Status Code: 400)":                 "quota",
		"Resource of type 'AWS::Logs::LogGroup' with identifier '/ecs/a' already exists.":               "another project_name",
		"User: arn:aws:iam::1:user/x is not authorized to perform: ecs:CreateCluster on resource: arn:": "lack a right",
		"Certificate 'arn:x' is not found":                                                              "certificate_arn",
	} {
		if got := strings.Join(adviceFor(said), "\n"); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", said, got, want)
		}
	}
	if got := adviceFor("all is well"); len(got) > 0 {
		t.Errorf("got %q", got)
	}
}

func TestPlain(t *testing.T) {
	if got := plain(`Resource handler returned message: "No room." (RequestToken: 1-2, HandlerErrorCode: GeneralServiceException)`); got != "No room." {
		t.Errorf("got %s", got)
	}
	if got := plain("No room."); got != "No room." {
		t.Errorf("got %s", got)
	}
}
