package config

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/selvedge-dev/selvedge/internal/function"
)

// A Worker names one run of a function, for the variables it gets.
type Worker struct {
	// Project is the project's name, see Project.Name.
	Project string
	// Slug is the function's.
	Slug string
	// Version is the version of the function's code.
	Version string
	// ExecutionID is the UUID of the worker, "" to leave SB_EXECUTION_ID out.
	ExecutionID string
}

// PlatformEnv returns the variables that every function gets, as sorted
// NAME=value entries; those that the configuration has no value for are left
// out. Nothing of the gateway's own is among them: no JWT secret, in no form,
// and nothing of the process environment that is not listed here, so no cloud
// credentials.
func PlatformEnv(c *Config, w Worker) []string {
	env := map[string]string{
		"SUPABASE_URL":              c.URL,
		"SUPABASE_ANON_KEY":         c.AnonKey.Reveal(),
		"SUPABASE_SERVICE_ROLE_KEY": c.ServiceRoleKey.Reveal(),
		"SUPABASE_DB_URL":           c.DBURL.Reveal(),
		"SUPABASE_PUBLISHABLE_KEYS": keysJSON(c.PublishableKeys),
		"SUPABASE_SECRET_KEYS":      keysJSON(c.SecretKeys),
		"SUPABASE_JWKS":             publicJWKS(c.JWKS.Reveal()),
		"SUPABASE_FUNCTION_SLUG":    w.Slug,
		"SB_REGION":                 c.Region,
		"SB_EXECUTION_ID":           w.ExecutionID,
		"DENO_DEPLOYMENT_ID":        w.Project + "_" + w.Slug + "_" + w.Version,
	}
	maps.DeleteFunc(env, func(_, value string) bool { return value == "" })
	return entries(env)
}

// FunctionEnv returns all variables of a worker: the user's, and over them the
// platform's, as sorted NAME=value entries. A name that starts with SUPABASE_
// never comes from the user, not even one that PlatformEnv has no value for.
func FunctionEnv(c *Config, f *function.Function, w Worker) []string {
	env := make(map[string]string, len(f.Env)+12)
	for name, value := range f.Env {
		if !function.ReservedEnv(name) {
			env[name] = value
		}
	}
	for _, entry := range PlatformEnv(c, w) {
		name, value, _ := strings.Cut(entry, "=")
		env[name] = value
	}
	return entries(env)
}

func entries(env map[string]string) []string {
	list := make([]string, 0, len(env))
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}

func keysJSON(keys map[string]Secret) string {
	if len(keys) == 0 {
		return ""
	}
	text, _ := json.Marshal(reveal(keys)) // a map of strings always marshals
	return string(text)
}

func reveal(secrets map[string]Secret) map[string]string {
	plain := make(map[string]string, len(secrets))
	for name, secret := range secrets {
		plain[name] = secret.Reveal()
	}
	return plain
}

// privateMembers are the members of a JWK that hold a secret (RFC 7518,
// section 6).
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// publicJWKS returns a key set without its secrets. The Supabase CLI puts the
// JWT secret itself into SUPABASE_JWKS, as a key of type oct, which whoever
// holds it can sign tokens with.
func publicJWKS(value string) string {
	if value == "" {
		return ""
	}
	keys, err := parseJWKS(value)
	if err != nil {
		return ""
	}
	public := []map[string]any{}
	for _, key := range keys {
		if key["kty"] == "oct" {
			continue
		}
		for _, member := range privateMembers {
			delete(key, member)
		}
		public = append(public, key)
	}
	text, err := json.Marshal(map[string]any{"keys": public})
	if err != nil {
		return ""
	}
	return string(text)
}
