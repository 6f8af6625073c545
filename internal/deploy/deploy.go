package deploy

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"github.com/selvedge-dev/selvedge/internal/stack"
)

// An Imager makes the image of the functions.
type Imager interface {
	// Make makes it for a processor, X86_64 or ARM64 as ECS calls them. What
	// is the same makes the same digest.
	Make(ctx context.Context, architecture string) (Image, error)
}

// An Image is one that is made.
type Image interface {
	// Digest is sha256: and hexadecimal digits.
	Digest() string
	// Describe says what is in it, in a few words.
	Describe() string
	// Push sends it to a repository under a tag: what is not there yet.
	Push(ctx context.Context, to Destination, tag string, progress func(done, total int64)) error
	// Close removes what it is made from.
	Close()
}

// Deploy brings the functions to AWS: everything from what is there to
// functions that answer.
func (o *Operator) Deploy(ctx context.Context, images Imager, keys KeySource) (*Result, error) {
	o.began = time.Now()

	o.Report.Begin("preflight")
	found, err := o.observe(ctx)
	if err != nil {
		return nil, o.nothingYet(ctx, "looking at what is there", err)
	}
	now, err := o.ready(ctx, found.service)
	if err != nil {
		return nil, o.nothingYet(ctx, "getting the stack ready", err)
	}
	chosen, err := o.chooseKeys(ctx, keys, found.keys)
	if err != nil {
		return nil, err
	}
	set := o.wanted()
	architecture, err := o.checkSettings(now, set)
	if err != nil {
		return nil, err
	}
	rights := ""
	if now == nil || o.DryRun { // it takes IAM a second or two
		rights = o.checkRights(ctx, found.identity, set)
		if ctx.Err() != nil {
			return nil, o.nothingYet(ctx, "looking at the rights", ctx.Err())
		}
	}
	o.Report.End(fmt.Sprintf("%s in account %s, %s%s", o.Settings.Stack(), o.account, o.Region, rights))

	o.Report.Begin("image")
	img, err := images.Make(ctx, architecture)
	if err != nil {
		return nil, o.nothingYet(ctx, "making the image", err)
	}
	defer img.Close()
	o.Report.End(img.Describe())

	if err := o.store(ctx, found, now, img, set); err != nil {
		return nil, o.nothingYet(ctx, "storing the image", err)
	}
	if err := o.writeSecrets(ctx, found, chosen, set); err != nil {
		return nil, o.nothingYet(ctx, "writing secrets", err)
	}
	o.warnLocal(keys.Local, found.functions)
	if o.DryRun && found.service.exists() && now == nil {
		return o.planAnew(set)
	}
	template := string(stack.Service().YAML())
	c := change{stack: o.Settings.Stack(), existing: now, template: template, set: set, known: parameterNamesOf(stack.Service())}
	return o.apply(ctx, c, chosen["ANON_KEY"], true)
}

// planAnew is the dry run of a stack that a deploy would have to remove first:
// CloudFormation looks at no change of it.
func (o *Operator) planAnew(set map[string]string) (*Result, error) {
	o.Report.Begin("changes")
	plan, err := stack.Service().Resolve(set, stack.Pseudo{Region: o.Region, Account: o.account, StackName: o.Settings.Stack()})
	if err != nil {
		return nil, err
	}
	s := &changeSet{change: change{set: set}}
	for _, name := range plan.Names() {
		s.changes = append(s.changes, types.Change{ResourceChange: &types.ResourceChange{
			Action: types.ChangeActionAdd, LogicalResourceId: &name, ResourceType: aws.String(plan.Resources[name].Type),
		}})
	}
	r := o.result("planned", nil)
	r.Changes = o.diff(s)
	for _, line := range r.Changes.Lines() {
		o.Report.Note(line)
	}
	o.Report.End(fmt.Sprintf("%d resources; nothing that runs has changed", len(s.changes)))
	return r, nil
}

// nothingYet makes the error of a step before the change.
func (o *Operator) nothingYet(ctx context.Context, during string, err error) error {
	if ctx.Err() != nil {
		return o.stopped(ended(ctx), during, nothingRuns, "run the command again")
	}
	return withState(err, nothingRuns)
}

// wanted are the parameters that somebody has set.
func (o *Operator) wanted() map[string]string {
	set := map[string]string{"ProjectName": o.Settings.Project, "Environment": o.Settings.Environment}
	for name, v := range o.Settings.Parameters {
		set[name] = v.Text
	}
	set["Environment"] = o.Settings.Environment
	return set
}

// checkSettings sees whether the parameters make a stack, as far as can be told
// before image and secrets are there, and returns the processor of its tasks.
func (o *Operator) checkSettings(now *Stack, set map[string]string) (architecture string, err error) {
	t := stack.Service()
	all := map[string]string{}
	if now.exists() {
		for _, p := range t.Parameters {
			if v, ok := now.Parameters[p.Name]; ok && !p.NoEcho {
				all[p.Name] = v
			}
		}
	}
	maps.Copy(all, set)
	for name, v := range o.stand() {
		all[name] = v
	}
	if err := o.Settings.checkParameters(t, all); err != nil {
		return "", err
	}
	p, _ := t.Parameter("CpuArchitecture")
	if v := all["CpuArchitecture"]; v != "" {
		return v, nil
	}
	return p.Default, nil
}

