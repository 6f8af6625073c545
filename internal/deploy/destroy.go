package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// A Destroyed is what a destroy came to.
type Destroyed struct {
	// State is "destroyed", "planned" or "absent".
	State   string   `json:"state"`
	Stack   string   `json:"stack"`
	Account string   `json:"account"`
	Region  string   `json:"region"`
	Removed []string `json:"removed"`
	// Remains is what there is still, or may be.
	Remains []Remaining `json:"remains"`
	Seconds float64     `json:"seconds"`
}

// A Remaining is something that a destroy leaves.
type Remaining struct {
	What string `json:"what"`
	// Remove is how to remove it, "" where nothing is to be done.
	Remove string `json:"remove,omitempty"`
}

// possessions are what a deployment has, besides what its stacks hold.
type possessions struct {
	service, registry *Stack
	secrets           []*SecretStore
	definitions       []string
}

// Destroy removes a deployment: its stacks, the revisions of its task
// definition, and its secrets, which can be brought back for a while. What is
// gone already is passed over, so that a destroy can go on where another ended.
func (o *Operator) Destroy(ctx context.Context) (*Destroyed, error) {
	o.began = o.now()
	o.Report.Begin("preflight")
	if _, err := o.identify(ctx); err != nil {
		return nil, o.nothingYet(ctx, "asking AWS whose credentials these are", err)
	}
	p, err := o.possessions(ctx)
	if err != nil {
		return nil, o.nothingYet(ctx, "looking at what is there", err)
	}
	r := &Destroyed{State: "absent", Stack: o.Settings.Stack(), Account: o.account, Region: o.Region, Removed: []string{}, Remains: []Remaining{}}
	o.Report.End(fmt.Sprintf("%s in account %s, %s", o.Settings.Stack(), o.account, o.Region))
	plan := p.lines()
	if len(plan) == 0 {
		return r, nil
	}
	for _, line := range plan {
		o.Report.Note("- " + line)
	}
	if o.DryRun {
		r.State, r.Remains = "planned", o.remains(p)
		return r, nil
	}
	if err := o.Ask.Type(ctx, fmt.Sprintf("The functions stop answering, and this cannot be undone. Type %s to destroy it:", o.Settings.Stack()), o.Settings.Stack()); err != nil {
		return nil, o.nothingYet(ctx, "waiting for the answer", err)
	}
	for _, step := range []struct {
		name string
		do   func(context.Context, *possessions) (string, error)
	}{{"stack", o.removeService}, {"releases", o.removeDefinitions}, {"registry", o.removeRegistry}, {"secrets", o.removeSecrets}} {
		o.Report.Begin(step.name)
		done, err := step.do(ctx, p)
		if err != nil {
			if ctx.Err() != nil {
				err = o.stopped(ended(ctx), "removing the "+step.name, "what was begun goes on by itself", "remove the rest: "+o.command("destroy"))
			}
			return nil, withState(err, "removed so far: "+quoted(strings.Join(r.Removed, ", ")), "go on where it ended: "+o.command("destroy"))
		}
		o.Report.End(done)
		if done != "none" {
			r.Removed = append(r.Removed, done)
		}
	}
	r.State, r.Remains = "destroyed", o.remains(p)
	r.Seconds = o.now().Sub(o.began).Round(time.Millisecond).Seconds()
	return r, nil
}

