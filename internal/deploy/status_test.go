package deploy

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cftypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// fakeRunning is a deployment that runs.
type fakeRunning struct {
	service *ecstypes.Service
	stopped []ecstypes.Task
	targets []elbtypes.TargetHealthDescription
	alarms  []cwtypes.MetricAlarm
	fail    map[string]error
}

func (f *fakeRunning) DescribeServices(context.Context, *ecs.DescribeServicesInput, ...func(*ecs.Options)) (*ecs.DescribeServicesOutput, error) {
	out := &ecs.DescribeServicesOutput{}
	if f.service != nil {
		out.Services = append(out.Services, *f.service)
	}
	return out, f.fail["DescribeServices"]
}

func (f *fakeRunning) DescribeTaskDefinition(_ context.Context, in *ecs.DescribeTaskDefinitionInput, _ ...func(*ecs.Options)) (*ecs.DescribeTaskDefinitionOutput, error) {
	return &ecs.DescribeTaskDefinitionOutput{TaskDefinition: &ecstypes.TaskDefinition{ContainerDefinitions: []ecstypes.ContainerDefinition{
		{Name: aws.String("collector"), Image: aws.String("another")},
		{Name: aws.String("edge-runtime"), Image: aws.String("image-of-" + *in.TaskDefinition), DockerLabels: map[string]string{"selvedge.release": "release-" + *in.TaskDefinition}},
	}}}, f.fail["DescribeTaskDefinition"]
}

func (f *fakeRunning) ListTasks(_ context.Context, in *ecs.ListTasksInput, _ ...func(*ecs.Options)) (*ecs.ListTasksOutput, error) {
	out := &ecs.ListTasksOutput{}
	for _, task := range f.stopped {
		out.TaskArns = append(out.TaskArns, *task.TaskArn)
	}
	if in.DesiredStatus != ecstypes.DesiredStatusStopped {
		return nil, errors.New("only tasks that have ended are of interest")
	}
	return out, f.fail["ListTasks"]
}

func (f *fakeRunning) DescribeTasks(context.Context, *ecs.DescribeTasksInput, ...func(*ecs.Options)) (*ecs.DescribeTasksOutput, error) {
	return &ecs.DescribeTasksOutput{Tasks: f.stopped}, f.fail["DescribeTasks"]
}

func (f *fakeRunning) DescribeTargetHealth(context.Context, *elb.DescribeTargetHealthInput, ...func(*elb.Options)) (*elb.DescribeTargetHealthOutput, error) {
	return &elb.DescribeTargetHealthOutput{TargetHealthDescriptions: f.targets}, f.fail["DescribeTargetHealth"]
}

func (f *fakeRunning) DescribeAlarms(_ context.Context, in *cloudwatch.DescribeAlarmsInput, _ ...func(*cloudwatch.Options)) (*cloudwatch.DescribeAlarmsOutput, error) {
	out := &cloudwatch.DescribeAlarmsOutput{MetricAlarms: f.alarms}
	if in.NextToken == nil && len(f.alarms) > 1 {
		out.MetricAlarms, out.NextToken = f.alarms[:1], aws.String("more")
	} else if in.NextToken != nil {
		out.MetricAlarms = f.alarms[1:]
	}
	return out, f.fail["DescribeAlarms"]
}

func target(address string, state elbtypes.TargetHealthStateEnum) elbtypes.TargetHealthDescription {
	return elbtypes.TargetHealthDescription{Target: &elbtypes.TargetDescription{Id: &address}, TargetHealth: &elbtypes.TargetHealth{State: state, Description: aws.String("because")}}
}

