package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

// A SecretChange is what becomes of secrets.
type SecretChange struct {
	Set   map[string]string
	Unset []string
	// NoDeploy leaves what runs as it is: the next deploy takes the secrets.
	NoDeploy bool
	// Verify says what is wrong with the keys as they would be.
	Verify func(ctx context.Context, keys map[string]string) error
}

// A secretSide is one of the two secrets of Secrets Manager, and what is to
// become of it.
type secretSide struct {
	store *SecretStore
	// arn and version are the parameters of the stack that name it.
	arn, version string
	was          *SecretValue
	values       map[string]string // as they are to be
}

// ChangeSecrets changes secrets in Secrets Manager and has the tasks that run
// replaced by ones that have them. Names of KeyVariables are the project's keys,
// the others are for functions.
func (o *Operator) ChangeSecrets(ctx context.Context, c SecretChange) (*Result, error) {
	o.began = o.now()
	o.Report.Begin("preflight")
	if _, err := o.identify(ctx); err != nil {
		return nil, o.nothingYet(ctx, "asking AWS whose credentials these are", err)
	}
	k, err := o.ReadStack(ctx, o.Settings.Stack())
	if err != nil {
		return nil, o.nothingYet(ctx, "looking at what is there", err)
	}
	sides, err := o.planSecrets(ctx, c)
	if err != nil {
		return nil, o.nothingYet(ctx, "reading the secrets", err)
	}
	deployed := k.exists() && !k.Is(types.StackStatusRollbackComplete, types.StackStatusDeleteComplete)
	roll := deployed && !c.NoDeploy
	if roll && k.Parameters["KeysSecretArn"] == "" && slices.ContainsFunc(sides, (*secretSide).ofKeys) {
		return nil, &Problem{What: "the stack " + k.Name + " has its keys as parameters", Why: "it was made without selvedge deploy", State: nothingRuns,
			Next: []string{"have a deploy move them to Secrets Manager: " + o.command("deploy"), "or write the secret only: --no-deploy"}}
	}
	o.Report.End(fmt.Sprintf("%s in account %s, %s", o.Settings.Stack(), o.account, o.Region))
	for _, side := range sides {
		for _, line := range side.lines() {
			o.Report.Note(line)
		}
	}
	if o.DryRun {
		return o.result("planned", k), nil
	}
	if roll {
		if err := o.Ask.Confirm(ctx, fmt.Sprintf("Change these, and replace the tasks of %s in %s (account %s)?", o.Settings.Stack(), o.Region, o.account)); err != nil {
			return nil, o.nothingYet(ctx, "waiting for the answer", err)
		}
	}
	changes, err := o.storeSecrets(ctx, k, sides)
	if err != nil {
		return nil, err
	}
	if !roll {
		return o.result("stored", k), nil
	}
	asked := *o
	asked.Ask = yes{}
	r, err := asked.Update(ctx, changes)
	return r, storedAnyway(err)
}

// storedAnyway adds to what went wrong with the tasks that the secrets are as
// they were to be.
func storedAnyway(err error) error {
	var p *Problem
	if !errors.As(err, &p) {
		return err
	}
	told := *p
	told.Next = append(slices.Clone(p.Next), "Secrets Manager keeps the new values, and the next deploy takes them: set the old ones again if they are at fault")
	return &told
}

// yes is the answer to a question that was asked already.
type yes struct{}

func (yes) Confirm(context.Context, string) error      { return nil }
func (yes) Type(context.Context, string, string) error { return nil }

// planSecrets reads the secrets that are to change, and works out what they
// are to be.
func (o *Operator) planSecrets(ctx context.Context, c SecretChange) ([]*secretSide, error) {
	isKey := func(name string) bool { return slices.Contains(KeyVariables, name) }
	var sides []*secretSide
	for _, side := range []*secretSide{
		{store: o.SecretStore(o.Settings.KeysSecret()), arn: "KeysSecretArn", version: "KeysSecretVersion"},
		{store: o.SecretStore(o.Settings.FunctionsSecret()), arn: "FunctionSecretsArn", version: "FunctionSecretsVersion"},
	} {
		mine := func(name string) bool { return isKey(name) == side.ofKeys() }
		if !slices.ContainsFunc(slices.Concat(slices.Collect(maps.Keys(c.Set)), c.Unset), mine) {
			continue
		}
		var err error
		if side.was, err = side.store.Read(ctx); err != nil {
			return nil, err
		}
		side.values = map[string]string{}
		if side.was != nil {
			maps.Copy(side.values, side.was.Values)
		}
		for name, value := range c.Set {
			if mine(name) {
				side.values[name] = value
			}
		}
		var missing []string
		for _, name := range c.Unset {
			if _, ok := side.values[name]; mine(name) && !ok {
				missing = append(missing, name)
			}
			delete(side.values, name)
		}
		if len(missing) > 0 {
			return nil, &Problem{What: "there is no secret " + strings.Join(missing, ", "), Usage: true, State: "nothing was changed", Next: []string{"list them: " + o.command("secrets list")}}
		}
		if side.ofKeys() {
			if err := o.checkKeys(ctx, side.values, c.Verify); err != nil {
				return nil, err
			}
		}
		sides = append(sides, side)
	}
	return sides, nil
}

