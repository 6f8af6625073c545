package deploy

import (
	"context"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

// A Stack is what CloudFormation says of one.
type Stack struct {
	ID, Name string
	Status   types.StackStatus
	// Reason goes with some statuses.
	Reason string
	// Parameters are those in force; NoEcho ones are asterisks.
	Parameters map[string]string
	Outputs    map[string]string
	// Changed is when it was last created or updated.
	Changed time.Time
}

// ReadStack returns a stack, nil where there is none of that name or id.
func (c *Clients) ReadStack(ctx context.Context, name string) (*Stack, error) {
	out, err := c.CloudFormation.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &name})
	if isAbsent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, c.Explain("read the stack "+name, err)
	}
	if len(out.Stacks) == 0 {
		return nil, nil
	}
	return readStack(out.Stacks[0]), nil
}

func readStack(s types.Stack) *Stack {
	k := &Stack{
		ID: aws.ToString(s.StackId), Name: aws.ToString(s.StackName), Status: s.StackStatus, Reason: aws.ToString(s.StackStatusReason),
		Parameters: map[string]string{}, Outputs: map[string]string{}, Changed: aws.ToTime(s.CreationTime),
	}
	if s.LastUpdatedTime != nil {
		k.Changed = *s.LastUpdatedTime
	}
	for _, p := range s.Parameters {
		k.Parameters[aws.ToString(p.ParameterKey)] = aws.ToString(p.ParameterValue)
	}
	for _, o := range s.Outputs {
		k.Outputs[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
	}
	return k
}

// Gone reports whether it is deleted: such a stack is found by its id only.
func (k *Stack) Gone() bool { return k == nil || k.Status == types.StackStatusDeleteComplete }

// Busy reports whether CloudFormation is working on it.
func (k *Stack) Busy() bool {
	return strings.HasSuffix(string(k.Status), "_IN_PROGRESS") && k.Status != types.StackStatusReviewInProgress
}

// Live reports whether it has what its template says: nothing failed so that
// it is of no use.
func (k *Stack) Live() bool {
	switch k.Status {
	case types.StackStatusCreateComplete, types.StackStatusUpdateComplete, types.StackStatusUpdateRollbackComplete,
		types.StackStatusUpdateCompleteCleanupInProgress, types.StackStatusUpdateRollbackCompleteCleanupInProgress,
		types.StackStatusImportComplete, types.StackStatusImportRollbackComplete:
		return true
	}
	return false
}

// Is reports whether its status is one of those.
func (k *Stack) Is(statuses ...types.StackStatus) bool {
	for _, s := range statuses {
		if k.Status == s {
			return true
		}
	}
	return false
}

// NeedStack returns the stack of a target that has been deployed.
func (c *Clients) NeedStack(ctx context.Context, t Target) (*Stack, error) {
	k, err := c.ReadStack(ctx, t.Stack())
	if err != nil {
		return nil, err
	}
	if k == nil || k.Is(types.StackStatusReviewInProgress) {
		return nil, &Problem{
			What: "nothing is deployed as " + t.Stack() + " in " + c.Region,
			Next: []string{"deploy it: selvedge deploy", "look elsewhere: --env, --project, --region, --profile"},
		}
	}
	return k, nil
}
