package deploy

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/stack"
)

const (
	fakeAccount = "111122223333"
	fakeRegion  = "eu-central-1"
)

// A fakeAWS is an account in which deployments can go well and badly. Nothing
// in it takes time: what goes on goes on a step further with each question.
type fakeAWS struct {
	*wire
	stacks   map[string]*fakeStack // by name
	gone     map[string]*fakeStack // by id
	sets     map[string]*fakeSet   // by id
	secrets  map[string]*heldSecret
	images   map[string]bool // by digest
	releases []fakeRelease
	service  fakeService
	logs     map[string][]string // by stream
	simulate func(actions []string) any

	// doomed makes the next change of the service's stack fail in the service.
	doomed bool
	// stuck makes the next change go on for ever.
	stuck bool
	// unseen is how often a change set is not found after it was made.
	unseen int
	serial int
}

type fakeStack struct {
	name, id, status, reason string
	parameters, outputs      map[string]string
	template                 string
	events                   []any
	next                     []fakeStep // what is yet to happen
	before                   *fakeStack // what a rollback goes back to
}

// A fakeStep is an event; with no name it is the stack's own.
type fakeStep struct{ name, kind, status, reason string }

type fakeSet struct {
	name, id, stack, kind, status, template string
	parameters                              map[string]string
	changes                                 []any
	looked                                  int
}

type heldSecret struct {
	arn, value string
	version    string
	versions   map[string]string
}

type fakeRelease struct {
	arn, image, label string
	secrets           []any
	at                time.Time
}

type fakeService struct {
	definition string
	desired    int
	rolling    int // how many looks until it is done
	stopped    []any
	events     []any
}

func newFakeAWS(t testing.TB) *fakeAWS {
	f := &fakeAWS{
		wire: newWire(t), stacks: map[string]*fakeStack{}, gone: map[string]*fakeStack{}, sets: map[string]*fakeSet{},
		secrets: map[string]*heldSecret{}, images: map[string]bool{}, logs: map[string][]string{},
	}
	f.wire.answer = f.handle
	return f
}

func (f *fakeAWS) handle(c *awsCall) any {
	switch c.service {
	case "sts":
		return map[string]any{"Account": fakeAccount, "Arn": "arn:aws:iam::" + fakeAccount + ":user/somebody", "UserId": "AIDA"}
	case "cloudformation":
		return f.cloudFormation(c)
	case "secretsmanager":
		return f.secretsManager(c)
	case "ecs":
		return f.ecs(c)
	case "ecr":
		switch c.action {
		case "GetAuthorizationToken":
			return map[string]any{"authorizationData": []any{map[string]any{
				"authorizationToken": base64.StdEncoding.EncodeToString([]byte("AWS:a-token")), "proxyEndpoint": "http://127.0.0.1:1"}}}
		case "BatchGetImage":
			var found []any
			for _, id := range c.body["imageIds"].([]any) {
				if digest := id.(map[string]any)["imageDigest"].(string); f.images[digest] {
					found = append(found, map[string]any{"imageId": map[string]any{"imageDigest": digest}})
				}
			}
			return map[string]any{"images": found}
		}
	case "elasticloadbalancing":
		var targets []any
		for i := range f.service.desired {
			targets = append(targets, map[string]any{"Target": map[string]any{"Id": fmt.Sprint("10.0.0.", i)}, "TargetHealth": map[string]any{"State": "healthy"}})
		}
		return map[string]any{"TargetHealthDescriptions": targets}
	case "logs":
		var events []any
		for _, line := range f.logs[c.str("logStreamName")] {
			events = append(events, map[string]any{"timestamp": 1, "message": line})
		}
		return map[string]any{"events": events}
	case "iam":
		if f.simulate != nil {
			var actions []string
			for i := 1; c.form.Get(fmt.Sprintf("ActionNames.member.%d", i)) != ""; i++ {
				actions = append(actions, c.form.Get(fmt.Sprintf("ActionNames.member.%d", i)))
			}
			return f.simulate(actions)
		}
		return &awsFault{403, "AccessDenied", "User is not authorized to perform: iam:SimulatePrincipalPolicy"}
	}
	f.t.Errorf("nobody answers %s", c.name())
	return &awsFault{400, "UnknownOperation", c.name()}
}

// id is one that nothing else has.
func (f *fakeAWS) id() string {
	f.serial++
	return fmt.Sprintf("00000000-0000-4000-8000-%012d", f.serial)
}

// find returns a stack by its name or id.
func (f *fakeAWS) find(name string) *fakeStack {
	if s := f.stacks[name]; s != nil {
		return s
	}
	for _, s := range f.stacks {
		if s.id == name {
			return s
		}
	}
	return f.gone[name]
}

