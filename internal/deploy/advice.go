package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"github.com/selvedge-dev/selvedge/internal/stack"
)

// advice is what to do about something that AWS or a container says: any of the
// texts, in lower case, stands for the advice.
var advice = []struct {
	signs []string
	next  string
}{
	{[]string{"outofmemory", "out of memory", "exit code 137"},
		"give tasks more memory: --set memory=2048, or memory in selvedge.toml (docs/limits.md says what needs how much)"},
	{[]string{"exec format error", "does not contain descriptor matching platform", "image manifest does not contain"},
		"image and tasks are for different processors: set cpu_architecture (X86_64 or ARM64), and deploy again"},
	{[]string{"cannotpullcontainer", "pull image manifest", "failed to resolve ref"},
		"the image cannot be pulled: see that it is still in the repository, and that tasks reach ECR (network_mode public, or private-nat with its gateway)"},
	{[]string{"resourceinitializationerror", "unable to pull secrets", "retrieve secret"},
		"a secret cannot be read: see that it is there with `selvedge secrets list` and deploy again, which pins its newest version"},
	{[]string{"exit code 2"},
		"the server found its settings wrong and said so in its log, above or with `selvedge logs --aws`"},
	{[]string{"failed elb health checks", "failed container health checks", "health checks failed", "is unhealthy"},
		"the server starts but does not answer /health in time: look at its log, or give tasks more cpu (--set cpu=1024)"},
	{[]string{"circuit breaker"},
		"tasks of the new release do not stay up: try the image here with ./test-local.sh or `selvedge serve`, mend it, and deploy again"},
	{[]string{"maximum number of vpcs", "vpclimitexceeded", "addresslimitexceeded", "maximum number of addresses", "limit exceeded", "limitexceeded", "quota"},
		"the account's quota is used up: raise it in the console of Service Quotas, or remove what is no longer needed"},
	{[]string{"no hosted zone found", "nosuchhostedzone"},
		"see that hosted_zone_id is the public zone of domain_name: aws route53 list-hosted-zones"},
	{[]string{"already exists"},
		"something of that name is there already, of an earlier deployment or another stack: remove it, or choose another project_name or environment"},
	{[]string{"not authorized to perform", "accessdenied", "access denied"},
		"the credentials lack a right: have the policy of docs/aws.md attached to them"},
	{[]string{"certificate"},
		"see that certificate_arn names an issued certificate in this region: aws acm list-certificates"},
	{[]string{"no capacity", "capacity is unavailable", "unable to place"},
		"AWS has no room for the tasks at the moment: try again later, or with fargate_spot = false"},
}

// adviceFor returns what is to be done about texts, the likeliest first.
func adviceFor(texts ...string) []string {
	all := strings.ToLower(strings.Join(texts, "\n"))
	var next []string
	for _, a := range advice {
		if slices.ContainsFunc(a.signs, func(sign string) bool { return strings.Contains(all, sign) }) {
			next = append(next, a.next)
		}
	}
	return next[:min(len(next), 3)]
}

const (
	// loggedTasks is of how many stopped tasks the log is shown, loggedLines
	// how much of it.
	loggedTasks = 2
	loggedLines = 12
	longestLine = 240
)

// readLog adds the last lines of a task's log. It is read as soon as the task
// is known to have stopped: the log group of a stack that could not be made
// goes with it.
func (r *rollout) readLog(ctx context.Context, t *stoppedTask) {
	stream := "edge/" + stack.ContainerName + "/" + t.ID
	out, err := r.o.Logs.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{
		LogGroupName: aws.String(r.o.Settings.LogGroup()), LogStreamName: &stream, Limit: aws.Int32(loggedLines), StartFromHead: aws.Bool(false),
	})
	if err != nil {
		return // a task that never started has none
	}
	t.Log = nil
	for _, e := range out.Events {
		line := strings.TrimRight(aws.ToString(e.Message), "\n")
		if runes := []rune(line); len(runes) > longestLine {
			line = string(runes[:longestLine]) + "…"
		}
		t.Log = append(t.Log, line)
	}
}

// details are what is known of why tasks do not run: for each reason a task
// with the end of its log, and how many more there are.
func (r *rollout) details(ctx context.Context) []string {
	var lines []string
	more := map[string]int{}
	for _, t := range r.stopped {
		more[t.Reason]++
	}
	for i := range r.stopped {
		t := &r.stopped[i]
		if more[t.Reason] == 0 {
			continue
		}
		line := fmt.Sprintf("task %s stopped: %s", t.ID, t.Reason)
		if n := more[t.Reason] - 1; n > 0 {
			line += fmt.Sprintf(", and %d more like it", n)
		}
		more[t.Reason] = 0
		lines = append(lines, line)
		if len(t.Log) == 0 {
			r.readLog(ctx, t)
		}
		for _, said := range t.Log {
			lines = append(lines, "  | "+said)
		}
	}
	return lines
}

// handlerWords is what CloudFormation puts around the message of a service.
var handlerWords = regexp.MustCompile(`^Resource handler returned message: "(.*)" \(RequestToken: [^)]*\)$`)

