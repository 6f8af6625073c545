package deploy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/selvedge-dev/selvedge/internal/stack"
)

// derived are parameters of the template that follow from what is deployed;
// nobody sets them in selvedge.toml.
var derived = []string{"ImageUri", "Release", "KeysSecretArn", "KeysSecretVersion", "FunctionSecretsArn", "FunctionSecretsVersion"}

// keyParameters are the parameters of the template that hold keys, by the
// variable of each. They are read from parameters.json, and go to Secrets
// Manager, never to CloudFormation.
var keyParameters = map[string]string{"JWTSecret": "JWT_SECRET", "AnonKey": "ANON_KEY", "ServiceRoleKey": "SERVICE_ROLE_KEY"}

// ownKeys are keys of [deploy] that are no parameters.
var ownKeys = []string{"region", "profile", "base", "smoke"}

// userParameters are those that are a user's to set.
var userParameters = sync.OnceValue(func() []stack.Parameter {
	return slices.DeleteFunc(stack.Service().Parameters, func(p stack.Parameter) bool {
		return keyParameters[p.Name] != "" || slices.Contains(derived, p.Name)
	})
})

// fileKeys are all keys of [deploy].
func fileKeys() []string {
	keys := slices.Clone(ownKeys)
	for _, p := range userParameters() {
		keys = append(keys, p.Key())
	}
	slices.Sort(keys)
	return keys
}

// parameterOf returns the parameter that a key of [deploy] sets, "" for none.
func parameterOf(key string) string {
	for _, p := range userParameters() {
		if p.Key() == key {
			return p.Name
		}
	}
	return ""
}

// checkParameters says what is wrong with the parameters that somebody has
// set, each with the place where that was. all are the values in force.
func (s *Settings) checkParameters(t *stack.Template, all map[string]string) error {
	err := t.Check(all)
	var bad *stack.ParameterError
	if !errors.As(err, &bad) {
		return err
	}
	var wrong []string
	for _, p := range bad.Problems {
		text := p.Message
		if v, ok := s.Parameters[p.Parameter]; ok && v.Origin != "default" {
			text = fmt.Sprintf("%s: %s", v.Origin, text)
		}
		wrong = append(wrong, text)
	}
	if len(wrong) == 1 {
		return &Problem{What: strings.TrimSuffix(wrong[0], "."), Usage: true, Err: err}
	}
	return &Problem{What: "the settings do not make a stack", Usage: true, Details: wrong, Err: err}
}