// stand are values for what is not known yet.
func (o *Operator) stand() map[string]string {
	return map[string]string{
		"ImageUri":           o.assumedRepository() + "@sha256:" + strings.Repeat("0", 64),
		"KeysSecretArn":      o.assumedSecret(o.Settings.KeysSecret()),
		"KeysSecretVersion":  assumedVersion,
		"FunctionSecretsArn": "", "FunctionSecretsVersion": "",
	}
}

const assumedVersion = "00000000-0000-0000-0000-000000000000"

func (o *Operator) assumedSecret(name string) string {
	return fmt.Sprintf("arn:aws:secretsmanager:%s:%s:secret:%s-000000", o.Region, o.account, name)
}

// store sees to it that the registry has the image, and sets the parameters
// that name it. An image that is deployed already is not pushed again.
func (o *Operator) store(ctx context.Context, found *situation, now *Stack, img Image, set map[string]string) error {
	o.Report.Begin("registry")
	uri, err := o.makeRegistry(ctx, found.registry)
	if err != nil {
		return err
	}
	set["ImageUri"] = uri + "@" + img.Digest()
	if now.exists() && now.Parameters["ImageUri"] == set["ImageUri"] {
		set["Release"] = now.Parameters["Release"]
		o.Report.End("the image is the one that is deployed")
		return nil
	}
	set["Release"] = o.now().UTC().Format("20060102T150405Z")
	if o.DryRun {
		o.Report.End("the image would be pushed as " + set["Release"])
		return nil
	}
	to, err := o.destination(ctx, uri)
	if err != nil {
		return err
	}
	o.Report.Now("pushing " + set["Release"])
	err = img.Push(ctx, to, set["Release"], func(done, total int64) {
		o.Report.Now(fmt.Sprintf("pushing %s: %s of %s", set["Release"], megabytes(done), megabytes(total)))
	})
	if err != nil {
		return &Problem{What: "the image could not be pushed", Why: err.Error(), Err: err, Next: []string{"run the command again: what is there already is not sent twice"}}
	}
	o.Report.End("pushed " + set["Release"])
	return nil
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// writeSecrets sees to it that Secrets Manager has the keys, and sets the
// parameters that name the secrets' versions.
func (o *Operator) writeSecrets(ctx context.Context, found *situation, keys map[string]string, set map[string]string) error {
	o.Report.Begin("secrets")
	// The way by hand, which this one takes the place of.
	set["JWTSecret"], set["AnonKey"], set["ServiceRoleKey"] = "", "", ""
	set["FunctionSecretsArn"], set["FunctionSecretsVersion"] = "", ""
	if f := found.functions; f != nil && !f.Deleted && len(f.Values) > 0 {
		set["FunctionSecretsArn"], set["FunctionSecretsVersion"] = f.ARN, f.Version
	}
	same := found.keys != nil && !found.keys.Deleted && maps.Equal(found.keys.Values, keys)
	switch {
	case same:
		set["KeysSecretArn"], set["KeysSecretVersion"] = found.keys.ARN, found.keys.Version
		o.Report.End("as they are")
	case o.DryRun:
		set["KeysSecretArn"], set["KeysSecretVersion"] = o.assumedSecret(o.Settings.KeysSecret()), assumedVersion
		if found.keys != nil && !found.keys.Deleted {
			set["KeysSecretArn"] = found.keys.ARN
		}
		o.Report.End("the keys would be written to " + o.Settings.KeysSecret())
	default:
		store := o.SecretStore(o.Settings.KeysSecret())
		written, err := store.Write(ctx, found.keys, keys, o.pinned(found.service)...)
		if err != nil {
			return err
		}
		set["KeysSecretArn"], set["KeysSecretVersion"] = written.ARN, written.Version
		o.Report.End("the keys were written to " + o.Settings.KeysSecret())
	}
	return nil
}

// warnLocal says which variables of functions are here and not on AWS: .env
// files stay out of the image.
func (o *Operator) warnLocal(local []string, there *SecretValue) {
	var missing []string
	for _, name := range local {
		if there != nil {
			if _, ok := there.Values[name]; ok {
				continue
			}
		}
		missing = append(missing, name)
	}
	if len(missing) > 0 {
		o.Report.Warn(fmt.Sprintf("functions/.env has %s, which the deployment has not: set them with `%s`", strings.Join(missing, ", "), o.command("secrets set --env-file functions/.env")))
	}
}

// pinned are the versions of secrets that what is deployed was made with.
func (o *Operator) pinned(k *Stack) []string {
	var ids []string
	if k != nil {
		for _, name := range []string{"KeysSecretVersion", "FunctionSecretsVersion"} {
			if id := k.Parameters[name]; id != "" {
				ids = append(ids, id)
			}
		}
	}
	return ids
}
