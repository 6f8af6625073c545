package deploy

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// A situation is what a deploy finds.
type situation struct {
	identity          string // the caller's ARN
	service, registry *Stack
	keys, functions   *SecretValue
}

// Identify asks AWS whose credentials these are.
func (o *Operator) identify(ctx context.Context) (arn string, err error) {
	out, err := o.STS.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", o.Explain("ask AWS whose credentials these are", err)
	}
	o.account = aws.ToString(out.Account)
	return aws.ToString(out.Arn), nil
}

// observe reads everything that a deploy depends on, all at once.
func (o *Operator) observe(ctx context.Context) (*situation, error) {
	s := &situation{}
	var err error
	// Alone, so that bad credentials are told of once.
	if s.identity, err = o.identify(ctx); err != nil {
		return nil, err
	}
	return s, together(
		func() (err error) { s.service, err = o.ReadStack(ctx, o.Settings.Stack()); return },
		func() (err error) { s.registry, err = o.ReadStack(ctx, o.Settings.RegistryStack()); return },
		func() (err error) { s.keys, err = o.SecretStore(o.Settings.KeysSecret()).Read(ctx); return },
		func() (err error) { s.functions, err = o.SecretStore(o.Settings.FunctionsSecret()).Read(ctx); return },
	)
}

// together runs functions at the same time, and returns the first error in
// their order.
func together(all ...func() error) error {
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, f := range all {
		wg.Go(func() { errs[i] = f() })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// ready sees that a stack can be changed, and does what that takes: it waits
// while somebody else changes it, removes what is left of one that could not be
// made, and goes back where an update was left half done. It returns the stack
// as it is then, nil where there is none.
func (o *Operator) ready(ctx context.Context, k *Stack) (*Stack, error) {
	for k != nil && k.Busy() {
		var err error
		if k, err = o.waitForOthers(ctx, k); err != nil {
			return nil, err
		}
	}
	if k.Gone() {
		return nil, nil
	}
	switch k.Status {
	case types.StackStatusRollbackComplete, types.StackStatusCreateFailed, types.StackStatusRollbackFailed, types.StackStatusDeleteFailed:
		return nil, o.clear(ctx, k)
	case types.StackStatusUpdateFailed:
		return o.undo(ctx, k)
	case types.StackStatusUpdateRollbackFailed:
		return nil, &Problem{What: "the stack " + k.Name + " is stuck in " + string(k.Status), Why: k.Reason,
			State: "an update failed, and CloudFormation could not go back either; nothing was changed now",
			Next:  continueRollback(k.Name, o.awsFlags())}
	}
	return k, nil
}

// waitForOthers waits while CloudFormation works on a stack for somebody else.
func (o *Operator) waitForOthers(ctx context.Context, k *Stack) (*Stack, error) {
	text := fmt.Sprintf("the stack %s is %s: somebody else changes it, or an earlier command goes on", k.Name, k.Status)
	if o.DryRun {
		return nil, &Problem{What: text, Next: []string{"see how it is: " + o.command("status"), "run the command again when that is done"}}
	}
	o.Report.Warn(text)
	bounded, cancel := o.bounded(ctx)
	defer cancel()
	began := time.Now()
	err := o.poll(bounded, func(ctx context.Context) (bool, error) {
		o.Report.Now(fmt.Sprintf("waiting for that to end: %s, for %s", k.Status, time.Since(began).Round(time.Second)))
		now, err := o.ReadStack(ctx, k.ID)
		if err == nil {
			k = now
		}
		return k == nil || !k.Busy(), err
	})
	switch {
	case err != nil && bounded.Err() != nil:
		return nil, o.stopped(ended(bounded), "waiting for another change of "+o.Settings.Stack(), "this command has changed nothing", "see how it is: "+o.command("status"))
	case err != nil:
		return nil, o.Explain("wait for another change", err)
	}
	return k, nil
}

// clear deletes a stack that is of no use, so that it can be made anew.
func (o *Operator) clear(ctx context.Context, k *Stack) error {
	if o.DryRun {
		o.Report.Note(fmt.Sprintf("the stack %s is left in %s from an earlier try: a deploy removes it first", k.Name, k.Status))
		return nil
	}
	if k.Status == types.StackStatusRollbackComplete {
		o.Report.Note(fmt.Sprintf("the stack %s is left empty from a try that failed (%s): it is removed first", k.Name, k.Status))
	} else {
		o.Report.Warn(fmt.Sprintf("the stack %s was never made completely (%s)", k.Name, k.Status))
		if err := o.Ask.Confirm(ctx, "Remove what there is of it, and make it anew?"); err != nil {
			return err
		}
	}
	if err := o.deleteStack(ctx, k); err != nil {
		return err
	}
	return nil
}

// deleteStack deletes a stack and waits until it is gone.
func (o *Operator) deleteStack(ctx context.Context, k *Stack) error {
	bounded, cancel := o.bounded(ctx)
	defer cancel()
	w, err := o.newWatch(bounded, k.ID, 0)
	if err != nil {
		return err
	}
	if _, err := o.CloudFormation.DeleteStack(bounded, &cloudformation.DeleteStackInput{StackName: &k.ID}); err != nil {
		return o.Explain("delete the stack "+k.Name, err)
	}
	return o.waitGone(ctx, bounded, w, k)
}

// waitGone follows a deletion to its end.
func (o *Operator) waitGone(ctx, bounded context.Context, w *watch, k *Stack) error {
	now, err := w.run(bounded)
	switch {
	case err != nil && bounded.Err() != nil:
		return o.stopped(ended(bounded), "CloudFormation deleted "+k.Name, "CloudFormation goes on deleting it", "see how it is: "+o.command("status"))
	case err != nil:
		return withState(o.Explain("follow the deletion of "+k.Name, err), "CloudFormation goes on by itself")
	case now.Gone():
		return nil
	}
	p := &Problem{What: "the stack " + k.Name + " could not be deleted", Why: now.Reason, State: "it is now in the state " + string(now.Status)}
	for _, f := range w.failed {
		p.Details = append(p.Details, f.Name+": "+f.Reason)
	}
	p.Next = []string{"remove by hand what the lines above name, then run the command again"}
	return p
}

// undo brings a stack whose update was left half done back to what it was.
func (o *Operator) undo(ctx context.Context, k *Stack) (*Stack, error) {
	text := fmt.Sprintf("the stack %s is left half changed (%s)", k.Name, k.Status)
	if o.DryRun {
		return nil, &Problem{What: text, Next: []string{"go back first: aws cloudformation rollback-stack --stack-name " + k.Name + o.awsFlags()}}
	}
	o.Report.Note(text + ": it goes back first")
	bounded, cancel := o.bounded(ctx)
	defer cancel()
	w, err := o.newWatch(bounded, k.ID, 0)
	if err != nil {
		return nil, err
	}
	if _, err := o.CloudFormation.RollbackStack(bounded, &cloudformation.RollbackStackInput{StackName: &k.ID}); err != nil {
		return nil, o.Explain("take back the last change of "+k.Name, err)
	}
	now, err := w.run(bounded)
	switch {
	case err != nil && bounded.Err() != nil:
		return nil, o.stopped(ended(bounded), "CloudFormation took back the last change", "CloudFormation goes on by itself", "see how it is: "+o.command("status"))
	case err != nil:
		return nil, o.Explain("follow CloudFormation", err)
	case now == nil || !now.Is(types.StackStatusUpdateRollbackComplete):
		return nil, &Problem{What: "the last change could not be taken back", State: "the stack is in the state " + string(now.Status), Next: continueRollback(k.Name, o.awsFlags())}
	}
	return now, nil
}
