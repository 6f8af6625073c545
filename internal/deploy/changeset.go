package deploy

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/smithy-go"

	"github.com/selvedge-dev/selvedge/internal/stack"
)

// A change is what a stack is asked to become.
type change struct {
	stack string
	// existing is the stack as it is, nil where it is to be made.
	existing *Stack
	// template is the new one's text, "" to keep the one there is.
	template string
	// set are the parameters that get a value; the others keep theirs.
	set map[string]string
	// known are the template's parameters: those that are not set and that the
	// stack has not yet get the template's defaults.
	known []string
}

// parameters are the change's as CloudFormation wants them.
func (c *change) parameters() []types.Parameter {
	known := c.known
	if known == nil {
		known = slices.Sorted(maps.Keys(c.existing.Parameters))
	}
	var list []types.Parameter
	for _, name := range known {
		if value, ok := c.set[name]; ok {
			list = append(list, types.Parameter{ParameterKey: &name, ParameterValue: &value})
		} else if c.existing.exists() {
			if _, had := c.existing.Parameters[name]; had {
				list = append(list, types.Parameter{ParameterKey: &name, UsePreviousValue: aws.Bool(true)})
			}
		}
	}
	return list
}

// exists reports whether it has resources: one in review has none.
func (k *Stack) exists() bool { return k != nil && !k.Is(types.StackStatusReviewInProgress) }

func parameterNamesOf(t *stack.Template) []string {
	var names []string
	for _, p := range t.Parameters {
		names = append(names, p.Name)
	}
	return names
}

// A changeSet is a change that CloudFormation has looked at.
type changeSet struct {
	change
	id, stackID string
	changes     []types.Change
	// shell is set where the stack was made by the change set and has nothing
	// in it yet.
	shell bool
}

// stackFor is how CloudFormation is asked about the change set's stack: by id,
// which stays right when it is gone.
func (s *changeSet) stackFor() string {
	if s.stackID != "" {
		return s.stackID
	}
	return s.stack
}

const (
	// lookAgain is how long CloudFormation may not know what it was just told.
	lookAgain = 30 * time.Second
	// mostTemplate is what CloudFormation takes without S3, in bytes.
	mostTemplate = 51200
)

// nothingRuns is the state before a change is carried out. An image may have
// been pushed by then, and a secret written: neither is used by what runs.
const nothingRuns = "nothing that runs has changed"

// propose has CloudFormation look at a change. It returns nil where nothing
// would change. On an error, nothing of it is left behind.
func (o *Operator) propose(ctx context.Context, c change) (*changeSet, error) {
	s := &changeSet{change: c, shell: c.existing == nil}
	name := "selvedge-" + o.now().UTC().Format("20060102T150405Z") + "-" + rand.Text()[:6]
	in := &cloudformation.CreateChangeSetInput{
		StackName: &c.stack, ChangeSetName: &name, ChangeSetType: types.ChangeSetTypeUpdate, ClientToken: &name,
		Description:  aws.String("Made by selvedge"),
		Capabilities: []types.Capability{types.CapabilityCapabilityIam},
		Parameters:   c.parameters(),
	}
	if !c.existing.exists() {
		in.ChangeSetType = types.ChangeSetTypeCreate
	}
	if c.template == "" {
		in.UsePreviousTemplate = aws.Bool(true)
	} else {
		in.TemplateBody = &c.template
	}
	s.id = name
	out, err := o.CloudFormation.CreateChangeSet(ctx, in)
	var refused smithy.APIError
	if errors.As(err, &refused) {
		return nil, withState(o.Explain("have CloudFormation look at the change of "+c.stack, err), nothingRuns)
	}
	if err == nil {
		s.id, s.stackID = aws.ToString(out.Id), aws.ToString(out.StackId)
		err = o.examine(ctx, s)
	}
	switch {
	case err == nil && s.changes == nil:
		o.discard(ctx, s)
		return nil, nil
	case err != nil:
		left := o.discard(ctx, s)
		if interrupted(err) || ctx.Err() != nil {
			return nil, o.stopped(ended(ctx), "CloudFormation looked at the change", left)
		}
		return nil, withState(o.Explain("have CloudFormation look at the change of "+c.stack, err), left)
	}
	return s, nil
}

// examine waits for CloudFormation to have looked at the change set, and reads
// what it found. changes is nil where nothing would change.
func (o *Operator) examine(ctx context.Context, s *changeSet) error {
	asked := o.now()
	in := &cloudformation.DescribeChangeSetInput{ChangeSetName: &s.id, StackName: aws.String(s.stackFor())}
	var out *cloudformation.DescribeChangeSetOutput
	err := o.poll(ctx, func(ctx context.Context) (bool, error) {
		var err error
		out, err = o.CloudFormation.DescribeChangeSet(ctx, in)
		switch {
		case isAbsent(err) && o.now().Sub(asked) < lookAgain:
			return false, nil // it says so for a moment after the change set was made
		case err != nil:
			return false, err
		}
		return out.Status == types.ChangeSetStatusCreateComplete || out.Status == types.ChangeSetStatusFailed, nil
	})
	if err != nil {
		return err
	}
	if out.Status == types.ChangeSetStatusFailed {
		why := aws.ToString(out.StatusReason)
		if strings.Contains(why, "didn't contain changes") || strings.Contains(why, "No updates are to be performed") {
			return nil
		}
		return &Problem{What: "CloudFormation refuses the change", Why: why, Next: adviceFor(why)}
	}
	s.changes = []types.Change{}
	for {
		s.changes = append(s.changes, out.Changes...)
		if aws.ToString(out.NextToken) == "" {
			break
		}
		next := *in
		next.NextToken = out.NextToken
		if out, err = o.CloudFormation.DescribeChangeSet(ctx, &next); err != nil {
			return err
		}
	}
	return nil
}

// discard deletes a change set that is not carried out, and with it a stack
// that is nothing but that. It says what is left.
func (o *Operator) discard(ctx context.Context, s *changeSet) string {
	ctx, cancel := afterwards(ctx)
	defer cancel()
	var err error
	for {
		_, err = o.CloudFormation.DeleteChangeSet(ctx, &cloudformation.DeleteChangeSetInput{ChangeSetName: &s.id, StackName: aws.String(s.stackFor())})
		// It cannot be deleted while CloudFormation makes it.
		if !hasCode(err, "InvalidChangeSetStatus") || sleep(ctx, cmp.Or(o.Settings.Poll, firstPoll)) != nil {
			break
		}
	}
	if s.shell && (err == nil || isAbsent(err)) {
		_, err = o.CloudFormation.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: aws.String(s.stackFor())})
	}
	if err != nil && !isAbsent(err) {
		return fmt.Sprintf(nothingRuns+"; the change set %s is left behind, and does no harm", s.id)
	}
	return nothingRuns
}