func (o *Operator) possessions(ctx context.Context) (*possessions, error) {
	p := &possessions{}
	var found [2]*SecretStore
	secret := func(i int, name string) error {
		store := o.SecretStore(name)
		v, err := store.Describe(ctx)
		if err == nil && v != nil && !v.Deleted {
			found[i] = store
		}
		return err
	}
	err := together(
		func() (err error) { p.service, err = o.ReadStack(ctx, o.Settings.Stack()); return },
		func() (err error) { p.registry, err = o.ReadStack(ctx, o.Settings.RegistryStack()); return },
		func() error { return secret(0, o.Settings.KeysSecret()) },
		func() error { return secret(1, o.Settings.FunctionsSecret()) },
		func() (err error) {
			p.definitions, err = listDefinitions(ctx, o.ECS, o.Settings.Stack(), ecstypes.TaskDefinitionStatusActive)
			if err != nil {
				return err
			}
			old, err := listDefinitions(ctx, o.ECS, o.Settings.Stack(), ecstypes.TaskDefinitionStatusInactive)
			p.definitions = append(p.definitions, old...)
			return err
		},
	)
	for _, store := range found {
		if store != nil {
			p.secrets = append(p.secrets, store)
		}
	}
	return p, o.Explain("look at what is there", err)
}

// lines say what there is to be removed.
func (p *possessions) lines() []string {
	var lines []string
	if !p.service.Gone() {
		lines = append(lines, "the stack "+p.service.Name+": load balancer, tasks, network, log and all else of it")
	}
	if n := len(p.definitions); n > 0 {
		lines = append(lines, fmt.Sprintf("%d releases (revisions of the task definition)", n))
	}
	if !p.registry.Gone() {
		lines = append(lines, "the stack "+p.registry.Name+": the repository with all images")
	}
	for _, s := range p.secrets {
		lines = append(lines, fmt.Sprintf("the secret %s, which can be brought back for %d days", s.Name, recoveryDays))
	}
	return lines
}

func (o *Operator) removeService(ctx context.Context, p *possessions) (string, error) {
	return o.removeStack(ctx, p.service)
}

func (o *Operator) removeRegistry(ctx context.Context, p *possessions) (string, error) {
	return o.removeStack(ctx, p.registry)
}

// removeStack deletes a stack. What hinders it at first is often gone a moment
// later, such as the network interfaces of tasks that have just ended.
func (o *Operator) removeStack(ctx context.Context, k *Stack) (string, error) {
	if k.Gone() {
		return "none", nil
	}
	for k.Busy() && !k.Is(types.StackStatusDeleteInProgress, types.StackStatusCreateInProgress) {
		var err error
		if k, err = o.waitForOthers(ctx, k); err != nil {
			return "", err
		}
		if k.Gone() {
			return "none", nil
		}
	}
	err := o.deleteStack(ctx, k)
	if err != nil && ctx.Err() == nil {
		if now, readErr := o.ReadStack(ctx, k.ID); readErr == nil && !now.Gone() && now.Is(types.StackStatusDeleteFailed) {
			o.Report.Note("something could not be deleted; trying once more")
			err = o.deleteStack(ctx, now)
		}
	}
	return "the stack " + k.Name, err
}

// A definitionRemover is what removing task definitions takes.
type definitionRemover interface {
	ListTaskDefinitions(context.Context, *ecs.ListTaskDefinitionsInput, ...func(*ecs.Options)) (*ecs.ListTaskDefinitionsOutput, error)
	DeregisterTaskDefinition(context.Context, *ecs.DeregisterTaskDefinitionInput, ...func(*ecs.Options)) (*ecs.DeregisterTaskDefinitionOutput, error)
	DeleteTaskDefinitions(context.Context, *ecs.DeleteTaskDefinitionsInput, ...func(*ecs.Options)) (*ecs.DeleteTaskDefinitionsOutput, error)
}