func (f *fakeAWS) cloudFormation(c *awsCall) any {
	name := c.str("StackName")
	s := f.find(name)
	if s == nil && c.action != "CreateStack" && c.action != "CreateChangeSet" {
		return &awsFault{400, "ValidationError", "Stack with id " + name + " does not exist"}
	}
	switch c.action {
	case "DescribeStacks":
		return map[string]any{"Stacks": []any{s.describe()}}
	case "DescribeStackEvents":
		f.step(s)
		events := slices.Clone(s.events)
		slices.Reverse(events)
		return map[string]any{"StackEvents": events}
	case "CreateStack":
		s = f.newStack(name, "CREATE_IN_PROGRESS")
		s.parameters, s.template = formParameters(c, nil), c.str("TemplateBody")
		s.outputs = map[string]string{"RepositoryUri": fakeAccount + ".dkr.ecr." + fakeRegion + ".amazonaws.com/" + strings.TrimSuffix(name, "-registry")}
		s.next = []fakeStep{{"", "", "CREATE_IN_PROGRESS", ""}, {"Repository", "AWS::ECR::Repository", "CREATE_COMPLETE", ""}, {"", "", "CREATE_COMPLETE", ""}}
		return map[string]any{"StackId": s.id}
	case "DeleteStack":
		if s.status == "REVIEW_IN_PROGRESS" {
			delete(f.stacks, s.name)
			return map[string]any{}
		}
		s.next = []fakeStep{{"", "", "DELETE_IN_PROGRESS", ""}, {"", "", "DELETE_COMPLETE", ""}}
		return map[string]any{}
	case "GetTemplate":
		return map[string]any{"TemplateBody": s.template}
	case "CancelUpdateStack":
		if s.status != "UPDATE_IN_PROGRESS" {
			return &awsFault{400, "ValidationError", "CancelUpdateStack cannot be called from current stack status"}
		}
		s.status, s.next = "UPDATE_ROLLBACK_IN_PROGRESS", []fakeStep{{"", "", "UPDATE_ROLLBACK_IN_PROGRESS", ""}, {"", "", "UPDATE_ROLLBACK_COMPLETE", ""}}
		return map[string]any{}
	case "RollbackStack":
		s.next = []fakeStep{{"", "", "UPDATE_ROLLBACK_IN_PROGRESS", ""}, {"", "", "UPDATE_ROLLBACK_COMPLETE", ""}}
		return map[string]any{"StackId": s.id}
	}
	return f.changeSets(c, s)
}

func (f *fakeAWS) newStack(name, status string) *fakeStack {
	s := &fakeStack{name: name, id: "arn:aws:cloudformation:" + fakeRegion + ":" + fakeAccount + ":stack/" + name + "/" + f.id(), status: status,
		parameters: map[string]string{}, outputs: map[string]string{}}
	f.stacks[name] = s
	return s
}

func (s *fakeStack) describe() map[string]any {
	list := func(key, value string, m map[string]string) []any {
		var all []any
		for _, name := range slices.Sorted(maps.Keys(m)) {
			all = append(all, map[string]any{key: name, value: m[name]})
		}
		return all
	}
	return map[string]any{
		"StackId": s.id, "StackName": s.name, "StackStatus": s.status, "StackStatusReason": s.reason, "CreationTime": time.Unix(0, 0),
		"Parameters": list("ParameterKey", "ParameterValue", s.parameters), "Outputs": list("OutputKey", "OutputValue", s.outputs),
	}
}

// step lets the next thing happen to a stack.
func (f *fakeAWS) step(s *fakeStack) {
	if len(s.next) == 0 {
		return
	}
	next := s.next[0]
	s.next = s.next[1:]
	event := map[string]any{"EventId": f.id(), "StackId": s.id, "StackName": s.name, "Timestamp": time.Now(), "ResourceStatus": next.status, "ResourceStatusReason": next.reason,
		"LogicalResourceId": next.name, "ResourceType": next.kind, "PhysicalResourceId": "physical-" + next.name}
	if next.name != "" {
		s.events = append(s.events, event)
		return
	}
	event["LogicalResourceId"], event["ResourceType"], event["PhysicalResourceId"] = s.name, "AWS::CloudFormation::Stack", s.id
	s.events = append(s.events, event)
	s.status = next.status
	switch {
	case next.status == "DELETE_COMPLETE":
		delete(f.stacks, s.name)
		f.gone[s.id] = s
	case strings.HasSuffix(next.status, "ROLLBACK_COMPLETE") && s.before != nil:
		s.parameters, s.template, s.outputs = s.before.parameters, s.before.template, s.before.outputs
	case (next.status == "CREATE_COMPLETE" || next.status == "UPDATE_COMPLETE") && s.outputs["RepositoryUri"] == "":
		f.release(s)
	}
}

