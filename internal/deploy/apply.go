package deploy

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

// apply takes a change of the service's stack from the change set to functions
// that answer: change set, diff, question, execution, healthy tasks, smoke
// test. Where the functions do not answer, it goes back, if goBack is set.
// anon is the key that functions are asked with.
func (o *Operator) apply(ctx context.Context, c change, anon string, goBack bool) (*Result, error) {
	o.Report.Begin("changes")
	set, err := o.propose(ctx, c)
	if err != nil {
		return nil, err
	}
	if set == nil {
		o.Report.End("nothing changed")
		return o.result("unchanged", c.existing), nil
	}
	d := o.diff(set)
	for _, line := range d.Lines() {
		o.Report.Note(line)
	}
	for _, warning := range d.Warnings() {
		o.Report.Warn(warning)
	}
	if o.DryRun {
		left := o.discard(ctx, set)
		o.Report.End(fmt.Sprintf("%d resources; %s", len(d.Resources), left))
		r := o.result("planned", c.existing)
		r.Changes = d
		return r, nil
	}
	o.Report.End(fmt.Sprintf("%d resources", len(d.Resources)))
	if err := o.Ask.Confirm(ctx, fmt.Sprintf("Change %s in %s (account %s)?", c.stack, o.Region, o.account)); err != nil {
		left := o.discard(ctx, set)
		if ctx.Err() != nil {
			return nil, o.stopped(ended(ctx), "waiting for the answer", left)
		}
		return nil, err
	}
	before, err := o.snapshot(ctx, set, goBack)
	if err != nil {
		return nil, o.abandon(ctx, set, "keeping what it takes to go back", err)
	}
	live, err := o.carryOut(ctx, set)
	if err != nil {
		return nil, err
	}
	checked, err := o.check(ctx, live, anon)
	if err != nil {
		if ctx.Err() == nil && before != nil && errors.Is(err, errSmoke) {
			return nil, o.goBack(ctx, before, err)
		}
		return nil, err
	}
	r := o.result("live", live)
	r.Changes, r.Checked = d, checked
	return r, nil
}

// abandon discards a change set that is not carried out since something failed
// or the user wants it no more, and adds to the error what that leaves.
func (o *Operator) abandon(ctx context.Context, s *changeSet, during string, err error) error {
	left := o.discard(ctx, s)
	if ctx.Err() != nil {
		return o.stopped(ended(ctx), during, left)
	}
	return withState(err, left)
}

// snapshot keeps what it takes to go back exactly: the template in force, nil
// where there is nothing to go back to.
func (o *Operator) snapshot(ctx context.Context, s *changeSet, wanted bool) (*change, error) {
	if !wanted || o.NoRollback || !s.existing.exists() {
		return nil, nil
	}
	back := &change{stack: s.stack, set: map[string]string{}, known: slices.Sorted(maps.Keys(s.existing.Parameters))}
	for name, value := range s.existing.Parameters {
		if _, changes := s.set[name]; changes && value != noEcho {
			back.set[name] = value
		}
	}
	if s.template != "" {
		out, err := o.CloudFormation.GetTemplate(ctx, &cloudformation.GetTemplateInput{StackName: aws.String(s.stackFor()), TemplateStage: types.TemplateStageOriginal})
		if err != nil {
			return nil, o.Explain("keep the template of "+s.stack, err)
		}
		back.template = aws.ToString(out.TemplateBody)
	}
	return back, nil
}

// noEcho is what CloudFormation shows of a secret parameter.
const noEcho = "****"

// carryOut executes a change set and waits until CloudFormation is done.
func (o *Operator) carryOut(ctx context.Context, s *changeSet) (*Stack, error) {
	o.Report.Begin("stack")
	bounded, cancel := o.bounded(ctx)
	defer cancel()
	w, err := o.newWatch(bounded, s.stackFor(), len(s.changes))
	if err != nil {
		return nil, o.abandon(ctx, s, "beginning the change", err)
	}
	w.tasks = o.newRollout(s.stack)
	in := &cloudformation.ExecuteChangeSetInput{ChangeSetName: &s.id, StackName: aws.String(s.stackFor()), ClientRequestToken: aws.String("selvedge-" + rand.Text())}
	if o.NoRollback {
		in.DisableRollback = aws.Bool(true)
	}
	if ctx.Err() != nil {
		return nil, o.abandon(ctx, s, "beginning the change", ended(ctx))
	}
	// An interrupt must not leave it open whether it has begun.
	begin, done := context.WithTimeout(context.WithoutCancel(ctx), 2*callTimeout)
	_, err = o.CloudFormation.ExecuteChangeSet(begin, in)
	done()
	if err != nil {
		return nil, o.abandon(ctx, s, "beginning the change", o.Explain("begin the change of "+s.stack, err))
	}
	k, err := w.run(bounded)
	switch {
	case err != nil && bounded.Err() != nil:
		return nil, o.leave(ctx, s, ended(bounded))
	case err != nil:
		return nil, withState(o.Explain("follow the change of "+s.stack, err),
			"CloudFormation goes on by itself", "see how it is: "+o.command("status"))
	case k == nil || !k.Is(types.StackStatusCreateComplete, types.StackStatusUpdateComplete):
		return nil, o.failed(ctx, s, w, k)
	}
	o.Report.End(fmt.Sprintf("%d resources changed", len(s.changes)))
	return k, nil
}

// withState adds to a Problem what the state is and how to go on.
func withState(err error, state string, next ...string) error {
	var p *Problem
	if errors.As(err, &p) && p.State == "" {
		told := *p
		told.State = state
		told.Next = append(slices.Clone(p.Next), next...)
		return &told
	}
	return err
}