// listDefinitions lists the revisions of a family that are in a state.
func listDefinitions(ctx context.Context, api definitionRemover, family string, status ecstypes.TaskDefinitionStatus) ([]string, error) {
	var arns []string
	in := &ecs.ListTaskDefinitionsInput{FamilyPrefix: &family, Status: status}
	for {
		out, err := api.ListTaskDefinitions(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, arn := range out.TaskDefinitionArns {
			// A prefix finds families that begin with the name as well.
			if name, _, _ := strings.Cut(lastPart(arn), ":"); name == family {
				arns = append(arns, arn)
			}
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return arns, nil
		}
	}
}

func (o *Operator) removeDefinitions(ctx context.Context, _ *possessions) (string, error) {
	n, err := removeDefinitions(ctx, o.ECS, o.Settings.Stack(), o.Report)
	if err != nil {
		return "", o.Explain("remove the releases", err)
	}
	if n == 0 {
		return "none", nil
	}
	return fmt.Sprintf("%d releases", n), nil
}

// removeDefinitions removes all revisions of a family: those that can be used
// must be withdrawn first.
func removeDefinitions(ctx context.Context, api definitionRemover, family string, report Reporter) (int, error) {
	active, err := listDefinitions(ctx, api, family, ecstypes.TaskDefinitionStatusActive)
	if err != nil {
		return 0, err
	}
	for i, arn := range active {
		report.Now(fmt.Sprintf("withdrawing %d of %d", i+1, len(active)))
		if _, err := api.DeregisterTaskDefinition(ctx, &ecs.DeregisterTaskDefinitionInput{TaskDefinition: &arn}); err != nil {
			return 0, err
		}
	}
	inactive, err := listDefinitions(ctx, api, family, ecstypes.TaskDefinitionStatusInactive)
	if err != nil {
		return 0, err
	}
	for _, arn := range active { // the list may lag behind
		if !slices.Contains(inactive, arn) {
			inactive = append(inactive, arn)
		}
	}
	done := 0
	for batch := range slices.Chunk(inactive, 10) {
		report.Now(fmt.Sprintf("removing %d of %d", done+len(batch), len(inactive)))
		out, err := api.DeleteTaskDefinitions(ctx, &ecs.DeleteTaskDefinitionsInput{TaskDefinitions: batch})
		if err != nil {
			return done, err
		}
		for _, f := range out.Failures {
			return done, fmt.Errorf("%s: %s", lastPart(aws.ToString(f.Arn)), aws.ToString(f.Reason))
		}
		done += len(batch)
	}
	return done, nil
}

func (o *Operator) removeSecrets(ctx context.Context, p *possessions) (string, error) {
	var names []string
	for _, s := range p.secrets {
		was, err := s.Delete(ctx)
		if err != nil {
			return "", err
		}
		if was {
			names = append(names, s.Name)
		}
	}
	if len(names) == 0 {
		return "none", nil
	}
	return "the secrets " + strings.Join(names, " and "), nil
}

// remains says what a destroy leaves.
func (o *Operator) remains(p *possessions) []Remaining {
	list := []Remaining{}
	for _, s := range p.secrets {
		list = append(list, Remaining{
			What:   fmt.Sprintf("secret %s, until %s: `aws secretsmanager restore-secret --secret-id %s%s` brings it back", s.Name, o.now().AddDate(0, 0, recoveryDays).UTC().Format("2006-01-02"), s.Name, o.awsFlags()),
			Remove: fmt.Sprintf("aws secretsmanager delete-secret --secret-id %s --force-delete-without-recovery%s", s.Name, o.awsFlags()),
		})
	}
	if len(p.definitions) > 0 {
		list = append(list, Remaining{What: "task definition revisions, listed as being deleted for up to an hour"})
	}
	if k := p.service; k != nil {
		if k.Parameters["EnableInsights"] == "true" {
			group := "/aws/ecs/containerinsights/" + o.Settings.Stack() + "/performance"
			list = append(list, Remaining{What: "log group " + group + " of Container Insights", Remove: "aws logs delete-log-group --log-group-name " + group + o.awsFlags()})
		}
		if zone := k.Parameters["HostedZoneId"]; zone != "" && k.Parameters["CertificateArn"] == "" {
			list = append(list, Remaining{What: "the record in the zone " + zone + " that proved the certificate of " + k.Parameters["DomainName"] + ", a CNAME that begins with _", Remove: "aws route53 list-resource-record-sets --hosted-zone-id " + zone + ", then delete it in the console"})
		}
		list = append(list, Remaining{What: "metrics, which CloudWatch keeps for up to 15 months and does not bill"})
	}
	return list
}