// settle lets everything happen that goes on.
func (f *fakeAWS) settle() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.stacks {
		for len(s.next) > 0 {
			f.step(s)
		}
	}
}

// release registers the stack's task definition and rolls it out.
func (f *fakeAWS) release(s *fakeStack) {
	p := s.parameters
	var secrets []any
	add := func(name, arn string) {
		secrets = append(secrets, map[string]any{"name": name, "valueFrom": arn})
	}
	add("JWT_SECRET", p["KeysSecretArn"]+":JWT_SECRET::"+p["KeysSecretVersion"])
	if p["FunctionSecretsArn"] != "" {
		add("SELVEDGE_FUNCTION_SECRETS", p["FunctionSecretsArn"]+":::"+p["FunctionSecretsVersion"])
	}
	f.register(s.name, p["ImageUri"], p["Release"], secrets)
	f.service.desired, _ = strconv.Atoi(p["DesiredCount"]) // scaling sees to it
	s.outputs = map[string]string{
		"FunctionsUrl": "http://" + s.name + ".elb.example", "LoadBalancerDNS": s.name + ".elb.example", "LogGroupName": "/ecs/" + s.name,
		"TargetGroupArn": "arn:aws:elasticloadbalancing:x:1:targetgroup/a/b", "TaskDefinitionArn": f.service.definition, "DashboardUrl": "https://console.example",
	}
}

func (f *fakeAWS) register(family, image, label string, secrets []any) {
	arn := fmt.Sprintf("arn:aws:ecs:%s:%s:task-definition/%s:%d", fakeRegion, fakeAccount, family, len(f.releases)+1)
	f.releases = append(f.releases, fakeRelease{arn, image, label, secrets, time.Unix(int64(1700000000+len(f.releases)*60), 0)})
	f.service.definition, f.service.desired, f.service.rolling = arn, 2, 1
}

func formParameters(c *awsCall, before map[string]string) map[string]string {
	all := map[string]string{}
	for i := 1; c.form.Get(fmt.Sprintf("Parameters.member.%d.ParameterKey", i)) != ""; i++ {
		at := fmt.Sprintf("Parameters.member.%d.", i)
		name := c.form.Get(at + "ParameterKey")
		if all[name] = c.form.Get(at + "ParameterValue"); c.form.Get(at+"UsePreviousValue") == "true" {
			all[name] = before[name]
		}
	}
	return all
}

func (f *fakeAWS) changeSets(c *awsCall, s *fakeStack) any {
	if c.action == "CreateChangeSet" {
		return f.createChangeSet(c, s)
	}
	var set *fakeSet
	for _, candidate := range f.sets {
		if candidate.stack == s.name && (candidate.id == c.str("ChangeSetName") || candidate.name == c.str("ChangeSetName")) {
			set = candidate
		}
	}
	if set == nil {
		return &awsFault{404, "ChangeSetNotFound", "ChangeSet [" + c.str("ChangeSetName") + "] does not exist"}
	}
	switch c.action {
	case "DescribeChangeSet":
		if set.looked++; set.looked <= f.unseen {
			return &awsFault{404, "ChangeSetNotFound", "ChangeSet [" + set.name + "] does not exist"}
		}
		answer := map[string]any{"ChangeSetId": set.id, "StackId": s.id, "Status": "CREATE_IN_PROGRESS", "ExecutionStatus": "UNAVAILABLE"}
		if set.looked <= f.unseen+1 {
			return answer
		}
		if answer["Status"] = "CREATE_COMPLETE"; len(set.changes) == 0 {
			answer["Status"], answer["StatusReason"] = "FAILED", "The submitted information didn't contain changes. Submit different information to create a change set."
		}
		set.status = answer["Status"].(string)
		answer["Changes"] = set.changes
		return answer
	case "DeleteChangeSet":
		if set.status == "" && set.looked == f.unseen+1 {
			set.looked++ // it is made by the next time
			return &awsFault{400, "InvalidChangeSetStatus", "The change set is being created"}
		}
		delete(f.sets, set.id)
		return map[string]any{}
	case "ExecuteChangeSet":
		delete(f.sets, set.id)
		f.execute(s, set)
		return map[string]any{}
	}
	f.t.Errorf("nobody answers %s", c.name())
	return &awsFault{400, "UnknownOperation", c.name()}
}

