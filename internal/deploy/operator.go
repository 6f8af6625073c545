package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/smithy-go"
)

// An Operator changes what is deployed, and tells how that goes. It is used by
// one goroutine, once.
type Operator struct {
	*Clients
	Settings *Settings
	Report   Reporter
	Ask      Confirmer
	Options

	account string // after identify
	began   time.Time
}

// Options are the flags of commands that change what is deployed.
type Options struct {
	// DryRun stops before anything that runs is changed.
	DryRun bool
	// NoRollback leaves what failed as it is, to be looked at.
	NoRollback bool
	// URL is where the functions are asked whether they answer, "" for the
	// stack's own.
	URL string
	// WaitTimeout bounds the time from the change to the last healthy task; 0
	// is DefaultWait.
	WaitTimeout time.Duration
	// HTTP is used to see whether functions answer, nil for a client that does
	// nothing special.
	HTTP http.RoundTripper
	// Now is the time, for the names of releases; nil for the clock.
	Now func() time.Time
}

// DefaultWait is how long a change may take. A load balancer and a service
// take some five minutes, a certificate a few more.
const DefaultWait = 20 * time.Minute

// A Result is what a command came to. It is what --json prints.
type Result struct {
	// State is "live", "unchanged", "planned" or, of secrets, "stored".
	State       string `json:"state"`
	Stack       string `json:"stack"`
	Environment string `json:"environment"`
	Account     string `json:"account"`
	Region      string `json:"region"`
	URL         string `json:"url,omitempty"`
	Release     string `json:"release,omitempty"`
	Image       string `json:"image,omitempty"`
	// TaskDefinition is the release's revision.
	TaskDefinition string `json:"task_definition,omitempty"`
	LogGroup       string `json:"log_group,omitempty"`
	Dashboard      string `json:"dashboard,omitempty"`
	Changes        *Diff  `json:"changes,omitempty"`
	// Checked are the addresses that answered.
	Checked []string `json:"checked,omitempty"`
	Seconds float64  `json:"seconds"`
}

func (o *Operator) now() time.Time {
	if o.Now != nil {
		return o.Now()
	}
	return time.Now()
}

// result begins one from what the stack says.
func (o *Operator) result(state string, k *Stack) *Result {
	r := &Result{
		State: state, Stack: o.Settings.Stack(), Environment: o.Settings.Environment, Account: o.account, Region: o.Region,
		Seconds: time.Since(o.began).Round(time.Millisecond).Seconds(),
	}
	if k != nil {
		r.URL, r.LogGroup, r.Dashboard = k.Outputs["FunctionsUrl"], k.Outputs["LogGroupName"], k.Outputs["DashboardUrl"]
		r.Release, r.Image, r.TaskDefinition = k.Parameters["Release"], k.Parameters["ImageUri"], k.Outputs["TaskDefinitionArn"]
	}
	return r
}

// Polling: often at first, when something is likely to happen soon.
const (
	firstPoll = time.Second
	mostPoll  = 5 * time.Second
	// blindFor is how long AWS may be out of reach while something is watched
	// that goes on without us.
	blindFor = 2 * time.Minute
)

// poll calls look until it is done, fails, or ctx ends. That AWS cannot be
// reached for a while is borne: what is watched goes on without us.
func (o *Operator) poll(ctx context.Context, look func(ctx context.Context) (done bool, err error)) error {
	pause, seen := cmp.Or(o.Settings.Poll, firstPoll), time.Now()
	for {
		done, err := look(ctx)
		switch {
		case ctx.Err() != nil:
			return ended(ctx)
		case err == nil:
			seen = time.Now()
		case !passing(err) || time.Since(seen) > blindFor:
			return err
		default:
			o.Report.Now("AWS cannot be asked for the moment: " + reason(err))
		}
		if done && err == nil {
			return nil
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		if o.Settings.Poll == 0 {
			pause = min(mostPoll, pause+pause/4)
		}
	}
}

// passing reports whether an error is of a kind that goes away by itself: the
// network, throttling, trouble at AWS.
func passing(err error) bool {
	if hasCode(err, throttledCodes...) || hasCode(err, "InternalFailure", "ServiceUnavailable", "InternalServerError", "ServerException") {
		return true
	}
	var api smithy.APIError
	var p *Problem
	if errors.As(err, &api) || noCredentials(err) {
		return false
	}
	// What is explained already has its cause in it.
	return !errors.As(err, &p) || p.Err != nil
}

// sleep waits, or returns why ctx ended.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ended(ctx)
	case <-t.C:
		return nil
	}
}

// errTimeout is the cause of the end of a wait.
var errTimeout = errors.New("it took too long")

// ended is why a context ended: an interrupt, or errTimeout.
func ended(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), errTimeout) {
		return errTimeout
	}
	return ctx.Err()
}

// bounded returns a context for everything from the change on.
func (o *Operator) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, cmp.Or(o.WaitTimeout, DefaultWait), errTimeout)
}

// afterwards returns a context for what must be done although ctx has ended.
func afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
}

// interrupted reports whether an error is that of the user's interrupt.
func interrupted(err error) bool { return errors.Is(err, context.Canceled) }

// stopped makes the Problem of a command that was interrupted or took too
// long, state saying what that left behind.
func (o *Operator) stopped(err error, during, state string, next ...string) error {
	p := &Problem{What: "interrupted while " + during, State: state, Next: next, Err: err}
	if errors.Is(err, errTimeout) {
		p.What = fmt.Sprintf("gave up after %s while %s", cmp.Or(o.WaitTimeout, DefaultWait), during)
		p.Next = append(p.Next, "give it more time with --wait-timeout")
	}
	return p
}

// again is the command line that does this command's work on this target.
func (o *Operator) command(words string) string {
	text := "selvedge " + words
	if o.Settings.Environment != "production" {
		text += " --env " + o.Settings.Environment
	}
	if o.Settings.Project != defaultProject && o.Settings.Parameters["ProjectName"].Origin == "--project" {
		text += " --project " + o.Settings.Project
	}
	if o.Settings.Region.Origin == "--region" {
		text += " --region " + o.Region
	}
	if o.Settings.Profile.Origin == "--profile" {
		text += " --profile " + o.Profile
	}
	return text
}
