package aws

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cft "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecst "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/smithy-go"

	"github.com/selvedge-dev/selvedge/e2e/harness"
)

// The emulator is what the other tests believe; these look at it alone, with
// a small template that has one of everything it is there for.

// sdk is an account's API as Go programs have it.
type sdk struct {
	*account
	cfn  *cloudformation.Client
	ecs  *ecs.Client
	lb   *elasticloadbalancingv2.Client
	logs *cloudwatchlogs.Client
}

func newSDK(t *testing.T) *sdk {
	t.Parallel()
	a := newAccount(t)
	a.free = true
	cfg := aws.Config{
		Region: region, Credentials: credentials.NewStaticCredentialsProvider("AKIATEST", "test", ""), BaseEndpoint: &a.endpoint.URL,
		RetryMaxAttempts: 1,
	}
	return &sdk{
		account: a, cfn: cloudformation.NewFromConfig(cfg), ecs: ecs.NewFromConfig(cfg), lb: elasticloadbalancingv2.NewFromConfig(cfg),
		logs: cloudwatchlogs.NewFromConfig(cfg),
	}
}

const smallStack = "small"

// password is what no answer may show.
const password = "a-password-of-the-test"

func smallTemplate(t *testing.T) *string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "small.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return aws.String(string(raw))
}

// parameters are name, value, name, value…
func parameters(pairs ...string) []cft.Parameter {
	var list []cft.Parameter
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, cft.Parameter{ParameterKey: &pairs[i], ParameterValue: &pairs[i+1]})
	}
	return list
}

func (s *sdk) image(tag string) string {
	s.t.Helper()
	return s.imageIn(smallStack, tag)
}

// imageIn makes a repository with an image, as if it had been pushed, and
// returns the image's name.
func (a *account) imageIn(repository, tag string) string {
	a.t.Helper()
	digest := "sha256:" + strings.Repeat(tag, 64)[:64]
	a.knownImage(repository, tag, digest)
	return "registry.example/" + repository + "@" + digest
}

// knownImage makes an image known to ECR that is in no registry.
func (a *account) knownImage(repository, tag, digest string) {
	a.t.Helper()
	a.ask("ecr", "AmazonEC2ContainerRegistry_V20150921.CreateRepository", map[string]any{"repositoryName": repository})
	const kind = "application/vnd.oci.image.manifest.v1+json"
	status, text := a.ask("ecr", "AmazonEC2ContainerRegistry_V20150921.PutImage", map[string]any{
		"repositoryName": repository, "imageTag": tag, "imageDigest": digest, "imageManifestMediaType": kind,
		"imageManifest": `{"schemaVersion":2,"mediaType":"` + kind + `","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` + digest + `","size":2},"layers":[]}`,
	})
	if status != 200 {
		a.t.Fatal(text)
	}
}

// settled waits until nothing goes on in a stack, and returns its status.
func (s *sdk) settled(name string) *cft.Stack {
	s.t.Helper()
	var stack *cft.Stack
	harness.Eventually(s.t, 20*time.Second, "the stack "+name+" settles", func() bool {
		out, err := s.cfn.DescribeStacks(s.t.Context(), &cloudformation.DescribeStacksInput{StackName: &name})
		if err != nil {
			s.t.Fatal(err)
		}
		stack = &out.Stacks[0]
		return !strings.HasSuffix(string(stack.StackStatus), "_IN_PROGRESS")
	})
	return stack
}

