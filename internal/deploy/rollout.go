package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// A rollout follows what ECS does with the service's tasks.
type rollout struct {
	o       *Operator
	service string // also the cluster's
	since   time.Time

	text    string          // how it is, for the live line
	said    map[string]bool // events and stopped tasks that were told of
	stopped []stoppedTask
	state   *ecstypes.Service // as last seen, nil where there is none
}

// A stoppedTask is one that ended during the rollout.
type stoppedTask struct {
	ID     string
	Reason string
	// Log is the end of what it said.
	Log []string
}

// newRollout begins to follow; what happened before is left alone.
func (o *Operator) newRollout(service string) *rollout {
	// ECS's clock is not ours.
	return &rollout{o: o, service: service, since: o.now().Add(-2 * time.Second), said: map[string]bool{}}
}

// look asks ECS how the service is, and tells what is new.
func (r *rollout) look(ctx context.Context) error {
	out, err := r.o.ECS.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: &r.service, Services: []string{r.service}})
	if isAbsent(err) {
		return nil // the cluster comes before the service
	}
	if err != nil {
		return err
	}
	if len(out.Services) == 0 {
		return nil
	}
	r.state = &out.Services[0]
	r.tell(r.state.Events)
	failed := int32(0)
	for _, d := range r.state.Deployments {
		failed += d.FailedTasks
	}
	r.text = fmt.Sprintf("%d of %d tasks run", r.state.RunningCount, r.state.DesiredCount)
	if p := r.primary(); p != nil && len(r.state.Deployments) > 1 {
		r.text = fmt.Sprintf("%d of %d new tasks run, %d old ones are left", p.RunningCount, p.DesiredCount, r.state.RunningCount-p.RunningCount)
	}
	if failed > 0 {
		r.text += fmt.Sprintf(", %d failed", failed)
		return r.findStopped(ctx)
	}
	return nil
}

// primary is the newest deployment.
func (r *rollout) primary() *ecstypes.Deployment {
	for i := range r.state.Deployments {
		if aws.ToString(r.state.Deployments[i].Status) == "PRIMARY" {
			return &r.state.Deployments[i]
		}
	}
	return nil
}

// tell notes the service's events that are new, the oldest first.
func (r *rollout) tell(events []ecstypes.ServiceEvent) {
	for _, e := range slices.Backward(events) {
		id := cmp.Or(aws.ToString(e.Id), aws.ToString(e.Message))
		if r.said[id] || aws.ToTime(e.CreatedAt).Before(r.since) {
			continue
		}
		r.said[id] = true
		text := strings.TrimPrefix(aws.ToString(e.Message), "(service "+r.service+") ")
		// Those of a deploy that goes well are on the live line.
		for _, bad := range []string{"unable", "unhealthy", "failed", "rolling back", "rolled back", "stopped", "error"} {
			if strings.Contains(text, bad) {
				r.o.Report.Note("ECS: " + text)
				break
			}
		}
	}
}

// findStopped notes tasks that have ended by themselves since the rollout
// began. ECS forgets them an hour later.
func (r *rollout) findStopped(ctx context.Context) error {
	list, err := r.o.ECS.ListTasks(ctx, &ecs.ListTasksInput{Cluster: &r.service, ServiceName: &r.service, DesiredStatus: ecstypes.DesiredStatusStopped})
	if isAbsent(err) || err == nil && len(list.TaskArns) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	out, err := r.o.ECS.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: &r.service, Tasks: list.TaskArns})
	if err != nil {
		return err
	}
	for _, t := range out.Tasks {
		id := lastPart(aws.ToString(t.TaskArn))
		if r.said[id] || t.CreatedAt != nil && t.CreatedAt.Before(r.since) || !byFault(t) {
			continue
		}
		r.said[id] = true
		s := stoppedTask{ID: id, Reason: stopReason(t)}
		if len(r.stopped) < loggedTasks {
			r.readLog(ctx, &s)
		}
		if !slices.ContainsFunc(r.stopped, func(other stoppedTask) bool { return other.Reason == s.Reason }) {
			r.o.Report.Note(fmt.Sprintf("task %s stopped: %s", id, s.Reason))
		}
		r.stopped = append(r.stopped, s)
	}
	return nil
}

// byFault reports whether a task stopped by a fault: neither a release nor
// scaling nor somebody has ended it, and Spot has not taken it back.
func byFault(t ecstypes.Task) bool {
	switch t.StopCode {
	case ecstypes.TaskStopCodeUserInitiated, ecstypes.TaskStopCodeSpotInterruption, ecstypes.TaskStopCodeTerminationNotice:
		return false
	case ecstypes.TaskStopCodeServiceSchedulerInitiated:
		return unhealthy(t)
	}
	return true
}