func (f *fakeAWS) createChangeSet(c *awsCall, s *fakeStack) any {
	name := c.str("StackName")
	kind := c.str("ChangeSetType")
	switch {
	case kind == "CREATE" && s == nil:
		s = f.newStack(name, "REVIEW_IN_PROGRESS")
		s.next = []fakeStep{{"", "", "REVIEW_IN_PROGRESS", ""}}
		f.step(s)
	case kind == "CREATE" && s.status != "REVIEW_IN_PROGRESS", kind == "UPDATE" && (s == nil || s.status == "REVIEW_IN_PROGRESS" || s.status == "ROLLBACK_COMPLETE"):
		return &awsFault{400, "ValidationError", fmt.Sprintf("Stack:%s does not allow a change set of type %s", name, kind)}
	}
	set := &fakeSet{name: c.str("ChangeSetName"), stack: name, kind: kind, template: c.str("TemplateBody"), parameters: formParameters(c, s.parameters)}
	set.id = "arn:aws:cloudformation:" + fakeRegion + ":" + fakeAccount + ":changeSet/" + set.name + "/" + f.id()
	if set.template == "" {
		set.template = s.template
	}
	for _, p := range stack.Service().Parameters {
		if _, ok := set.parameters[p.Name]; !ok {
			set.parameters[p.Name] = p.Default
		}
	}
	change := func(action, name, kind, replacement string) {
		set.changes = append(set.changes, map[string]any{"Type": "Resource", "ResourceChange": map[string]any{
			"Action": action, "LogicalResourceId": name, "ResourceType": kind, "Replacement": replacement}})
	}
	switch {
	case kind == "CREATE":
		for _, r := range stack.Service().Resources {
			if r.Condition == "" {
				change("Add", r.Name, r.Type, "")
			}
		}
	case !maps.Equal(set.parameters, s.parameters) || set.template != s.template:
		change("Modify", "TaskDefinition", "AWS::ECS::TaskDefinition", "True")
		change("Modify", "Service", "AWS::ECS::Service", "False")
	}
	f.sets[set.id] = set
	return map[string]any{"Id": set.id, "StackId": s.id}
}

func (f *fakeAWS) execute(s *fakeStack, set *fakeSet) {
	verb := set.kind
	before := *s
	s.before, s.parameters, s.template = &before, set.parameters, set.template
	s.status = verb + "_IN_PROGRESS"
	s.next = []fakeStep{
		{"", "", verb + "_IN_PROGRESS", "User Initiated"},
		{"TaskDefinition", "AWS::ECS::TaskDefinition", verb + "_COMPLETE", ""},
		{"Service", "AWS::ECS::Service", verb + "_IN_PROGRESS", ""},
	}
	switch {
	case f.stuck:
		f.stuck = false
	case f.doomed:
		f.doomed = false
		rollback := map[string]string{"CREATE": "ROLLBACK", "UPDATE": "UPDATE_ROLLBACK"}[verb]
		s.next = append(s.next,
			fakeStep{"Service", "AWS::ECS::Service", verb + "_FAILED", "Resource handler returned message: \"Error occurred during operation 'ECS Deployment Circuit Breaker was triggered'.\""},
			fakeStep{"", "", rollback + "_IN_PROGRESS", "The following resource(s) failed: [Service]."}, fakeStep{"", "", rollback + "_COMPLETE", ""})
		f.service.stopped = []any{map[string]any{
			"taskArn": "arn:aws:ecs:x:1:task/c/0123456789abcdef", "stoppedReason": "Essential container in task exited", "stopCode": "EssentialContainerExited",
			"createdAt":  float64(time.Now().Unix() + 1),
			"containers": []any{map[string]any{"name": stack.ContainerName, "exitCode": 137, "reason": "OutOfMemoryError: Container killed due to memory usage"}},
		}}
		f.logs["edge/"+stack.ContainerName+"/0123456789abcdef"] = []string{`{"level":"error","msg":"the last words"}`}
	default:
		s.next = append(s.next, fakeStep{"Service", "AWS::ECS::Service", verb + "_COMPLETE", ""}, fakeStep{"", "", verb + "_COMPLETE", ""})
	}
}