func (s *sdk) create(pairs ...string) *cft.Stack {
	s.t.Helper()
	_, err := s.cfn.CreateStack(s.t.Context(), &cloudformation.CreateStackInput{
		StackName: aws.String(smallStack), TemplateBody: smallTemplate(s.t), Parameters: parameters(pairs...),
		Capabilities: []cft.Capability{cft.CapabilityCapabilityIam},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.settled(smallStack)
}

func (s *sdk) update(pairs ...string) error {
	_, err := s.cfn.UpdateStack(s.t.Context(), &cloudformation.UpdateStackInput{
		StackName: aws.String(smallStack), TemplateBody: smallTemplate(s.t), Parameters: parameters(pairs...),
		Capabilities: []cft.Capability{cft.CapabilityCapabilityIam},
	})
	return err
}

// events are "Logical STATUS reason", the oldest first, over all pages.
func (s *sdk) events() []string {
	s.t.Helper()
	return s.eventsOf(smallStack)
}

func (s *sdk) eventsOf(stack string) []string {
	s.t.Helper()
	var found []string
	pages := cloudformation.NewDescribeStackEventsPaginator(s.cfn, &cloudformation.DescribeStackEventsInput{StackName: &stack})
	for pages.HasMorePages() {
		page, err := pages.NextPage(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		for _, e := range page.StackEvents {
			found = append(found, aws.ToString(e.LogicalResourceId)+" "+string(e.ResourceStatus)+" "+aws.ToString(e.ResourceStatusReason))
		}
	}
	slices.Reverse(found)
	return found
}

func (s *sdk) service() ecst.Service {
	s.t.Helper()
	out, err := s.ecs.DescribeServices(s.t.Context(), &ecs.DescribeServicesInput{Cluster: aws.String(smallStack), Services: []string{smallStack}})
	if err != nil || len(out.Services) != 1 {
		s.t.Fatalf("%+v, error %v", out, err)
	}
	return out.Services[0]
}

func wantError(t *testing.T, err error, code, part string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code || !strings.Contains(api.ErrorMessage(), part) {
		t.Errorf("error %v, want %s: …%s…", err, code, part)
	}
}

func contains(t *testing.T, list []string, part string) {
	t.Helper()
	if !slices.ContainsFunc(list, func(s string) bool { return strings.Contains(s, part) }) {
		t.Errorf("nothing has %q among\n%s", part, strings.Join(list, "\n"))
	}
}

func TestEmulatorCreatesAndUpdates(t *testing.T) {
	s := newSDK(t)
	first, second := s.image("1"), s.image("2")
	stack := s.create("Image", first, "Password", password)
	if stack.StackStatus != cft.StackStatusCreateComplete {
		t.Fatalf("%s: %s", stack.StackStatus, strings.Join(s.events(), "\n"))
	}
	for _, p := range stack.Parameters {
		if aws.ToString(p.ParameterKey) == "Password" && aws.ToString(p.ParameterValue) != "****" {
			t.Errorf("a NoEcho parameter is shown: %s", *p.ParameterValue)
		}
	}
	if len(stack.Outputs) != 1 || aws.ToString(stack.Outputs[0].OutputKey) != "Targets" {
		t.Errorf("outputs %+v", stack.Outputs)
	}
	contains(t, s.events(), "Service CREATE_IN_PROGRESS Resource creation Initiated")
	harness.Eventually(t, 10*time.Second, "the scalable target raises the count, and both targets are healthy", func() bool {
		out, err := s.lb.DescribeTargetHealth(t.Context(), &elasticloadbalancingv2.DescribeTargetHealthInput{TargetGroupArn: stack.Outputs[0].OutputValue})
		if err != nil {
			t.Fatal(err)
		}
		return s.service().DesiredCount == 2 && len(out.TargetHealthDescriptions) == 2 && out.TargetHealthDescriptions[1].TargetHealth.State == "healthy"
	})
	definition, err := s.ecs.DescribeTaskDefinition(t.Context(), &ecs.DescribeTaskDefinitionInput{TaskDefinition: aws.String(smallStack)})
	if err != nil {
		t.Fatal(err)
	}
	c := definition.TaskDefinition.ContainerDefinitions[0]
	if c.DockerLabels["Some-Label"] != "as it is" || c.Command != nil || aws.ToString(definition.TaskDefinition.Cpu) != "256" || c.LogConfiguration.Options["awslogs-stream-prefix"] != "x" {
		t.Errorf("task definition %+v", definition.TaskDefinition)
	}
	logged, err := s.logs.FilterLogEvents(t.Context(), &cloudwatchlogs.FilterLogEventsInput{
		LogGroupName: aws.String("/ecs/" + smallStack), FilterPattern: aws.String(`{ $.event = "serv*" && $.level != "error" }`),
	})
	if err != nil || len(logged.Events) != 2 {
		t.Errorf("%+v, error %v", logged, err)
	}

	// Somebody scales the service; no update takes that back.
	if _, err := s.ecs.UpdateService(t.Context(), &ecs.UpdateServiceInput{Cluster: aws.String(smallStack), Service: aws.String(smallStack), DesiredCount: aws.Int32(3)}); err != nil {
		t.Fatal(err)
	}
	changes := s.changeSet("same", "Image", first, "Password", password)
	if changes.Status != cft.ChangeSetStatusFailed || !strings.Contains(aws.ToString(changes.StatusReason), "didn't contain changes") {
		t.Errorf("no change: %s %s", changes.Status, aws.ToString(changes.StatusReason))
	}
	changes = s.changeSet("other", "Image", second, "Password", password+"2", "Size", "large")
	wantChanges(t, changes, password)
	if _, err := s.cfn.ExecuteChangeSet(t.Context(), &cloudformation.ExecuteChangeSetInput{StackName: aws.String(smallStack), ChangeSetName: aws.String("other")}); err != nil {
		t.Fatal(err)
	}
	if stack = s.settled(smallStack); stack.StackStatus != cft.StackStatusUpdateComplete || len(stack.Outputs) != 2 {
		t.Fatalf("%s, outputs %+v: %s", stack.StackStatus, stack.Outputs, strings.Join(s.events(), "\n"))
	}
	if n := s.service().DesiredCount; n != 3 {
		t.Errorf("an update has set the count to %d", n)
	}
	contains(t, s.events(), "Task DELETE_SKIPPED")

	// What is to be kept is, and nothing else.
	if _, err := s.cfn.DeleteStack(t.Context(), &cloudformation.DeleteStackInput{StackName: stack.StackId}); err != nil {
		t.Fatal(err)
	}
	if stack = s.settled(*stack.StackId); stack.StackStatus != cft.StackStatusDeleteComplete {
		t.Fatalf("%s: %s", stack.StackStatus, strings.Join(s.events(), "\n"))
	}
	left := s.inventory()
	if !slices.Equal(left["log group"], []string{"/ecs/" + smallStack}) || len(left["task definition"]) != 1 || left["vpc"] != nil || left["role"] != nil || left["secret"] != nil || left["topic"] != nil {
		t.Errorf("left: %v", left)
	}
}

// changeSet makes one and returns it with its property values.
func (s *sdk) changeSet(name string, pairs ...string) *cloudformation.DescribeChangeSetOutput {
	s.t.Helper()
	_, err := s.cfn.CreateChangeSet(s.t.Context(), &cloudformation.CreateChangeSetInput{
		StackName: aws.String(smallStack), ChangeSetName: &name, TemplateBody: smallTemplate(s.t), Parameters: parameters(pairs...),
		Capabilities: []cft.Capability{cft.CapabilityCapabilityIam},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	var out *cloudformation.DescribeChangeSetOutput
	harness.Eventually(s.t, 10*time.Second, "the change set is worked out", func() bool {
		out, err = s.cfn.DescribeChangeSet(s.t.Context(), &cloudformation.DescribeChangeSetInput{
			StackName: aws.String(smallStack), ChangeSetName: &name, IncludePropertyValues: aws.Bool(true),
		})
		if err != nil {
			s.t.Fatal(err)
		}
		return out.Status == cft.ChangeSetStatusCreateComplete || out.Status == cft.ChangeSetStatusFailed
	})
	return out
}

func wantChanges(t *testing.T, out *cloudformation.DescribeChangeSetOutput, secret string) {
	t.Helper()
	var got []string
	for _, c := range out.Changes {
		r := c.ResourceChange
		line := string(r.Action) + " " + aws.ToString(r.LogicalResourceId) + " " + string(r.Replacement) + " " + string(r.PolicyAction)
		got = append(got, strings.TrimSpace(line))
		if text := aws.ToString(r.BeforeContext) + aws.ToString(r.AfterContext); strings.Contains(text, secret) {
			t.Errorf("%s shows the secret: %s", line, text)
		}
		for _, d := range r.Details {
			if strings.Contains(aws.ToString(d.Target.BeforeValue)+aws.ToString(d.Target.AfterValue), secret) {
				t.Errorf("%s shows the secret", line)
			}
			if aws.ToString(d.Target.Path) == "/Properties/ContainerDefinitions/0/Image" && aws.ToString(d.CausingEntity) != "" && d.ChangeSource != cft.ChangeSourceParameterReference {
				t.Errorf("the image changes by %s", d.ChangeSource)
			}
		}
	}
	want := []string{"Modify Secret False", "Add Topic", "Modify Task True ReplaceAndRetain", "Modify Service False"}
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("no %q among the changes: %q", w, got)
		}
	}
	if len(got) != len(want) {
		t.Errorf("changes: %q", got)
	}
}

func TestEmulatorRollsBack(t *testing.T) {
	s := newSDK(t)
	first, second := s.image("1"), s.image("2")
	s.create("Image", first, "Password", password)
	s.doom(smallStack, "exit", "cannot open the database")
	if err := s.update("Image", second, "Password", password); err != nil {
		t.Fatal(err)
	}
	if stack := s.settled(smallStack); stack.StackStatus != cft.StackStatusUpdateRollbackComplete {
		t.Fatalf("%s", stack.StackStatus)
	}
	contains(t, s.events(), "Circuit Breaker was triggered")
	list, err := s.ecs.ListTasks(t.Context(), &ecs.ListTasksInput{Cluster: aws.String(smallStack), DesiredStatus: ecst.DesiredStatusStopped})
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := s.ecs.DescribeTasks(t.Context(), &ecs.DescribeTasksInput{Cluster: aws.String(smallStack), Tasks: list.TaskArns})
	if err != nil {
		t.Fatal(err)
	}
	var reasons []string
	for _, task := range tasks.Tasks {
		reasons = append(reasons, aws.ToString(task.StoppedReason))
	}
	contains(t, reasons, "Essential container in task exited")
	logged, err := s.logs.FilterLogEvents(t.Context(), &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String("/ecs/" + smallStack), FilterPattern: aws.String(`"cannot open"`)})
	if err != nil || len(logged.Events) < 3 {
		t.Errorf("%+v, error %v", logged, err)
	}
	if arn := aws.ToString(s.service().TaskDefinition); !strings.HasSuffix(arn, ":1") {
		t.Errorf("the service runs %s", arn)
	}
	if err := s.update("Image", first, "Password", password); err == nil {
		t.Error("an update without a change was taken")
	} else {
		wantError(t, err, "ValidationError", "No updates are to be performed")
	}
}

func TestEmulatorCreateFails(t *testing.T) {
	s := newSDK(t)
	s.image("1")
	// An image that nobody has pushed.
	if stack := s.create("Image", "registry.example/"+smallStack+":none", "Password", password); stack.StackStatus != cft.StackStatusRollbackComplete {
		t.Fatalf("%s", stack.StackStatus)
	}
	wantError(t, s.update("Image", s.image("2"), "Password", password), "ValidationError", "is in ROLLBACK_COMPLETE state and can not be updated")
	contains(t, s.events(), "Logs DELETE_SKIPPED")
	if left := s.inventory(); left["vpc"] != nil || left["cluster"] != nil || !slices.Equal(left["stack"], []string{smallStack + " ROLLBACK_COMPLETE"}) {
		t.Errorf("left: %v", left)
	}
}

func TestEmulatorCancels(t *testing.T) {
	s := newSDK(t)
	first, second := s.image("1"), s.image("2")
	s.create("Image", first, "Password", password)
	s.slow(20)
	if err := s.update("Image", second, "Password", password); err != nil {
		t.Fatal(err)
	}
	if _, err := s.cfn.CancelUpdateStack(t.Context(), &cloudformation.CancelUpdateStackInput{StackName: aws.String(smallStack)}); err != nil {
		t.Fatal(err)
	}
	s.slow(1)
	if stack := s.settled(smallStack); stack.StackStatus != cft.StackStatusUpdateRollbackComplete {
		t.Fatalf("%s", stack.StackStatus)
	}
	_, err := s.cfn.CancelUpdateStack(t.Context(), &cloudformation.CancelUpdateStackInput{StackName: aws.String(smallStack)})
	wantError(t, err, "ValidationError", "cannot be called from current stack status")
}

func TestEmulatorRefuses(t *testing.T) {
	s := newSDK(t)
	body := *smallTemplate(t)
	for _, c := range []struct {
		code, part string
		change     func(*cloudformation.CreateStackInput)
	}{
		{"InsufficientCapabilitiesException", "CAPABILITY_IAM", func(in *cloudformation.CreateStackInput) { in.Capabilities = nil }},
		{"ValidationError", "[Password] must have values", func(in *cloudformation.CreateStackInput) { in.Parameters = parameters("Image", "x") }},
		{"ValidationError", "must contain at least 8", func(in *cloudformation.CreateStackInput) {
			in.Parameters = parameters("Image", "x", "Password", "short")
		}},
		{"ValidationError", "[Other] do not exist", func(in *cloudformation.CreateStackInput) {
			in.Parameters = append(in.Parameters, parameters("Other", "x")...)
		}},
		{"ValidationError", "large takes two or three tasks", func(in *cloudformation.CreateStackInput) {
			in.Parameters = append(in.Parameters, parameters("Size", "large", "Least", "4")...)
		}},
		{"ValidationError", "Unresolved resource dependencies [Topic]", func(in *cloudformation.CreateStackInput) {
			in.TemplateBody = aws.String(strings.Replace(body, "Topic: {Condition: Large, Value", "Topic: {Value", 1))
		}},
		{"ValidationError", "less than or equal to 51200", func(in *cloudformation.CreateStackInput) {
			in.TemplateBody = aws.String(body + strings.Repeat("#", 51200))
		}},
	} {
		in := &cloudformation.CreateStackInput{
			StackName: aws.String(smallStack), TemplateBody: &body, Parameters: parameters("Image", "x", "Password", password),
			Capabilities: []cft.Capability{cft.CapabilityCapabilityIam},
		}
		c.change(in)
		_, err := s.cfn.CreateStack(context.Background(), in)
		wantError(t, err, c.code, c.part)
	}
	_, err := s.cfn.DescribeStacks(t.Context(), &cloudformation.DescribeStacksInput{StackName: aws.String(smallStack)})
	wantError(t, err, "ValidationError", "does not exist")
}

// TestEmulatorSecrets: a task starts only with secrets that are there.
func TestEmulatorSecrets(t *testing.T) {
	s := newSDK(t)
	body, image := *smallTemplate(t), s.image("1")
	for _, c := range []struct{ from, why string }{
		{"!Sub '${Secret}:KEY::'", "which is no JSON"},
		{"!Sub '${Secret}:::00000000-0000-0000-0000-000000000000'", "unable to retrieve secret"},
		{"!Sub 'arn:aws:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:other-AbCdEf'", "not authorized to perform: secretsmanager:GetSecretValue"},
	} {
		changed := strings.Replace(body, "ValueFrom: !Ref Secret", "ValueFrom: "+c.from, 1)
		if _, err := s.cfn.CreateStack(t.Context(), &cloudformation.CreateStackInput{
			StackName: aws.String(smallStack), TemplateBody: &changed, Parameters: parameters("Image", image, "Password", password),
			Capabilities: []cft.Capability{cft.CapabilityCapabilityIam}, OnFailure: cft.OnFailureDoNothing,
		}); err != nil {
			t.Fatal(err)
		}
		stack := s.settled(smallStack)
		if stack.StackStatus != cft.StackStatusCreateFailed {
			t.Errorf("%s: %s", c.from, stack.StackStatus)
		}
		var said []string
		for _, e := range s.service().Events {
			said = append(said, aws.ToString(e.Message))
		}
		contains(t, said, c.why)
		if _, err := s.cfn.DeleteStack(t.Context(), &cloudformation.DeleteStackInput{StackName: stack.StackId}); err != nil {
			t.Fatal(err)
		}
		s.settled(*stack.StackId)
		s.ask("logs", "Logs_20140328.DeleteLogGroup", map[string]any{"logGroupName": "/ecs/" + smallStack})
	}
}
