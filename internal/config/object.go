package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/selvedge-dev/selvedge/internal/function"
)

// Variables whose value is a JSON object of strings. Stores of secrets hand
// over one text, which may hold any number of them.
const (
	// functionSecretsVariable holds variables of all functions.
	functionSecretsVariable = "SELVEDGE_FUNCTION_SECRETS"
	// keysVariable holds the secret settings, by their variables.
	keysVariable = "SELVEDGE_KEYS"
)

func (c *Config) setFunctionSecrets(value string) error {
	object, err := parseObject(value)
	if err != nil {
		return err
	}
	secrets := make(map[string]Secret, len(object))
	for name, secret := range object {
		if !function.ValidEnvName(name) {
			return fmt.Errorf("%q cannot name a variable", name)
		}
		secrets[name] = Secret(secret)
	}
	c.FunctionSecrets = secrets
	return nil
}

func (c *Config) setKeysObject(value string) error {
	object, err := parseObject(value)
	if err != nil {
		return err
	}
	var known []string
	for _, s := range settings() {
		if s.secret && !s.many {
			known = append(known, s.env...)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if !slices.Contains(known, name) {
			c.warn("%s: %q has no effect; it may hold %s", keysVariable, name, strings.Join(known, ", "))
			delete(object, name)
		}
	}
	c.keys = object
	return nil
}

// lookup finds a variable for env(NAME), in the process environment or in the
// objects above.
func (c *Config) lookup(name string) (string, bool) {
	if value, ok := c.environ[name]; ok && value != "" {
		return value, true
	}
	if value, ok := c.keys[name]; ok && value != "" {
		return value, true
	}
	value, ok := c.FunctionSecrets[name]
	return value.Reveal(), ok
}

// parseObject reads a JSON object of strings. Its errors name places and names
// in it, never a value: encoding/json's own quote what they stumble over.
func parseObject(value string) (map[string]string, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(value), &members); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			line, column := position(value, int(syntax.Offset))
			return nil, fmt.Errorf("it is no valid JSON at line %d, column %d", line, column)
		}
		members = nil
	}
	if members == nil {
		return nil, errors.New("it is no JSON object")
	}
	object := make(map[string]string, len(members))
	for _, name := range slices.Sorted(maps.Keys(members)) {
		var text *string
		if err := json.Unmarshal(members[name], &text); err != nil || text == nil {
			return nil, fmt.Errorf("what %q has is no string", name)
		}
		if strings.ContainsRune(*text, 0) {
			return nil, fmt.Errorf("what %q has holds a NUL character", name)
		}
		object[name] = *text
	}
	return object, nil
}

// position returns the line and column, counted from 1, of the last of the
// first n bytes.
func position(text string, n int) (line, column int) {
	before := text[:max(0, min(n, len(text))-1)]
	return 1 + strings.Count(before, "\n"), len(before) - strings.LastIndexByte(before, '\n')
}

func namesOf[V any](object map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(object)), ", ")
}