func (f *fakeAWS) secretsManager(c *awsCall) any {
	name := c.str("SecretId") + c.str("Name")
	s := f.secrets[name]
	if s == nil && c.action != "CreateSecret" {
		return &awsFault{400, "ResourceNotFoundException", "Secrets Manager can't find the specified secret."}
	}
	switch c.action {
	case "CreateSecret", "PutSecretValue":
		if s == nil {
			s = &heldSecret{arn: "arn:aws:secretsmanager:" + fakeRegion + ":" + fakeAccount + ":secret:" + name + "-AbCdEf", versions: map[string]string{}}
			f.secrets[name] = s
		}
		s.version, s.value = f.id(), c.str("SecretString")
		s.versions[s.version] = s.value
		return map[string]any{"ARN": s.arn, "VersionId": s.version, "Name": name}
	case "GetSecretValue":
		return map[string]any{"ARN": s.arn, "VersionId": s.version, "SecretString": s.value, "Name": name}
	case "ListSecretVersionIds":
		return map[string]any{"Versions": []any{}}
	}
	return map[string]any{"ARN": s.arn}
}

func (f *fakeAWS) ecs(c *awsCall) any {
	switch c.action {
	case "DescribeServices":
		if f.service.definition == "" {
			return &awsFault{400, "ClusterNotFoundException", "Cluster not found."}
		}
		deployments := []any{map[string]any{"status": "PRIMARY", "taskDefinition": f.service.definition, "rolloutState": "COMPLETED", "runningCount": f.service.desired, "desiredCount": f.service.desired, "failedTasks": len(f.service.stopped)}}
		if f.service.rolling > 0 {
			f.service.rolling--
			deployments[0].(map[string]any)["rolloutState"] = "IN_PROGRESS"
			deployments = append(deployments, map[string]any{"status": "ACTIVE", "taskDefinition": "old", "rolloutState": "COMPLETED", "runningCount": 1, "desiredCount": 1})
		}
		return map[string]any{"services": []any{map[string]any{
			"serviceName": c.list("services")[0], "taskDefinition": f.service.definition, "runningCount": f.service.desired, "desiredCount": f.service.desired, "pendingCount": 0,
			"deployments": deployments, "events": f.service.events}}}
	case "ListTasks":
		var arns []any
		for _, t := range f.service.stopped {
			arns = append(arns, t.(map[string]any)["taskArn"])
		}
		return map[string]any{"taskArns": arns}
	case "DescribeTasks":
		return map[string]any{"tasks": f.service.stopped}
	case "ListTaskDefinitions":
		var arns []any
		for _, r := range slices.Backward(f.releases) {
			arns = append(arns, r.arn)
		}
		return map[string]any{"taskDefinitionArns": arns}
	case "DescribeTaskDefinition":
		for i, r := range f.releases {
			if r.arn == c.str("taskDefinition") {
				return map[string]any{"taskDefinition": map[string]any{
					"taskDefinitionArn": r.arn, "revision": i + 1, "registeredAt": float64(r.at.Unix()), "registeredBy": "arn:aws:iam::1:user/somebody",
					"containerDefinitions": []any{map[string]any{"name": stack.ContainerName, "image": r.image, "dockerLabels": map[string]any{stack.ReleaseLabel: r.label}, "secrets": r.secrets}}}}
			}
		}
	}
	return &awsFault{400, "ClientException", "Unable to describe " + c.raw}
}

// A heard reporter keeps what it was told.
type heard struct {
	mu    sync.Mutex
	lines []string
}

func (h *heard) add(kind, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, kind+" "+text)
}

func (h *heard) Begin(step string) { h.add("begin", step) }
func (h *heard) Now(text string)   { h.add("now", text) }
func (h *heard) Note(text string)  { h.add("note", text) }
func (h *heard) Warn(text string)  { h.add("warn", text) }
func (h *heard) End(result string) { h.add("end", result) }

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.lines, "\n")
}

// asked answers every question alike.
type asked struct{ err error }

func (a asked) Confirm(context.Context, string) error      { return a.err }
func (a asked) Type(context.Context, string, string) error { return a.err }

// fakeImages make an image of which nothing but the digest is there.
type fakeImages struct {
	f      *fakeAWS
	digest string
	pushed []string
	onPush func()
}

func (i *fakeImages) Make(ctx context.Context, _ string) (Image, error) { return i, ctx.Err() }
func (i *fakeImages) Digest() string                                    { return i.digest }
func (i *fakeImages) Describe() string                                  { return "an image" }
func (i *fakeImages) Close()                                            {}

func (i *fakeImages) Push(ctx context.Context, to Destination, tag string, _ func(done, total int64)) error {
	if i.onPush != nil {
		i.onPush()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	i.f.mu.Lock()
	defer i.f.mu.Unlock()
	i.pushed = append(i.pushed, to.Host+"/"+to.Repository+":"+tag)
	i.f.images[i.digest] = true
	return nil
}