// running is a deployment with nothing wrong.
func running() (*fakeRunning, *Stack) {
	f := &fakeRunning{
		service: &ecstypes.Service{
			Status: aws.String("ACTIVE"), DesiredCount: 2, RunningCount: 2,
			Deployments: []ecstypes.Deployment{{TaskDefinition: aws.String("7"), RolloutState: ecstypes.DeploymentRolloutStateCompleted, DesiredCount: 2, RunningCount: 2}},
		},
		targets: []elbtypes.TargetHealthDescription{target("10.0.0.2", "healthy"), target("10.0.0.1", "healthy")},
		alarms: []cwtypes.MetricAlarm{
			{AlarmName: aws.String("shop-production-ServerErrorsAlarm-1A2B3C"), StateValue: cwtypes.StateValueOk},
			{AlarmName: aws.String("shop-production-eu-CpuAlarm-1A2B3C"), StateValue: cwtypes.StateValueAlarm},
			{AlarmName: aws.String("shop-production-CpuAlarm-1A2B3C"), StateValue: cwtypes.StateValueInsufficientData},
		},
		fail: map[string]error{},
	}
	for range 9 {
		f.service.Events = append(f.service.Events, ecstypes.ServiceEvent{Message: aws.String("an event")})
	}
	k := &Stack{Name: "shop-production", Status: cftypes.StackStatusUpdateComplete,
		Parameters: map[string]string{"DesiredCount": "2", "MaxCount": "10"},
		Outputs:    map[string]string{"FunctionsUrl": "https://x", "TargetGroupArn": "arn", "LogGroupName": "/ecs/shop-production", "DashboardUrl": "https://d"}}
	return f, k
}

func lookAt(t *testing.T, f *fakeRunning, k *Stack) *Status {
	t.Helper()
	l := look{ecs: f, elb: f, alarms: f, explain: (&Clients{}).Explain}
	s, err := l.at(t.Context(), Target{Project: "shop", Environment: "production"}, k, "eu-central-1")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStatus(t *testing.T) {
	f, k := running()
	s := lookAt(t, f, k)
	if s.State != StateHealthy || s.Why != "" || s.Release != "release-7" || s.Image != "image-of-7" || s.URL != "https://x" || s.Region != "eu-central-1" ||
		s.Tasks != (TaskCounts{2, 2, 0, 2, 10}) || s.Healthy() != 2 || s.Targets[0].Address != "10.0.0.1" || len(s.Events) != lastEvents || len(s.Unknown) != 0 ||
		len(s.Alarms) != 2 || s.Alarms[1].Name != "CpuAlarm" || s.LogGroup != "/ecs/shop-production" || s.Dashboard != "https://d" {
		t.Errorf("%+v", s)
	}
}

// TestStates checks what a deployment that is not well is called, and why.
func TestStates(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(f *fakeRunning, k *Stack)
		state  string
		why    string
	}{
		"being made":       {func(f *fakeRunning, k *Stack) { k.Status = cftypes.StackStatusCreateInProgress; f.service = nil }, StateChanging, "made"},
		"being deleted":    {func(_ *fakeRunning, k *Stack) { k.Status = cftypes.StackStatusDeleteInProgress }, StateChanging, "deleted"},
		"being updated":    {func(_ *fakeRunning, k *Stack) { k.Status = cftypes.StackStatusUpdateInProgress }, StateChanging, "CloudFormation"},
		"create failed":    {func(_ *fakeRunning, k *Stack) { k.Status, k.Reason = cftypes.StackStatusRollbackComplete, "no" }, StateFailed, "no"},
		"update failed":    {func(_ *fakeRunning, k *Stack) { k.Status = cftypes.StackStatusUpdateRollbackFailed }, StateFailed, "UPDATE_ROLLBACK_FAILED"},
		"rolled back once": {func(_ *fakeRunning, k *Stack) { k.Status = cftypes.StackStatusUpdateRollbackComplete }, StateHealthy, ""},
		"no service":       {func(f *fakeRunning, _ *Stack) { f.service = nil }, StateDown, "no service"},
		"service deleted":  {func(f *fakeRunning, _ *Stack) { f.service.Status = aws.String("INACTIVE") }, StateDown, "no service"},
		"rolling out": {func(f *fakeRunning, _ *Stack) {
			f.service.Deployments = append(f.service.Deployments, ecstypes.Deployment{TaskDefinition: aws.String("6")})
		}, StateChanging, "rolled out"},
		"rolling out, first": {func(f *fakeRunning, _ *Stack) {
			f.service.Deployments[0].RolloutState = ecstypes.DeploymentRolloutStateInProgress
		}, StateChanging, "rolled out"},
		"no task":       {func(f *fakeRunning, _ *Stack) { f.service.RunningCount = 0 }, StateDown, "no task runs"},
		"scaling out":   {func(f *fakeRunning, _ *Stack) { f.service.DesiredCount, f.service.PendingCount = 4, 2 }, StateChanging, "being started"},
		"too few":       {func(f *fakeRunning, _ *Stack) { f.service.DesiredCount, f.service.PendingCount = 4, 1 }, StateDegraded, "2 of 4"},
		"one unhealthy": {func(f *fakeRunning, _ *Stack) { f.targets[0] = target("10.0.0.2", "unhealthy") }, StateDegraded, "1 of 2 tasks unhealthy"},
		"all unhealthy": {func(f *fakeRunning, _ *Stack) {
			f.targets = f.targets[:1]
			f.targets[0] = target("10.0.0.2", "unhealthy")
		}, StateDown, "no task healthy"},
		"an alarm":    {func(f *fakeRunning, _ *Stack) { f.alarms[2].StateValue = cwtypes.StateValueAlarm }, StateAlarm, "CpuAlarm"},
		"not allowed": {func(f *fakeRunning, _ *Stack) { f.fail["DescribeServices"] = apiError("AccessDenied", "no") }, StateUnknown, "read the service"},
	} {
		t.Run(name, func(t *testing.T) {
			f, k := running()
			tt.change(f, k)
			s := lookAt(t, f, k)
			if s.State != tt.state || !strings.Contains(s.Why, tt.why) || tt.why == "" && s.Why != "" {
				t.Errorf("it is %s: %q, want %s: %q", s.State, s.Why, tt.state, tt.why)
			}
		})
	}
}

