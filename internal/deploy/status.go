package deploy

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"

	"github.com/selvedge-dev/selvedge/internal/stack"
)

// The calls that a look at a deployment takes.
type (
	serviceReader interface {
		DescribeServices(context.Context, *ecs.DescribeServicesInput, ...func(*ecs.Options)) (*ecs.DescribeServicesOutput, error)
		DescribeTaskDefinition(context.Context, *ecs.DescribeTaskDefinitionInput, ...func(*ecs.Options)) (*ecs.DescribeTaskDefinitionOutput, error)
		ListTasks(context.Context, *ecs.ListTasksInput, ...func(*ecs.Options)) (*ecs.ListTasksOutput, error)
		DescribeTasks(context.Context, *ecs.DescribeTasksInput, ...func(*ecs.Options)) (*ecs.DescribeTasksOutput, error)
	}
	targetReader interface {
		DescribeTargetHealth(context.Context, *elb.DescribeTargetHealthInput, ...func(*elb.Options)) (*elb.DescribeTargetHealthOutput, error)
	}
	alarmReader interface {
		DescribeAlarms(context.Context, *cloudwatch.DescribeAlarmsInput, ...func(*cloudwatch.Options)) (*cloudwatch.DescribeAlarmsOutput, error)
	}
)

// States of a deployment as a whole, the worst that holds.
const (
	StateUnknown  = "unknown"  // it cannot be found out
	StateFailed   = "failed"   // the stack is of no use as it is
	StateDown     = "down"     // no task answers
	StateChanging = "changing" // a deploy, an update or a deletion is going on
	StateDegraded = "degraded" // fewer tasks answer than there should be
	StateAlarm    = "alarm"    // an alarm is set off
	StateHealthy  = "healthy"
)

// A Status is how a deployment is.
type Status struct {
	State string `json:"state"`
	// Why says more of a State other than healthy.
	Why     string      `json:"why,omitempty"`
	Region  string      `json:"region"`
	Stack   StackStatus `json:"stack"`
	URL     string      `json:"url,omitempty"`
	Release string      `json:"release,omitempty"`
	Image   string      `json:"image,omitempty"`

	Tasks       TaskCounts       `json:"tasks"`
	Targets     []TargetStatus   `json:"targets"`
	Deployments []RolloutStatus  `json:"deployments"`
	Stopped     []StoppedTask    `json:"stopped"`
	Events      []ServiceMessage `json:"events"`
	Alarms      []AlarmStatus    `json:"alarms"`

	LogGroup  string `json:"log_group,omitempty"`
	Dashboard string `json:"dashboard,omitempty"`
	// Unknown is what could not be found out, and why.
	Unknown []string `json:"unknown,omitempty"`
}

// A StackStatus is what CloudFormation says.
type StackStatus struct {
	Name    string    `json:"name"`
	Status  string    `json:"status"`
	Reason  string    `json:"reason,omitempty"`
	Changed time.Time `json:"changed"`
}

// TaskCounts are the tasks of the service, and the bounds of scaling.
type TaskCounts struct {
	Desired int `json:"desired"`
	Running int `json:"running"`
	Pending int `json:"pending"`
	Min     int `json:"min"`
	Max     int `json:"max"`
}

// A TargetStatus is how the load balancer finds a task.
type TargetStatus struct {
	Address string `json:"address"`
	State   string `json:"state"`
	Reason  string `json:"reason,omitempty"`
}

// A RolloutStatus is a release that has tasks, the newest first.
type RolloutStatus struct {
	Release string    `json:"release,omitempty"`
	State   string    `json:"state"`
	Reason  string    `json:"reason,omitempty"`
	Desired int       `json:"desired"`
	Running int       `json:"running"`
	Pending int       `json:"pending"`
	Failed  int       `json:"failed"`
	Started time.Time `json:"started"`
}

// A StoppedTask is one that ended by a fault.
type StoppedTask struct {
	ID      string    `json:"id"`
	Reason  string    `json:"reason"`
	Stopped time.Time `json:"stopped"`
}

// A ServiceMessage is an event of the service.
type ServiceMessage struct {
	Time    time.Time `json:"time"`
	Message string    `json:"message"`
}

// An AlarmStatus is one of the stack's alarms.
type AlarmStatus struct {
	Name   string    `json:"name"`
	State  string    `json:"state"`
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since"`
}

// lastEvents are as many events as a Status has.
const lastEvents = 5

