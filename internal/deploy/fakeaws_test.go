package deploy

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
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
