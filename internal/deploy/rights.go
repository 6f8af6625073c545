package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/selvedge-dev/selvedge/internal/stack"
)

// onlyWith are the services that are called only where a parameter switches
// something on.
var onlyWith = map[string]string{"wafv2": "EnableWAF", "budgets": "MonthlyBudgetUSD", "sns": "AlarmEmail", "acm": "HostedZoneId", "route53": "HostedZoneId"}

// checkRights asks IAM whether the caller may do what a deploy takes, warns of
// what is missing, and says how much that is worth: it is no more than a
// warning, since IAM knows less than the services themselves.
func (o *Operator) checkRights(ctx context.Context, identity string, set map[string]string) string {
	who := policySource(identity)
	if who == "" {
		return "; rights not checked"
	}
	scope := stack.Scope{Partition: strings.Split(identity, ":")[1], Region: o.Region, Account: o.account, Project: o.Settings.Project, Environment: o.Settings.Environment}
	var mu sync.Mutex
	var missing []string
	asked, unknown := 0, false
	var all []func() error
	for _, s := range stack.DeployPolicy(scope).Statement {
		s.Action = slices.DeleteFunc(slices.Clone(s.Action), func(action string) bool {
			service, _, _ := strings.Cut(action, ":")
			parameter := onlyWith[service]
			return parameter != "" && (set[parameter] == "" || set[parameter] == "false" || set[parameter] == "0")
		})
		// Rights that hang on tags and passed roles cannot be asked about before
		// those are there.
		if len(s.Action) == 0 || s.Condition["StringLike"] != nil || s.Condition["StringEquals"] != nil {
			continue
		}
		all = append(all, func() error {
			denied, err := o.simulate(ctx, who, s)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				unknown = true
				return err
			}
			asked++
			missing = append(missing, denied...)
			return nil
		})
	}
	for batch := range slices.Chunk(all, 4) {
		if err := together(batch...); err != nil {
			break // whoever may not ask once may not ask at all
		}
	}
	slices.Sort(missing)
	if missing = slices.Compact(missing); len(missing) > 0 {
		shown := missing[:min(len(missing), 8)]
		text := "the credentials seem to lack rights that a deploy takes: " + strings.Join(shown, ", ")
		if more := len(missing) - len(shown); more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		o.Report.Warn(text + "; docs/aws.md has the policy")
	}
	switch {
	case asked == 0:
		return "; rights not checked"
	case unknown:
		return "; rights checked in part"
	}
	return "; rights checked"
}

// simulate asks IAM about a statement, and returns what is denied of it.
func (o *Operator) simulate(ctx context.Context, who string, s stack.Statement) ([]string, error) {
	in := &iam.SimulatePrincipalPolicyInput{PolicySourceArn: &who, ActionNames: s.Action}
	for _, r := range s.Resource {
		if r != "*" {
			r = strings.ReplaceAll(r, "*", "x")
		}
		in.ResourceArns = append(in.ResourceArns, r)
	}
	if s.Condition != nil {
		in.ContextEntries = []iamtypes.ContextEntry{{
			ContextKeyName: aws.String("aws:CalledVia"), ContextKeyType: iamtypes.ContextKeyTypeEnumStringList, ContextKeyValues: []string{"cloudformation.amazonaws.com"},
		}}
	}
	allowed, seen := map[string]bool{}, map[string]bool{}
	for {
		out, err := o.IAM.SimulatePrincipalPolicy(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, r := range out.EvaluationResults {
			// An action is for some of a statement's resources, not for all.
			seen[aws.ToString(r.EvalActionName)] = true
			allows := r.EvalDecision == iamtypes.PolicyEvaluationDecisionTypeAllowed
			for _, on := range r.ResourceSpecificResults {
				allows = allows || on.EvalResourceDecision == iamtypes.PolicyEvaluationDecisionTypeAllowed
			}
			if allows {
				allowed[aws.ToString(r.EvalActionName)] = true
			}
		}
		if !out.IsTruncated {
			break
		}
		in.Marker = out.Marker
	}
	var denied []string
	for action := range seen {
		if !allowed[action] {
			denied = append(denied, action)
		}
	}
	return denied, nil
}

// policySource is the user or role that IAM is asked about, "" for one that it
// knows nothing of: the root of an account may do everything, a federated user
// has no policies of its own.
func policySource(identity string) string {
	parts := strings.SplitN(identity, ":", 6)
	if len(parts) < 6 {
		return ""
	}
	kind, rest, _ := strings.Cut(parts[5], "/")
	switch {
	case parts[2] == "iam" && (kind == "user" || kind == "role"):
		return identity
	case parts[2] == "sts" && kind == "assumed-role":
		// The path of a role is not in here; IAM does not find those that have
		// one, and they are not checked.
		role, _, _ := strings.Cut(rest, "/")
		return "arn:" + parts[1] + ":iam::" + parts[4] + ":role/" + role
	}
	return ""
}
