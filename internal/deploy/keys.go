package deploy

import (
	"context"
	"fmt"
	"maps"
	"strings"
)

// KeyVariables are those of the keys' secret: the first three must be there.
var KeyVariables = []string{
	"JWT_SECRET", "ANON_KEY", "SERVICE_ROLE_KEY",
	"SUPABASE_PUBLISHABLE_KEYS", "SUPABASE_SECRET_KEYS", "SUPABASE_JWKS", "SUPABASE_DB_URL",
}

// A KeySource is where a deploy gets keys from.
type KeySource struct {
	// Given are those of the environment and of the .env file, by variable,
	// with their place.
	Given map[string]Value
	// Local are the names of variables that functions have here, of which those
	// that are not among the deployment's secrets are missing there.
	Local []string
	// Verify says what is wrong with keys that were chosen: whether anon and
	// service_role verify under the secret.
	Verify func(ctx context.Context, keys map[string]string) error
}

// chooseKeys returns the keys that a release gets: each as it is given, else as
// the secret has it. It changes nothing.
func (o *Operator) chooseKeys(ctx context.Context, src KeySource, was *SecretValue) (map[string]string, error) {
	keys, from := map[string]string{}, map[string]string{}
	if was != nil {
		maps.Copy(keys, was.Values)
		for name := range was.Values {
			from[name] = "the secret " + o.Settings.KeysSecret()
		}
	}
	placeholder := ""
	for _, name := range KeyVariables {
		v, ok := src.Given[name]
		if !ok || v.Text == "" {
			if v, ok = o.Settings.Keys[name]; ok && isPlaceholder(v.Text) {
				placeholder = name + " in " + v.Origin
				ok = false
			}
		}
		if ok && v.Text != "" {
			keys[name], from[name] = v.Text, v.Origin
		}
	}
	var missing []string
	for _, name := range KeyVariables[:3] {
		if keys[name] == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		p := &Problem{What: "the keys of the project are missing: " + strings.Join(missing, ", "), Usage: true, Next: []string{
			"for a Supabase project, take its JWT secret, anon and service_role key from its API settings into .env",
			"or make new ones: (umask 077; selvedge keys > .env)",
			"then run the command again: .env beside the functions folder is read, and the keys are kept in Secrets Manager from then on",
		}}
		if placeholder != "" {
			p.Why = placeholder + " is only an example"
		}
		return nil, p
	}
	for _, name := range KeyVariables {
		if isPlaceholder(keys[name]) {
			return nil, &Problem{What: fmt.Sprintf("%s in %s is only an example", name, from[name]), Usage: true, Next: []string{"put the project's own key there, or make new ones: selvedge keys"}}
		}
	}
	if src.Verify != nil {
		if err := src.Verify(ctx, keys); err != nil {
			return nil, &Problem{What: "the keys do not fit together", Why: err.Error(), Usage: true, Err: err,
				Details: []string{fmt.Sprintf("JWT_SECRET is from %s, ANON_KEY from %s, SERVICE_ROLE_KEY from %s", from["JWT_SECRET"], from["ANON_KEY"], from["SERVICE_ROLE_KEY"])},
				Next:    []string{"take all three from one project; selvedge keys verify explains each"}}
		}
	}
	return keys, nil
}

// isPlaceholder reports whether a key is one of the examples that stand in
// files to be filled in.
func isPlaceholder(key string) bool {
	upper := strings.ToUpper(key)
	for _, sign := range []string{"REPLACE", "CHANGE", "YOUR-", "YOUR_", "EXAMPLE", "<", "PLACEHOLDER"} {
		if strings.Contains(upper, sign) && len(key) < 120 && !strings.HasPrefix(key, "eyJ") && !strings.HasPrefix(key, "{") {
			return true
		}
	}
	return false
}