// Status looks at a deployment.
func (c *Clients) Status(ctx context.Context, t Target) (*Status, error) {
	k, err := c.NeedStack(ctx, t)
	if err != nil {
		return nil, err
	}
	l := look{ecs: c.ECS, elb: c.ELB, alarms: c.CloudWatch, explain: c.Explain}
	return l.at(ctx, t, k, c.Region)
}

// A look collects a Status. What cannot be found out is noted; only an
// interrupt ends it.
type look struct {
	ecs     serviceReader
	elb     targetReader
	alarms  alarmReader
	explain func(doing string, err error) error
	s       *Status
}

func (l look) at(ctx context.Context, t Target, k *Stack, region string) (*Status, error) {
	l.s = &Status{
		Region:    region,
		Stack:     StackStatus{k.Name, string(k.Status), k.Reason, k.Changed},
		URL:       k.Outputs["FunctionsUrl"],
		LogGroup:  k.Outputs["LogGroupName"],
		Dashboard: k.Outputs["DashboardUrl"],
		Targets:   []TargetStatus{}, Deployments: []RolloutStatus{}, Stopped: []StoppedTask{}, Events: []ServiceMessage{}, Alarms: []AlarmStatus{},
	}
	l.s.Tasks.Min, _ = strconv.Atoi(k.Parameters["DesiredCount"])
	l.s.Tasks.Max, _ = strconv.Atoi(k.Parameters["MaxCount"])
	l.service(ctx, t)
	if group := k.Outputs["TargetGroupArn"]; group != "" {
		l.targets(ctx, group)
	}
	l.alarm(ctx, t)
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	l.s.State, l.s.Why = l.s.judge(k)
	return l.s, nil
}

// unknown notes what could not be found out.
func (l look) unknown(what string, err error) {
	l.s.Unknown = append(l.s.Unknown, l.explain("read "+what, err).Error())
}

// service reads the service, its releases and the tasks that have ended.
func (l look) service(ctx context.Context, t Target) {
	name := t.Stack()
	out, err := l.ecs.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: &name, Services: []string{name}})
	switch {
	case isAbsent(err):
		return
	case err != nil:
		l.unknown("the service", err)
		return
	case len(out.Services) == 0 || aws.ToString(out.Services[0].Status) == "INACTIVE":
		return
	}
	service := out.Services[0]
	l.s.Tasks.Desired, l.s.Tasks.Running, l.s.Tasks.Pending = int(service.DesiredCount), int(service.RunningCount), int(service.PendingCount)
	for i, d := range service.Deployments {
		release, image := l.release(ctx, aws.ToString(d.TaskDefinition))
		if i == 0 {
			l.s.Release, l.s.Image = release, image
		}
		l.s.Deployments = append(l.s.Deployments, RolloutStatus{
			Release: release, State: strings.ToLower(cmp.Or(string(d.RolloutState), aws.ToString(d.Status))), Reason: aws.ToString(d.RolloutStateReason),
			Desired: int(d.DesiredCount), Running: int(d.RunningCount), Pending: int(d.PendingCount), Failed: int(d.FailedTasks),
			Started: aws.ToTime(d.CreatedAt),
		})
	}
	for _, e := range service.Events[:min(lastEvents, len(service.Events))] {
		l.s.Events = append(l.s.Events, ServiceMessage{aws.ToTime(e.CreatedAt), aws.ToString(e.Message)})
	}
	l.stopped(ctx, name)
}

// release returns what a task definition is called, and its image.
func (l look) release(ctx context.Context, definition string) (release, image string) {
	if definition == "" {
		return "", ""
	}
	out, err := l.ecs.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: &definition})
	if err != nil {
		l.unknown("the task definition "+definition, err)
		return "", ""
	}
	for _, c := range out.TaskDefinition.ContainerDefinitions {
		if aws.ToString(c.Name) == stack.ContainerName {
			return c.DockerLabels[stack.ReleaseLabel], aws.ToString(c.Image)
		}
	}
	return "", ""
}

// stopped reads the tasks that have ended by a fault. ECS knows them for an
// hour.
func (l look) stopped(ctx context.Context, name string) {
	list, err := l.ecs.ListTasks(ctx, &ecs.ListTasksInput{Cluster: &name, ServiceName: &name, DesiredStatus: ecstypes.DesiredStatusStopped})
	if err != nil || len(list.TaskArns) == 0 {
		if err != nil {
			l.unknown("the tasks that have ended", err)
		}
		return
	}
	out, err := l.ecs.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: &name, Tasks: list.TaskArns[:min(100, len(list.TaskArns))]})
	if err != nil {
		l.unknown("the tasks that have ended", err)
		return
	}
	for _, task := range out.Tasks {
		if byFault(task) {
			l.s.Stopped = append(l.s.Stopped, StoppedTask{lastPart(aws.ToString(task.TaskArn)), stopReason(task), aws.ToTime(task.StoppedAt)})
		}
	}
	slices.SortFunc(l.s.Stopped, func(a, b StoppedTask) int { return b.Stopped.Compare(a.Stopped) })
}