// plain is a reason of CloudFormation's without what is for AWS itself.
func plain(reason string) string {
	if m := handlerWords.FindStringSubmatch(reason); m != nil {
		return m[1]
	}
	return reason
}

// failed makes the Problem of a change that CloudFormation did not carry out.
// k is the stack as it is now, nil where it is gone.
func (o *Operator) failed(ctx context.Context, s *changeSet, w *watch, k *Stack) error {
	p := &Problem{What: "the stack " + s.stack + " could not be changed as asked"}
	if !s.existing.exists() {
		p.What = "the stack " + s.stack + " could not be made"
	}
	var texts []string
	for i, f := range w.failed {
		if i == 0 {
			p.Why = f.Name + " failed: " + f.Reason
		} else if i < 6 && f.Reason != w.failed[0].Reason {
			p.Details = append(p.Details, f.Name+" failed: "+f.Reason)
		}
		texts = append(texts, f.Reason)
	}
	if p.Why == "" && k != nil {
		p.Why, texts = k.Reason, append(texts, k.Reason)
	}
	ctx, cancel := afterwards(ctx)
	defer cancel()
	if w.tasks != nil {
		if len(w.tasks.stopped) == 0 {
			_ = w.tasks.findStopped(ctx) // the advice is good without it
		}
		tasks := w.tasks.details(ctx)
		// What the tasks say is nearer to the cause than what the stack says.
		p.Details, texts = append(p.Details, tasks...), append(append([]string(nil), tasks...), texts...)
	}
	p.State, p.Next = o.aftermath(s, k)
	p.Next = append(adviceFor(texts...), p.Next...)
	p.Next = append(p.Next, "see how it is: "+o.command("status"))
	return p
}

// aftermath says what state a failed change has left, and how to go on.
func (o *Operator) aftermath(s *changeSet, k *Stack) (state string, next []string) {
	if k == nil || k.Gone() {
		return "nothing is left of it", nil
	}
	switch k.Status {
	case types.StackStatusUpdateRollbackComplete:
		state = "CloudFormation has rolled back: what was deployed before still runs"
		if tag := s.existing.Parameters["Release"]; tag != "" {
			state += ", release " + tag
		}
	case types.StackStatusRollbackComplete:
		state = "CloudFormation has removed what it had made; an empty stack is left, which the next deploy removes"
	case types.StackStatusCreateFailed:
		state = "what was made is left as it is (--no-rollback), and is billed"
		next = []string{"mend the cause and run " + o.command("deploy") + ", which makes it anew", "or remove it: " + o.command("destroy")}
	case types.StackStatusUpdateFailed:
		state = "the stack is left half changed (--no-rollback)"
		next = []string{"mend the cause and run " + o.command("deploy") + ", which goes back first", "or only go back: aws cloudformation rollback-stack --stack-name " + k.Name + o.awsFlags()}
	case types.StackStatusUpdateRollbackFailed:
		state = "CloudFormation could not go back either: some resources are as they were, some are not"
		next = continueRollback(k.Name, o.awsFlags())
	case types.StackStatusRollbackFailed, types.StackStatusDeleteFailed:
		state = "CloudFormation could not remove what it had made"
		next = []string{"remove the rest: " + o.command("destroy")}
	default:
		state = "the stack is now in the state " + string(k.Status)
	}
	return state, next
}

// continueRollback says how to get a stack out of UPDATE_ROLLBACK_FAILED.
func continueRollback(name, flags string) []string {
	return []string{
		"see which resource it is: aws cloudformation describe-stack-events --stack-name " + name + flags,
		"mend that, then: aws cloudformation continue-update-rollback --stack-name " + name + flags +
			" (with --resources-to-skip NAME for one that is beyond mending)",
		"when its state is UPDATE_ROLLBACK_COMPLETE, run the command again",
	}
}

// awsFlags are those of the AWS CLI that lead it to the same place.
func (o *Operator) awsFlags() string {
	flags := " --region " + o.Region
	if o.Profile != "" {
		flags += " --profile " + o.Profile
	}
	return flags
}

// rolloutFailed makes the Problem of tasks that do not become healthy although
// the stack is as asked.
func (o *Operator) rolloutFailed(ctx context.Context, r *rollout, err error) error {
	p := &Problem{What: "the tasks of the release do not run as they should", Err: err}
	if r.state != nil {
		if d := r.primary(); d != nil {
			p.Why = aws.ToString(d.RolloutStateReason)
		}
		if errors.Is(err, errTimeout) {
			p.Why = fmt.Sprintf("not within %s (--wait-timeout)", cmp.Or(o.WaitTimeout, DefaultWait))
		}
		p.State = "now " + r.text
	}
	ctx, cancel := afterwards(ctx)
	defer cancel()
	if len(r.stopped) == 0 {
		_ = r.findStopped(ctx)
	}
	p.Details = r.details(ctx)
	p.Next = append(adviceFor(append(p.Details, p.Why)...), "see how it is: "+o.command("status"), "go back to the release before: "+o.command("rollback"))
	return p
}