// unhealthy reports whether ECS stopped a task since it failed its checks,
// rather than since it was no longer wanted.
func unhealthy(t ecstypes.Task) bool {
	reason := aws.ToString(t.StoppedReason)
	return !strings.HasPrefix(reason, "Scaling activity") && (strings.Contains(reason, "health") || t.HealthStatus == ecstypes.HealthStatusUnhealthy)
}

// stopReason says why a task stopped, with what its containers say.
func stopReason(t ecstypes.Task) string {
	reason := aws.ToString(t.StoppedReason)
	for _, c := range t.Containers {
		var parts []string
		if why := aws.ToString(c.Reason); why != "" && !strings.Contains(reason, why) {
			parts = append(parts, why)
		}
		if c.ExitCode != nil {
			parts = append(parts, fmt.Sprintf("exit code %d", *c.ExitCode))
		}
		if len(parts) > 0 {
			reason = strings.TrimSpace(fmt.Sprintf("%s (%s: %s)", reason, aws.ToString(c.Name), strings.Join(parts, ", ")))
		}
	}
	return cmp.Or(reason, "ECS gives no reason")
}

// lastPart is what follows the last slash of an ARN.
func lastPart(arn string) string { return arn[strings.LastIndex(arn, "/")+1:] }

// errRollout is a rollout that ECS has given up.
var errRollout = errors.New("the rollout failed")

// scalingPatience is how long scaling may take to have its least number of
// tasks started. It may also be switched off.
func (o *Operator) scalingPatience() time.Duration {
	return min(time.Minute, cmp.Or(o.WaitTimeout, DefaultWait)/10)
}

// settle waits until all tasks are the stack's release and healthy, and those
// before it are gone.
func (r *rollout) settle(ctx context.Context, k *Stack) error {
	// Scaling raises the count to its least number by itself, in a moment.
	least, _ := strconv.Atoi(k.Parameters["DesiredCount"])
	began := time.Now()
	return r.o.poll(ctx, func(ctx context.Context) (bool, error) {
		if err := r.look(ctx); err != nil {
			return false, err
		}
		if r.state == nil {
			r.o.Report.Now("ECS does not know the service yet")
			return false, nil
		}
		p := r.primary()
		want := k.Outputs["TaskDefinitionArn"]
		switch {
		case p == nil:
			return false, nil
		case p.RolloutState == ecstypes.DeploymentRolloutStateFailed:
			return false, errRollout
		case want != "" && p.RolloutState == ecstypes.DeploymentRolloutStateCompleted && aws.ToString(p.TaskDefinition) != want:
			return false, errRollout // ECS went back by itself
		case len(r.state.Deployments) > 1 || p.RolloutState == ecstypes.DeploymentRolloutStateInProgress || r.state.PendingCount > 0 || r.state.RunningCount != r.state.DesiredCount:
			r.o.Report.Now(r.text)
			return false, nil
		}
		if int(r.state.DesiredCount) < least && time.Since(began) < r.o.scalingPatience() {
			r.o.Report.Now(fmt.Sprintf("%s; scaling is to have %d", r.text, least))
			return false, nil
		}
		healthy, rest, err := r.targets(ctx, k.Outputs["TargetGroupArn"])
		if err != nil {
			return false, err
		}
		r.o.Report.Now(fmt.Sprintf("%s; %d answer the load balancer%s", r.text, healthy, rest))
		return healthy >= int(r.state.RunningCount) && rest == "", nil
	})
}

// targets returns how many targets of the load balancer are healthy, and what
// the others are, "" for none.
func (r *rollout) targets(ctx context.Context, group string) (healthy int, rest string, err error) {
	if group == "" {
		return int(r.state.RunningCount), "", nil
	}
	out, err := r.o.ELB.DescribeTargetHealth(ctx, &elasticloadbalancingv2.DescribeTargetHealthInput{TargetGroupArn: &group})
	if err != nil {
		return 0, "", err
	}
	others := map[string]int{}
	for _, t := range out.TargetHealthDescriptions {
		if t.TargetHealth == nil {
			continue
		}
		switch t.TargetHealth.State {
		case elbtypes.TargetHealthStateEnumHealthy:
			healthy++
		default:
			others[string(t.TargetHealth.State)]++
		}
	}
	for _, state := range slices.Sorted(maps.Keys(others)) {
		rest += fmt.Sprintf(", %d %s", others[state], state)
	}
	return healthy, rest, nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