func (l look) targets(ctx context.Context, group string) {
	out, err := l.elb.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: &group})
	if isAbsent(err) {
		return
	}
	if err != nil {
		l.unknown("how the load balancer finds the tasks", err)
		return
	}
	for _, t := range out.TargetHealthDescriptions {
		target := TargetStatus{State: "unknown"}
		if t.Target != nil {
			target.Address = aws.ToString(t.Target.Id)
		}
		if h := t.TargetHealth; h != nil {
			target.State, target.Reason = string(h.State), aws.ToString(h.Description)
		}
		l.s.Targets = append(l.s.Targets, target)
	}
	slices.SortFunc(l.s.Targets, func(a, b TargetStatus) int {
		return cmp.Or(cmp.Compare(a.State, b.State), cmp.Compare(a.Address, b.Address))
	})
}

// ownAlarm is how CloudFormation names an alarm, after the stack's name: as
// the template does, and some letters.
var ownAlarm = regexp.MustCompile(`\A([A-Z][A-Za-z]*Alarm)-[A-Za-z0-9]+\z`)

func (l look) alarm(ctx context.Context, t Target) {
	prefix := t.Stack() + "-"
	in := &cloudwatch.DescribeAlarmsInput{AlarmNamePrefix: &prefix}
	for {
		out, err := l.alarms.DescribeAlarms(ctx, in)
		if err != nil {
			l.unknown("the alarms", err)
			return
		}
		for _, a := range out.MetricAlarms {
			name := ownAlarm.FindStringSubmatch(strings.TrimPrefix(aws.ToString(a.AlarmName), prefix))
			if name == nil {
				continue // of a stack whose name begins with this one's
			}
			l.s.Alarms = append(l.s.Alarms, AlarmStatus{
				Name: name[1], State: string(a.StateValue), Reason: aws.ToString(a.StateReason), Since: aws.ToTime(a.StateUpdatedTimestamp),
			})
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return
		}
	}
}

// Healthy counts the tasks that the load balancer sends requests to.
func (s *Status) Healthy() int { return s.count("healthy") }

func (s *Status) count(state string) int {
	n := 0
	for _, t := range s.Targets {
		if t.State == state {
			n++
		}
	}
	return n
}

// judge says how the deployment is as a whole, and why it is not well.
func (s *Status) judge(k *Stack) (state, why string) {
	switch {
	case k.Is(types.StackStatusDeleteInProgress):
		return StateChanging, "it is being deleted"
	case k.Is(types.StackStatusCreateInProgress):
		return StateChanging, "it is being made"
	case k.Busy():
		return StateChanging, "CloudFormation is at work on it"
	case !k.Live():
		return StateFailed, cmp.Or(k.Reason, "the stack is "+string(k.Status))
	case len(s.Deployments) == 0 && len(s.Unknown) > 0:
		return StateUnknown, s.Unknown[0]
	case len(s.Deployments) == 0:
		return StateDown, "there is no service"
	case len(s.Deployments) > 1 || len(s.Deployments) == 1 && s.Deployments[0].State == "in_progress":
		return StateChanging, "a release is being rolled out"
	case s.Tasks.Running == 0:
		return StateDown, "no task runs"
	case len(s.Targets) > 0 && s.Healthy() == 0:
		return StateDown, "the load balancer finds no task healthy"
	case s.Tasks.Running < s.Tasks.Desired && s.Tasks.Running+s.Tasks.Pending >= s.Tasks.Desired:
		return StateChanging, "tasks are being started"
	case s.Tasks.Running < s.Tasks.Desired:
		return StateDegraded, fmt.Sprintf("%d of %d tasks run", s.Tasks.Running, s.Tasks.Desired)
	case s.count("unhealthy") > 0:
		return StateDegraded, fmt.Sprintf("the load balancer finds %d of %d tasks unhealthy", s.count("unhealthy"), len(s.Targets))
	}
	for _, a := range s.Alarms {
		if a.State == string(cwtypes.StateValueAlarm) {
			return StateAlarm, "the alarm " + a.Name + " is set off"
		}
	}
	return StateHealthy, ""
}
