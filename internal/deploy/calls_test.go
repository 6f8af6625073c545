package deploy

import (
	"slices"
	"testing"
)

// ownCalls are those that deploy, releases and rollback make, as a policy names
// them; every test that speaks to the wire is held to it. Calls to the image
// registry, and those of CloudFormation, are not among them.
var ownCalls = []string{
	"cloudformation:CancelUpdateStack", "cloudformation:CreateChangeSet", "cloudformation:CreateStack", "cloudformation:DeleteChangeSet",
	"cloudformation:DeleteStack", "cloudformation:DescribeChangeSet", "cloudformation:DescribeStackEvents", "cloudformation:DescribeStacks",
	"cloudformation:ExecuteChangeSet", "cloudformation:GetTemplate", "cloudformation:RollbackStack",
	"ecr:BatchGetImage", "ecr:GetAuthorizationToken",
	"ecs:DescribeServices", "ecs:DescribeTaskDefinition", "ecs:DescribeTasks", "ecs:ListTaskDefinitions", "ecs:ListTasks",
	"elasticloadbalancing:DescribeTargetHealth",
	"iam:SimulatePrincipalPolicy", // where it is allowed
	"logs:GetLogEvents",
	"secretsmanager:CreateSecret", "secretsmanager:GetSecretValue", "secretsmanager:ListSecretVersionIds", "secretsmanager:PutSecretValue",
	"secretsmanager:RestoreSecret", "secretsmanager:UpdateSecretVersionStage",
	"sts:GetCallerIdentity",
}

// checkCalls fails a test that has made a call that is not in the list.
func (w *wire) checkCalls() {
	for _, name := range w.names() {
		if !slices.Contains(ownCalls, name) {
			w.t.Errorf("%s is called and not in the list: add it there, and to the policy", name)
		}
	}
}

// TestFewCalls bounds what a deploy asks of AWS: others share the limits.
func TestFewCalls(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		state  string
		digest int
		most   int
	}{{"live", 1, 35}, {"unchanged", 1, 9}, {"live", 2, 24}} {
		b.images.digest = digestOf(c.digest)
		b.f.forget()
		b.must(c.state)
		if n := len(b.f.names()); n > c.most {
			t.Errorf("%s takes %d calls, more than %d: %q", c.state, n, c.most, b.f.names())
		}
	}
}
