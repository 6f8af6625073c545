package deploy

import (
	"context"
	"fmt"
	"maps"
	"time"
)

// knownReleases is among how many of the newest a rollback finds its target.
const knownReleases = 50

// live returns the stack of what is deployed, ready to be changed.
func (o *Operator) live(ctx context.Context) (*Stack, error) {
	o.began = time.Now()
	o.Report.Begin("preflight")
	if _, err := o.identify(ctx); err != nil {
		return nil, o.nothingYet(ctx, "asking AWS whose credentials these are", err)
	}
	k, err := o.NeedStack(ctx, o.Settings.Names)
	if err != nil {
		return nil, o.nothingYet(ctx, "looking at what is there", err)
	}
	for k.Busy() {
		if k, err = o.waitForOthers(ctx, k); err != nil {
			return nil, err
		}
		if k.Gone() {
			return nil, &Problem{What: "the stack " + o.Settings.Stack() + " was deleted by somebody else"}
		}
	}
	if !k.Live() {
		return nil, &Problem{What: fmt.Sprintf("the stack %s cannot be changed in the state %s", k.Name, k.Status), Why: k.Reason,
			Next: []string{"a deploy gets it right where that can be done: " + o.command("deploy")}}
	}
	return k, nil
}

// Update changes parameters of what is deployed, and keeps its template and all
// other parameters. It waits and checks as a deploy does.
func (o *Operator) Update(ctx context.Context, changes map[string]string) (*Result, error) {
	k, err := o.live(ctx)
	if err != nil {
		return nil, err
	}
	o.Report.End(fmt.Sprintf("%s in account %s, %s", k.Name, o.account, o.Region))
	return o.update(ctx, k, changes, true)
}

func (o *Operator) update(ctx context.Context, k *Stack, changes map[string]string, goBack bool) (*Result, error) {
	anon := ""
	if len(o.Settings.Smoke) > 0 && k.Parameters["KeysSecretArn"] != "" {
		keys, err := o.SecretStore(o.Settings.KeysSecret()).Read(ctx)
		if err != nil {
			return nil, o.nothingYet(ctx, "reading the anon key", err)
		}
		if keys != nil {
			anon = keys.Values["ANON_KEY"]
		}
	}
	return o.apply(ctx, change{stack: k.Name, existing: k, set: changes}, anon, goBack)
}

// Rollback brings back an earlier release: its image, and with withSecrets the
// versions of the secrets that it had. Everything else stays as it is.
func (o *Operator) Rollback(ctx context.Context, version string, withSecrets bool) (*Result, error) {
	k, err := o.live(ctx)
	if err != nil {
		return nil, err
	}
	list, err := o.releases(ctx, o.Settings.Names, knownReleases)
	if err == nil {
		err = o.markGone(ctx, o.Settings.Names, list)
	}
	if err != nil {
		return nil, o.nothingYet(ctx, "reading the releases", err)
	}
	r, err := choose(list, version)
	if err != nil {
		return nil, err
	}
	if r.Gone {
		return nil, &Problem{What: fmt.Sprintf("the image of release %s is no longer in the repository, which keeps the last 20", quoted(r.Release)), Next: []string{"choose another: " + o.command("releases"), "or deploy its source again"}}
	}
	changes := map[string]string{"ImageUri": r.Image, "Release": r.Release}
	if withSecrets {
		maps.Copy(changes, r.secrets)
		if r.secrets["FunctionSecretsArn"] == "" {
			changes["FunctionSecretsArn"], changes["FunctionSecretsVersion"] = "", ""
		}
	}
	o.Report.End(fmt.Sprintf("back to release %s, revision %d of %s", quoted(r.Release), r.Revision, r.Time.UTC().Format("2006-01-02 15:04 MST")))
	return o.update(ctx, k, changes, false)
}
