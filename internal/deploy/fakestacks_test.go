package deploy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/selvedge-dev/selvedge/internal/stack"
)

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
