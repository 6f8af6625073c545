package aws

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/selvedge-dev/selvedge/e2e/harness"
)

// policyFile is what examples/github-actions gives a deployment the right to.
func policyFile() string {
	return filepath.Join(harness.Repo, "examples", "github-actions", "deploy-policy.json")
}

// A policy is an IAM policy document. Conditions count as met, but for the one
// that tells calls of CloudFormation from those of the deployer.
type policy struct{ Statement []statement }

type statement struct {
	Effect           string
	Action, Resource oneOrMore
	Condition        map[string]map[string]any
}

// onlyThrough reports whether it is for what CloudFormation calls.
func (s statement) onlyThrough() bool {
	for _, keys := range s.Condition {
		for key := range keys {
			if strings.EqualFold(key, "aws:CalledVia") || strings.EqualFold(key, "aws:CalledViaFirst") {
				return true
			}
		}
	}
	return false
}

// direct is what the policy says of calls that the deployer makes itself.
func (p policy) direct() policy {
	return policy{slices.DeleteFunc(slices.Clone(p.Statement), statement.onlyThrough)}
}

// oneOrMore is a string or a list of them.
type oneOrMore []string

func (l *oneOrMore) UnmarshalJSON(raw []byte) error {
	if raw[0] == '[' {
		return json.Unmarshal(raw, (*[]string)(l))
	}
	var one string
	if err := json.Unmarshal(raw, &one); err != nil {
		return err
	}
	*l = oneOrMore{one}
	return nil
}

func readPolicy(t *testing.T, account string) policy {
	t.Helper()
	raw, err := os.ReadFile(policyFile())
	if err != nil {
		t.Fatal(err)
	}
	var p policy
	if err := json.Unmarshal([]byte(inAccount(string(raw), account)), &p); err != nil {
		t.Fatalf("%s: %v", policyFile(), err)
	}
	return p
}

// inAccount puts an account's number where the file says that one belongs.
func inAccount(text, account string) string {
	return strings.NewReplacer("ACCOUNT_ID", account, "111122223333", account, "123456789012", account).Replace(text)
}

// allows tells whether a statement allows an action on a resource, "" for any,
// and none denies it.
func (p policy) allows(action, resource string) bool {
	allowed := false
	for _, s := range p.Statement {
		if !s.Action.match(strings.ToLower(action), strings.ToLower) {
			continue
		}
		if resource != "" && !s.Resource.match(resource, func(p string) string { return p }) {
			continue
		}
		if s.Effect == "Deny" {
			return false
		}
		allowed = true
	}
	return allowed
}

func (l oneOrMore) match(value string, change func(string) string) bool {
	return slices.ContainsFunc(l, func(pattern string) bool {
		// A * of IAM goes over slashes, which path.Match's does not.
		flat := strings.NewReplacer("/", "\x00", "[", `\[`)
		ok, err := path.Match(flat.Replace(change(pattern)), flat.Replace(value))
		return err == nil && ok
	})
}

// freely are the calls that take no rights, or that may be refused.
var freely = []string{"sts:GetCallerIdentity", "iam:SimulatePrincipalPolicy"}

// checkPolicy compares the calls that were made with the rights that the policy
// gives. What CloudFormation does is done with the rights of who asked for it.
func (r *recorder) checkPolicy(t *testing.T, stackCalls []stackCall) {
	t.Helper()
	for _, m := range r.missing(readPolicy(t, r.account), stackCalls) {
		t.Errorf("%s does not allow %s", filepath.Base(policyFile()), m)
	}
}

// missing are the rights that calls took and a policy does not give.
func (r *recorder) missing(p policy, stackCalls []stackCall) []string {
	missing, direct := map[string]bool{}, p.direct()
	for _, c := range r.all() {
		if slices.Contains(freely, c.action()) {
			continue
		}
		resource := r.resource(c)
		if !direct.allows(c.action(), resource) {
			missing[c.action()+" on "+resource] = true
		}
	}
	for _, s := range stackCalls {
		action := iamService(s.Service) + ":" + iamOperation(s.Operation)
		if !p.allows(action, "") {
			missing[action+", called by CloudFormation"] = true
		}
		if strings.Contains(fmt.Sprint(s.Params), ":role/") && !p.allows("iam:PassRole", "") {
			missing["iam:PassRole, as "+action+" names a role"] = true
		}
	}
	return slices.Sorted(maps.Keys(missing))
}

func iamService(name string) string {
	if name == "elbv2" {
		return "elasticloadbalancing"
	}
	return name
}

// iamOperation is the right that an operation takes where it is called
// otherwise.
func iamOperation(name string) string {
	switch name {
	case "CreateBudget", "DeleteBudget", "UpdateBudget":
		return "ModifyBudget"
	case "DescribeBudgets":
		return "ViewBudget"
	}
	return name
}

// resource is the ARN of what a call is about: "" where it cannot be told, "*"
// where the API knows no resource for it.
func (r *recorder) resource(c call) string {
	arn := func(service, rest string) string {
		return fmt.Sprintf("arn:aws:%s:%s:%s:%s", service, region, r.account, rest)
	}
	named := func(key string) string { s, _ := c.params[key].(string); return s }
	switch c.service {
	case "cloudformation":
		name := named("StackName")
		switch {
		case c.operation == "ListStacks", c.operation == "ValidateTemplate":
			return "*"
		case name == "" && named("ChangeSetName") != "":
			return named("ChangeSetName")
		case name == "":
			return "*"
		case strings.HasPrefix(name, "arn:"):
			return name
		}
		return arn("cloudformation", "stack/"+name+"/0")
	case "ecr":
		if name := named("repositoryName"); name != "" {
			return arn("ecr", "repository/"+name)
		}
		if names, ok := c.params["repositoryNames"].([]any); ok && len(names) > 0 {
			return arn("ecr", "repository/"+fmt.Sprint(names[0]))
		}
		return "*"
	case "ecs":
		return r.ecsResource(c, arn)
	case "secretsmanager":
		name := named("SecretId") + named("Name")
		switch {
		case name == "": // ListSecrets, BatchGetSecretValue
			return "*"
		case strings.HasPrefix(name, "arn:"):
			return name
		}
		return arn("secretsmanager", "secret:"+name+"-AbCdEf")
	case "logs":
		if name := named("logGroupName"); name != "" {
			return arn("logs", "log-group:"+name+":log-stream:x")
		}
		return named("logGroupIdentifier")
	case "iam":
		if source := named("PolicySourceArn"); source != "" {
			return source
		}
		return ""
	}
	return ""
}

