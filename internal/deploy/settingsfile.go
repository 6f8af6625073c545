package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/selvedge-dev/selvedge/internal/suggest"
)

// A settingsFile is the [deploy] table of a selvedge.toml.
type settingsFile struct {
	shown string
	md    toml.MetaData
	// base is [deploy], environments are [deploy.env.NAME] by the full name of
	// the environment.
	base         map[string]toml.Primitive
	environments map[string]map[string]toml.Primitive
	chosen       string
	wrong        []located
}

// located is a sentence about a line of the file.
type located struct {
	line int
	text string
}

func readSettingsFile(path, shown string) (*settingsFile, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the settings: %w", err)
	}
	f := &settingsFile{shown: shown, environments: map[string]map[string]toml.Primitive{}}
	var root map[string]toml.Primitive
	if f.md, err = toml.Decode(string(src), &root); err != nil {
		var bad toml.ParseError
		if errors.As(err, &bad) {
			return nil, fmt.Errorf("%s:%d: %s", shown, bad.Position.Line, bad.Message)
		}
		return nil, fmt.Errorf("%s: %w", shown, err)
	}
	for _, name := range slices.Sorted(maps.Keys(root)) {
		if name != "deploy" {
			f.fail(root[name], "there is no table or key %s%s", name, didYouMean(name, []string{"deploy"}))
			continue
		}
		if err := f.md.PrimitiveDecode(root[name], &f.base); err != nil {
			f.fail(root[name], "deploy must be a table, [deploy]")
		}
	}
	if env, ok := f.base["env"]; ok {
		delete(f.base, "env")
		var tables map[string]map[string]toml.Primitive
		if err := f.md.PrimitiveDecode(env, &tables); err != nil {
			f.fail(env, "deploy.env must hold a table an environment, such as [deploy.env.staging]")
		}
		for name, table := range tables {
			f.environments[environmentNamed(name)] = table
			if key, ok := table["environment"]; ok {
				f.fail(key, "[deploy.env.%s] is that environment's already; remove the key environment", name)
			}
		}
	}
	f.checkKeys("deploy", f.base)
	for _, name := range slices.Sorted(maps.Keys(f.environments)) {
		f.checkKeys("deploy.env."+name, f.environments[name])
	}
	return f, nil
}

// choose says which environment's table is read.
func (f *settingsFile) choose(environment string) {
	if f != nil {
		f.chosen = environment
	}
}

func (f *settingsFile) checkKeys(table string, values map[string]toml.Primitive) {
	known := fileKeys()
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(known, key) {
			f.fail(values[key], "[%s] has no key %s%s", table, key, didYouMean(key, known))
		} else if _, err := f.text(key, values[key]); err != nil {
			f.fail(values[key], "%s: %v", key, err)
		}
	}
}

func didYouMean(word string, known []string) string {
	if near := suggest.Nearest(word, known); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

// value returns the value of a key for the environment that was chosen.
func (f *settingsFile) value(key string) Value {
	for _, table := range []map[string]toml.Primitive{f.environments[f.chosen], f.base} {
		if p, ok := table[key]; ok {
			if text, err := f.text(key, p); err == nil {
				return Value{text, f.at(p)}
			}
		}
	}
	return Value{}
}

// text returns a value as the template has it: all of its parameters are
// texts.
func (f *settingsFile) text(key string, p toml.Primitive) (string, error) {
	var v any
	if err := f.md.PrimitiveDecode(p, &v); err != nil {
		return "", err
	}
	switch v := v.(type) {
	case string:
		return v, nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case bool:
		return strconv.FormatBool(v), nil
	case []any:
		if key != "smoke" {
			break
		}
		var paths []string
		for _, item := range v {
			path, ok := item.(string)
			if !ok {
				return "", errors.New(`write a list of paths, such as ["/hello"]`)
			}
			paths = append(paths, path)
		}
		return strings.Join(paths, ","), nil
	}
	return "", errors.New("write a text in quotes, a whole number, or true or false")
}

func (f *settingsFile) fail(p toml.Primitive, format string, args ...any) {
	f.wrong = append(f.wrong, located{f.line(p), f.at(p) + ": " + fmt.Sprintf(format, args...)})
}

// problems are what is wrong with the file, in its order.
func (f *settingsFile) problems() []string {
	slices.SortStableFunc(f.wrong, func(a, b located) int { return a.line - b.line })
	var texts []string
	for _, w := range f.wrong {
		texts = append(texts, w.text)
	}
	return texts
}

func (f *settingsFile) at(p toml.Primitive) string {
	if line := f.line(p); line > 0 {
		return fmt.Sprintf("%s:%d", f.shown, line)
	}
	return f.shown
}

// A refusal takes no value: decoding into one fails with the value's position,
// the only way in which the decoder tells it.
type refusal struct{}

// UnmarshalTOML always fails.
func (*refusal) UnmarshalTOML(any) error { return errors.New("refused") }

func (f *settingsFile) line(p toml.Primitive) int {
	var bad toml.ParseError
	if err := f.md.PrimitiveDecode(p, &refusal{}); errors.As(err, &bad) {
		return bad.Position.Line
	}
	return 0
}

// readParameters reads a parameters.json as the AWS CLI takes it.
func readParameters(path, shown string) (map[string]Value, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the parameters: %w", err)
	}
	var list []struct {
		Key   *string `json:"ParameterKey"`
		Value string  `json:"ParameterValue"`
	}
	if err := json.Unmarshal(src, &list); err != nil {
		line := 0
		var syntax *json.SyntaxError
		var kind *json.UnmarshalTypeError
		switch {
		case errors.As(err, &syntax):
			line = lineOf(src, int(syntax.Offset))
		case errors.As(err, &kind):
			line = lineOf(src, int(kind.Offset))
		}
		return nil, fmt.Errorf(`%s:%d: %w; it must be a list of {"ParameterKey": "CPU", "ParameterValue": "512"}`, shown, line, err)
	}
	known := slices.Sorted(maps.Keys(keyParameters))
	for _, p := range userParameters() {
		known = append(known, p.Name)
	}
	values := map[string]Value{}
	for i, p := range list {
		switch {
		case p.Key == nil:
			return nil, fmt.Errorf("%s: item %d has no ParameterKey", shown, i+1)
		case !slices.Contains(known, *p.Key) && *p.Key != "ImageUri":
			return nil, fmt.Errorf("%s:%d: there is no parameter %s%s", shown, lineOf(src, max(0, strings.Index(string(src), `"`+*p.Key+`"`))), *p.Key, didYouMean(*p.Key, known))
		}
		values[*p.Key] = Value{p.Value, shown}
	}
	return values, nil
}

func lineOf(src []byte, offset int) int {
	return 1 + strings.Count(string(src[:min(offset, len(src))]), "\n")
}