// leave ends a change that is going on, on an interrupt or after too long a
// time: an update is cancelled on an interrupt, so that what was before stays;
// CloudFormation does that by itself. A new stack is left to go on: nobody uses
// it yet, and it can be removed or taken over later.
func (o *Operator) leave(ctx context.Context, s *changeSet, why error) error {
	ctx, cancel := afterwards(ctx)
	defer cancel()
	status, remove := "see how it is: "+o.command("status"), "or remove it: "+o.command("destroy")
	if errors.Is(why, errTimeout) {
		return o.stopped(why, "CloudFormation changed "+s.stack, "CloudFormation goes on by itself", status)
	}
	if !s.existing.exists() {
		return o.stopped(why, "CloudFormation made "+s.stack, "CloudFormation goes on making it, and what is there is billed", status, remove)
	}
	var err error
	for range 3 { // it may not know yet that it has begun
		_, err = o.CloudFormation.CancelUpdateStack(ctx, &cloudformation.CancelUpdateStackInput{StackName: aws.String(s.stackFor())})
		if err == nil || sleep(ctx, cmp.Or(o.Settings.Poll, firstPoll)) != nil {
			break
		}
	}
	if err == nil {
		return o.stopped(why, "CloudFormation changed "+s.stack, "the change is cancelled: CloudFormation goes back to what was before, and that runs all the while", status)
	}
	state := "it could not be cancelled: " + reason(err)
	if k, err := o.ReadStack(ctx, s.stackFor()); err == nil && k != nil {
		state += "; the stack is in the state " + string(k.Status)
	}
	return o.stopped(why, "CloudFormation changed "+s.stack, state, status)
}

// errSmoke is a release whose functions do not answer as they should.
var errSmoke = errors.New("the functions do not answer as they should")

// check waits until the tasks are healthy and the functions answer.
func (o *Operator) check(ctx context.Context, k *Stack, anon string) ([]string, error) {
	bounded, cancel := o.bounded(ctx)
	defer cancel()
	state := "the release is deployed; whether it is healthy was not seen"
	next := []string{"see how it is: " + o.command("status"), "go back to the release before: " + o.command("rollback")}

	o.Report.Begin("tasks")
	r := o.newRollout(o.Settings.Stack())
	switch err := r.settle(bounded, k); {
	case errors.Is(err, errRollout), errors.Is(err, errTimeout):
		return nil, o.rolloutFailed(ctx, r, err)
	case err != nil && bounded.Err() != nil:
		return nil, o.stopped(ended(bounded), "waiting for healthy tasks", state, next...)
	case err != nil:
		return nil, withState(o.Explain("see how the tasks are", err), state, next...)
	}
	o.Report.End(fmt.Sprintf("%d healthy", r.state.RunningCount))

	o.Report.Begin("check")
	checked, err := o.smoke(bounded, k, anon)
	var usage *Problem
	switch {
	case err != nil && bounded.Err() != nil:
		return nil, o.stopped(ended(bounded), "asking the functions", "the release is deployed and its tasks are healthy; whether functions answer was not seen", next...)
	case errors.As(err, &usage):
		return nil, err
	case err != nil:
		return nil, &Problem{What: errSmoke.Error(), Why: err.Error(), Err: errSmoke,
			State: "the release is deployed, and its tasks are healthy",
			Next:  append([]string{"look at the log: " + o.command("logs --aws")}, next...)}
	}
	o.Report.End(fmt.Sprintf("%d addresses answer", len(checked)))
	return checked, nil
}

// goBack brings back what was deployed before, since what is deployed does not
// answer.
func (o *Operator) goBack(ctx context.Context, before *change, why error) error {
	p := &Problem{What: why.Error(), Err: why}
	if failure := (*Problem)(nil); errors.As(why, &failure) {
		told := *failure
		p = &told
	}
	o.Report.Warn(p.What + ": " + p.Why)
	o.Report.Note("going back to what was deployed before")
	release := before.set["Release"]
	k, err := o.restore(ctx, *before)
	switch {
	case err != nil:
		p.State = "going back failed as well"
		if ctx.Err() != nil {
			p.State = "going back was interrupted"
		}
		p.Details = append(p.Details, err.Error())
		p.Next = []string{"see how it is: " + o.command("status"), "go back by hand: " + o.command("rollback")}
	default:
		if release == "" && k != nil {
			release = k.Parameters["Release"]
		}
		p.State = "what was deployed before is back, release " + quoted(release)
		p.Next = []string{"look at the log of the one that failed: " + o.command("logs --aws"), "keep a failing release, to look at it: --no-rollback"}
	}
	return p
}

// restore carries out a change without asking, and waits for healthy tasks.
func (o *Operator) restore(ctx context.Context, c change) (*Stack, error) {
	k, err := o.ReadStack(ctx, c.stack)
	if err != nil || k == nil {
		return nil, err
	}
	c.existing = k
	o.Report.Begin("changes")
	set, err := o.propose(ctx, c)
	if err != nil || set == nil {
		return k, err
	}
	o.Report.End(fmt.Sprintf("%d resources", len(set.changes)))
	if k, err = o.carryOut(ctx, set); err != nil {
		return nil, err
	}
	bounded, cancel := o.bounded(ctx)
	defer cancel()
	o.Report.Begin("tasks")
	r := o.newRollout(o.Settings.Stack())
	if err := r.settle(bounded, k); err != nil {
		return nil, err
	}
	o.Report.End(fmt.Sprintf("%d healthy", r.state.RunningCount))
	return k, nil
}