func (r *recorder) ecsResource(c call, arn func(service, rest string) string) string {
	base := func(s string) string { return s[strings.LastIndex(s, "/")+1:] }
	text := func(key string) string { s, _ := c.params[key].(string); return s }
	first := func(key string) string {
		if list, ok := c.params[key].([]any); ok && len(list) > 0 {
			return base(fmt.Sprint(list[0]))
		}
		return ""
	}
	cluster := base(text("cluster"))
	switch c.operation {
	case "DescribeServices":
		return arn("ecs", "service/"+cluster+"/"+first("services"))
	case "UpdateService", "DeleteService", "CreateService":
		return arn("ecs", "service/"+cluster+"/"+base(text("service")))
	case "DescribeTasks":
		return arn("ecs", "task/"+cluster+"/"+first("tasks"))
	case "DescribeClusters":
		return arn("ecs", "cluster/"+first("clusters"))
	case "DescribeTaskDefinition", "ListTaskDefinitions", "DeregisterTaskDefinition", "ListTasks", "ListServices", "ListClusters":
		return "*"
	}
	return ""
}

func TestPolicyMatching(t *testing.T) {
	p := policy{Statement: []statement{
		{Effect: "Allow", Action: oneOrMore{"ecs:Describe*"}, Resource: oneOrMore{"arn:aws:ecs:*:*:service/a-*"}},
		{Effect: "Allow", Action: oneOrMore{"ecr:GetAuthorizationToken"}, Resource: oneOrMore{"*"}},
		{Effect: "Allow", Action: oneOrMore{"iam:*"}, Resource: oneOrMore{"*"}},
		{Effect: "Deny", Action: oneOrMore{"iam:CreateUser"}, Resource: oneOrMore{"*"}},
	}}
	for _, c := range []struct {
		action, resource string
		want             bool
	}{
		{"ecs:DescribeServices", "arn:aws:ecs:x:1:service/a-b/c", true},
		{"ecs:DescribeServices", "arn:aws:ecs:x:1:service/b/c", false},
		{"ecs:UpdateService", "arn:aws:ecs:x:1:service/a-b/c", false},
		{"ecr:GetAuthorizationToken", "*", true},
		{"iam:CreateUser", "", false},
		{"iam:CreateRole", "", true},
	} {
		if got := p.allows(c.action, c.resource); got != c.want {
			t.Errorf("%s on %s: %v", c.action, c.resource, got)
		}
	}
}

// TestMissingRights: calls are told apart by what they are about.
func TestMissingRights(t *testing.T) {
	p := policy{Statement: []statement{
		{Effect: "Allow", Action: oneOrMore{"cloudformation:DescribeStacks"}, Resource: oneOrMore{"arn:aws:cloudformation:*:1:stack/a-*/*"}},
		{Effect: "Allow", Action: oneOrMore{"secretsmanager:GetSecretValue"}, Resource: oneOrMore{"arn:aws:secretsmanager:*:1:secret:a/*"}},
		{
			Effect: "Allow", Action: oneOrMore{"ecs:RegisterTaskDefinition"}, Resource: oneOrMore{"*"},
			Condition: map[string]map[string]any{"ForAnyValue:StringEquals": {"aws:CalledVia": "cloudformation.amazonaws.com"}},
		},
	}}
	r := &recorder{account: "1"}
	for _, c := range []call{
		{service: "cloudformation", operation: "DescribeStacks", params: map[string]any{"StackName": "a-b"}},
		{service: "cloudformation", operation: "DescribeStacks", params: map[string]any{"StackName": "b"}},
		{service: "cloudformation", operation: "DescribeStacks", params: map[string]any{}},
		{service: "secretsmanager", operation: "GetSecretValue", params: map[string]any{"SecretId": "a/keys"}},
		{service: "secretsmanager", operation: "DeleteSecret", params: map[string]any{"SecretId": "a/keys"}},
		{service: "ecs", operation: "RegisterTaskDefinition"},
		{service: "sts", operation: "GetCallerIdentity"},
	} {
		r.add(c)
	}
	got := r.missing(p, []stackCall{{"ecs", "RegisterTaskDefinition", map[string]any{"executionRoleArn": "arn:aws:iam::1:role/x"}}, {"elbv2", "CreateListener", nil}})
	want := []string{
		"cloudformation:DescribeStacks on *", "cloudformation:DescribeStacks on arn:aws:cloudformation:" + region + ":1:stack/b/0",
		"ecs:RegisterTaskDefinition on ", "elasticloadbalancing:CreateListener, called by CloudFormation", "iam:PassRole, as ecs:RegisterTaskDefinition names a role",
		"secretsmanager:DeleteSecret on arn:aws:secretsmanager:" + region + ":1:secret:a/keys-AbCdEf",
	}
	if !slices.Equal(got, want) {
		t.Errorf("missing %q, want %q", got, want)
	}
}
