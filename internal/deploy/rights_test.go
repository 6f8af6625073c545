package deploy

import (
	"slices"
	"strings"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/stack"
)

func TestPolicySource(t *testing.T) {
	for identity, want := range map[string]string{
		"arn:aws:iam::111122223333:user/team/somebody":            "arn:aws:iam::111122223333:user/team/somebody",
		"arn:aws:sts::111122223333:assumed-role/deployer/session": "arn:aws:iam::111122223333:role/deployer",
		"arn:aws-cn:sts::111122223333:assumed-role/deployer/a/b":  "arn:aws-cn:iam::111122223333:role/deployer",
		"arn:aws:iam::111122223333:root":                          "",
		"arn:aws:sts::111122223333:federated-user/somebody":       "",
		"nonsense": "",
	} {
		if got := policySource(identity); got != want {
			t.Errorf("%s: %q, want %q", identity, got, want)
		}
	}
}

func TestRights(t *testing.T) {
	b := newBench(t)
	denied := []string{"ecs:CreateService", "cloudformation:ExecuteChangeSet"}
	b.f.simulate = func(actions []string) any {
		var results []any
		for _, action := range actions {
			decision := "allowed"
			if slices.Contains(denied, action) || strings.HasPrefix(action, "wafv2:") {
				decision = "implicitDeny"
			}
			results = append(results, map[string]any{"EvalActionName": action, "EvalResourceName": "*", "EvalDecision": decision})
		}
		return map[string]any{"EvaluationResults": results, "IsTruncated": false}
	}
	b.must("live")
	said := b.heard.String()
	if !strings.Contains(said, "seem to lack rights that a deploy takes: cloudformation:ExecuteChangeSet, ecs:CreateService;") || !strings.Contains(said, "; rights checked") {
		t.Errorf("%s", said)
	}
	b.f.forget()
	b.images.digest = digestOf(2)
	b.must("live")
	if n := b.f.count("iam:SimulatePrincipalPolicy"); n > 0 {
		t.Errorf("an update asks IAM %d times", n)
	}

	not := newBench(t)
	not.must("live")
	if !strings.Contains(not.heard.String(), "; rights not checked") || strings.Contains(not.heard.String(), "lack rights") {
		t.Errorf("%s", not.heard)
	}
	if n := not.f.count("iam:SimulatePrincipalPolicy"); n > 4 {
		t.Errorf("whoever may not ask asks %d times", n)
	}
}

// TestPolicyHasCalls: what is called is allowed by the policy, but for what
// takes no right or is done without.
func TestPolicyHasCalls(t *testing.T) {
	allowed := map[string]bool{"sts:GetCallerIdentity": true, "iam:SimulatePrincipalPolicy": true}
	for _, s := range stack.DeployPolicy(stack.Scope{Partition: "aws", Region: "*", Account: "*", Project: "shop", Environment: "production"}).Statement {
		if s.Effect == "Allow" && s.Condition == nil {
			for _, action := range s.Action {
				allowed[action] = true
			}
		}
	}
	for _, call := range ownCalls {
		if !allowed[call] {
			t.Errorf("the policy does not allow %s", call)
		}
	}
}
