package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

// A watch follows what CloudFormation does with a stack, by its events.
type watch struct {
	o *Operator
	// stack is its id, or its name where that is not known.
	stack string
	// last is the id of the newest event there was before.
	last string
	// total is how many resources are to be changed, 0 where that is not known.
	total int

	state    map[string]types.ResourceStatus // of each resource
	finished map[string]bool
	failed   []failure
	// status is that of the stack in its newest event, "" before the first.
	status types.ResourceStatus
	// tasks is asked how the service is doing while it is worked on, nil for
	// not at all.
	tasks *rollout
}

// A failure is a resource with which CloudFormation did not succeed.
type failure struct {
	Name, Type, Reason string
	At                 time.Time
}

// newWatch remembers which events there are, so that those that follow can be
// told from them.
func (o *Operator) newWatch(ctx context.Context, stack string, total int) (*watch, error) {
	w := &watch{o: o, stack: stack, total: total, state: map[string]types.ResourceStatus{}, finished: map[string]bool{}}
	out, err := o.CloudFormation.DescribeStackEvents(ctx, &cloudformation.DescribeStackEventsInput{StackName: &stack})
	if err != nil && !isAbsent(err) {
		return nil, o.Explain("read the events of the stack "+stack, err)
	}
	if err == nil && len(out.StackEvents) > 0 {
		w.last = aws.ToString(out.StackEvents[0].EventId)
	}
	return w, nil
}

// run follows the events until CloudFormation is done, and returns the stack as
// it is then: nil where it is gone.
func (w *watch) run(ctx context.Context) (*Stack, error) {
	var k *Stack
	err := w.o.poll(ctx, func(ctx context.Context) (bool, error) {
		if err := w.look(ctx); err != nil {
			return false, err
		}
		if w.tasks != nil && strings.HasSuffix(string(w.state["Service"]), "_IN_PROGRESS") {
			if err := w.tasks.look(ctx); err != nil {
				return false, err
			}
		}
		w.o.Report.Now(w.text())
		if w.status == "" || strings.HasSuffix(string(w.status), "_IN_PROGRESS") {
			return false, nil
		}
		// The event may be there before the stack says so.
		var err error
		if k, err = w.o.ReadStack(ctx, w.stack); err != nil {
			return false, err
		}
		return k == nil || !k.Busy() && string(k.Status) == string(w.status), nil
	})
	return k, err
}

// look reads the events since the last look.
func (w *watch) look(ctx context.Context) error {
	var news []types.StackEvent
	in := &cloudformation.DescribeStackEventsInput{StackName: &w.stack}
	for {
		out, err := w.o.CloudFormation.DescribeStackEvents(ctx, in)
		if isAbsent(err) {
			return nil // not known yet
		}
		if err != nil {
			return err
		}
		known := slices.IndexFunc(out.StackEvents, func(e types.StackEvent) bool { return aws.ToString(e.EventId) == w.last })
		if known >= 0 {
			news = append(news, out.StackEvents[:known]...)
			break
		}
		news = append(news, out.StackEvents...)
		if aws.ToString(out.NextToken) == "" {
			break
		}
		in = &cloudformation.DescribeStackEventsInput{StackName: &w.stack, NextToken: out.NextToken}
	}
	if len(news) > 0 {
		w.last = aws.ToString(news[0].EventId)
	}
	slices.Reverse(news) // they come newest first
	for _, e := range news {
		w.take(e)
	}
	return nil
}

func (w *watch) take(e types.StackEvent) {
	name, reason := aws.ToString(e.LogicalResourceId), plain(aws.ToString(e.ResourceStatusReason))
	if aws.ToString(e.ResourceType) == "AWS::CloudFormation::Stack" && aws.ToString(e.PhysicalResourceId) == aws.ToString(e.StackId) {
		w.status = e.ResourceStatus
		if strings.Contains(string(e.ResourceStatus), "ROLLBACK_IN_PROGRESS") {
			w.o.Report.Note("CloudFormation goes back to what was before")
			w.finished, w.total = map[string]bool{}, 0
		}
		return
	}
	w.state[name] = e.ResourceStatus
	status := string(e.ResourceStatus)
	switch {
	case strings.HasSuffix(status, "_FAILED"):
		// What was cancelled since something else failed is no cause.
		if !strings.Contains(reason, "cancelled") {
			w.failed = append(w.failed, failure{name, aws.ToString(e.ResourceType), reason, aws.ToTime(e.Timestamp)})
		}
		w.o.Report.Note(fmt.Sprintf("%s failed: %s", name, reason))
	case strings.HasSuffix(status, "_COMPLETE"):
		w.finished[name] = true
	}
}

// text is the live line.
func (w *watch) text() string {
	if w.status == "" {
		return "waiting for CloudFormation to begin"
	}
	var doing []string
	for _, name := range sortedKeys(w.state) {
		if strings.HasSuffix(string(w.state[name]), "_IN_PROGRESS") {
			doing = append(doing, name)
		}
	}
	text := fmt.Sprintf("%d resources done", len(w.finished))
	if w.total > 0 {
		text = fmt.Sprintf("%d of %d resources done", min(len(w.finished), w.total), w.total)
	}
	if len(doing) > 0 {
		more := ""
		if len(doing) > 3 {
			more = fmt.Sprintf(" and %d more", len(doing)-3)
			doing = doing[:3]
		}
		text += "; working on " + strings.Join(doing, ", ") + more
	}
	if w.tasks != nil && w.tasks.text != "" && strings.HasSuffix(string(w.state["Service"]), "_IN_PROGRESS") {
		text += "; " + w.tasks.text
	}
	return text
}