// checkKeys sees whether keys are complete and fit together.
func (o *Operator) checkKeys(ctx context.Context, keys map[string]string, verify func(context.Context, map[string]string) error) error {
	var missing []string
	for _, name := range KeyVariables[:3] {
		if keys[name] == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return &Problem{What: "without " + strings.Join(missing, ", ") + " nobody could call the functions", Usage: true, State: "nothing was changed",
			Next: []string{"set JWT_SECRET, ANON_KEY and SERVICE_ROLE_KEY together"}}
	}
	if err := verify(ctx, keys); err != nil {
		return &Problem{What: "the keys would not fit together", Why: err.Error(), Usage: true, Err: err, State: "nothing was changed",
			Next: []string{"set those that depend on each other together: a new JWT_SECRET needs an ANON_KEY and a SERVICE_ROLE_KEY that it has signed", "make new ones: (umask 077; selvedge keys > new.env), then " + o.command("secrets set --env-file new.env")}}
	}
	return nil
}

// storeSecrets writes the secrets, and returns the parameters that name them.
func (o *Operator) storeSecrets(ctx context.Context, k *Stack, sides []*secretSide) (map[string]string, error) {
	o.Report.Begin("secrets")
	changes := map[string]string{}
	for i, side := range sides {
		v, err := side.store.Write(ctx, side.was, side.values, o.pinned(k)...)
		if err != nil {
			if i > 0 {
				err = withState(err, "the keys were written; nothing else has changed, and what runs has those of before")
			}
			return nil, o.nothingYet(ctx, "writing secrets", err)
		}
		changes[side.arn], changes[side.version] = v.ARN, v.Version
		if !side.ofKeys() && len(side.values) == 0 {
			changes[side.arn], changes[side.version] = "", ""
		}
	}
	o.Report.End("written")
	return changes, nil
}

func (s *secretSide) ofKeys() bool { return s.arn == "KeysSecretArn" }

// lines say what changes, by name.
func (s *secretSide) lines() []string {
	was := map[string]string{}
	if s.was != nil {
		was = s.was.Values
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(s.values)) {
		old, had := was[name]
		switch {
		case !had:
			lines = append(lines, "+ "+name)
		case old != s.values[name]:
			lines = append(lines, "~ "+name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if _, has := s.values[name]; !has {
			lines = append(lines, "- "+name)
		}
	}
	return lines
}

// A SecretList is what is known of secrets without their values.
type SecretList struct {
	// Functions are those of functions, Keys the project's.
	Functions []NamedSecret `json:"functions"`
	Keys      []NamedSecret `json:"keys"`
	// Pending are the secrets of which tasks that run have an older version.
	Pending []string `json:"pending"`
}

// ListSecrets lists the secrets of a deployment.
func (c *Clients) ListSecrets(ctx context.Context, t Target) (*SecretList, error) {
	list := &SecretList{Functions: []NamedSecret{}, Keys: []NamedSecret{}, Pending: []string{}}
	k, err := c.ReadStack(ctx, t.Stack())
	if err != nil {
		return nil, err
	}
	for _, side := range []struct {
		name, parameter string
		into            *[]NamedSecret
	}{{t.FunctionsSecret(), "FunctionSecretsVersion", &list.Functions}, {t.KeysSecret(), "KeysSecretVersion", &list.Keys}} {
		names, version, err := c.SecretStore(side.name).list(ctx)
		if err != nil {
			return nil, err
		}
		*side.into = append(*side.into, names...)
		if k.exists() && len(names) > 0 && k.Parameters[side.parameter] != version {
			list.Pending = append(list.Pending, side.name)
		}
	}
	return list, nil
}