// TestStatusInPart checks that what can be found out is told where the rest
// cannot.
func TestStatusInPart(t *testing.T) {
	f, k := running()
	f.stopped = []ecstypes.Task{{TaskArn: aws.String("a/b/c")}}
	for _, op := range []string{"DescribeTaskDefinition", "DescribeTasks", "DescribeTargetHealth", "DescribeAlarms"} {
		f.fail[op] = apiError("AccessDenied", "not "+op)
	}
	s := lookAt(t, f, k)
	if s.State != StateHealthy || s.Tasks.Running != 2 || len(s.Unknown) != 4 {
		t.Errorf("%+v", s)
	}
	for _, op := range []string{"DescribeTaskDefinition", "DescribeTasks", "DescribeTargetHealth", "DescribeAlarms"} {
		if !slices.ContainsFunc(s.Unknown, func(text string) bool { return strings.Contains(text, "not "+op) }) {
			t.Errorf("%s is not explained: %q", op, s.Unknown)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("interrupted"))
	if _, err := (look{ecs: f, elb: f, alarms: f, explain: (&Clients{}).Explain}).at(ctx, Target{Project: "a", Environment: "b"}, k, ""); err == nil || err.Error() != "interrupted" {
		t.Errorf("%v", err)
	}
}

func TestFaults(t *testing.T) {
	at := time.Now()
	task := func(code ecstypes.TaskStopCode, reason string, exit *int32, why string) ecstypes.Task {
		return ecstypes.Task{TaskArn: aws.String("arn:aws:ecs:x:1:task/shop/0123"), StopCode: code, StoppedReason: &reason, StoppedAt: &at,
			Containers: []ecstypes.Container{{Name: aws.String("collector"), ExitCode: aws.Int32(9)}, {Name: aws.String("edge-runtime"), ExitCode: exit, Reason: &why}}}
	}
	f, k := running()
	f.stopped = []ecstypes.Task{
		task(ecstypes.TaskStopCodeServiceSchedulerInitiated, "Scaling activity initiated by (deployment ecs-svc/1)", aws.Int32(0), ""),
		task(ecstypes.TaskStopCodeSpotInterruption, "Your Spot Task was interrupted.", nil, ""),
		task(ecstypes.TaskStopCodeUserInitiated, "Task stopped by user", nil, ""),
		task(ecstypes.TaskStopCodeEssentialContainerExited, "Essential container in task exited", aws.Int32(2), "OutOfMemoryError"),
		task(ecstypes.TaskStopCodeTaskFailedToStart, "CannotPullContainerError: no image", nil, "CannotPullContainerError: no image"),
		task(ecstypes.TaskStopCodeServiceSchedulerInitiated, "Task failed ELB health checks in (target-group x)", nil, ""),
	}
	s := lookAt(t, f, k)
	var got []string
	for _, task := range s.Stopped {
		got = append(got, task.ID+" "+task.Reason)
	}
	want := []string{
		"0123 Essential container in task exited (collector: exit code 9) (edge-runtime: OutOfMemoryError, exit code 2)",
		"0123 CannotPullContainerError: no image (collector: exit code 9)",
		"0123 Task failed ELB health checks in (target-group x) (collector: exit code 9)",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
