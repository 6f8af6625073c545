package stack

import (
	"bytes"
	"encoding/json"
)

// A Policy is an IAM policy document.
type Policy struct {
	Version   string
	Statement []Statement
}

// A Statement of a Policy.
type Statement struct {
	Sid       string
	Effect    string
	Action    []string
	Resource  []string
	Condition map[string]map[string][]string `json:",omitempty"`
}

// JSON is the document as a file has it.
func (p Policy) JSON() []byte {
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	if err := out.Encode(p); err != nil {
		panic(err) // there are only strings in it
	}
	return b.Bytes()
}

// A Scope is what a policy is for. "*" in a field is any.
type Scope struct {
	Partition, Region, Account string
	Project, Environment       string
}

func (s Scope) names() Names { return Names{s.Project, s.Environment} }

func (s Scope) arn(service, rest string) string {
	return "arn:" + s.Partition + ":" + service + ":" + s.Region + ":" + s.Account + ":" + rest
}

// global is the ARN of a service that has no regions.
func (s Scope) global(service, rest string) string {
	return "arn:" + s.Partition + ":" + service + "::" + s.Account + ":" + rest
}

// DeployPolicy is what somebody must be allowed to do who deploys the stacks of
// the scope, operates and deletes them: the calls of selvedge's commands, and
// those of CloudFormation, which acts with the rights of who asks it to. The
// latter are allowed to CloudFormation alone.
func DeployPolicy(s Scope) Policy {
	return Policy{"2012-10-17", append(s.commands(), s.cloudFormation()...)}
}

func allowing(sid string, actions []string, resources ...string) Statement {
	return Statement{Sid: sid, Effect: "Allow", Action: actions, Resource: resources}
}

// commands are the calls of the program itself.
func (s Scope) commands() []Statement {
	n := s.names()
	return []Statement{
		allowing("Stacks", []string{
			"cloudformation:CancelUpdateStack", "cloudformation:ContinueUpdateRollback", "cloudformation:CreateChangeSet", "cloudformation:CreateStack",
			"cloudformation:DeleteChangeSet", "cloudformation:DeleteStack", "cloudformation:DescribeChangeSet", "cloudformation:DescribeStackEvents",
			"cloudformation:DescribeStacks", "cloudformation:ExecuteChangeSet", "cloudformation:GetTemplate",
			"cloudformation:RollbackStack", "cloudformation:UpdateStack",
		}, s.arn("cloudformation", "stack/"+n.Stack()+"/*"), s.arn("cloudformation", "stack/"+n.RegistryStack()+"/*")),

		allowing("RegistryLogin", []string{"ecr:GetAuthorizationToken"}, "*"),
		allowing("Images", []string{
			"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:GetDownloadUrlForLayer",
			"ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart",
		}, s.arn("ecr", "repository/"+n.Stack())),

		allowing("Service", []string{"ecs:DeleteTaskDefinitions", "ecs:DescribeClusters", "ecs:DescribeServices", "ecs:DescribeTasks"},
			s.arn("ecs", "cluster/"+n.Stack()), s.arn("ecs", "service/"+n.Stack()+"/*"), s.arn("ecs", "task/"+n.Stack()+"/*"), s.arn("ecs", "task-definition/"+n.Stack()+":*")),
		// What can only be allowed for everything. All but the withdrawal of
		// releases, which a destroy does, changes nothing.
		allowing("WithoutName", []string{
			"cloudwatch:DescribeAlarms", "ecs:DeregisterTaskDefinition", "ecs:DescribeTaskDefinition", "ecs:ListTaskDefinitions", "ecs:ListTasks", "elasticloadbalancing:DescribeTargetHealth",
		}, "*"),

		allowing("Secrets", []string{
			"secretsmanager:CreateSecret", "secretsmanager:DeleteSecret", "secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue",
			"secretsmanager:ListSecretVersionIds", "secretsmanager:PutSecretValue", "secretsmanager:RestoreSecret", "secretsmanager:TagResource",
			"secretsmanager:UntagResource", "secretsmanager:UpdateSecret", "secretsmanager:UpdateSecretVersionStage",
		}, s.arn("secretsmanager", "secret:"+s.Project+"/"+s.Environment+"/*")),

		allowing("ReadLog", []string{"logs:FilterLogEvents", "logs:GetLogEvents"},
			s.arn("logs", "log-group:"+n.LogGroup()+":*")),
	}
}
