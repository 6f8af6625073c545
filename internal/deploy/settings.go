package deploy

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/selvedge-dev/selvedge/internal/stack"
	"github.com/selvedge-dev/selvedge/internal/suggest"
)

// A Value is a setting and where it was set: "--region", "$AWS_REGION",
// "selvedge.toml:3".
type Value struct {
	Text, Origin string
}

// Settings are what a command on AWS works with.
type Settings struct {
	stack.Names
	Region, Profile Value
	// Base is the image below the functions, "" for the default.
	Base Value
	// Smoke are the paths that must answer after a deploy.
	Smoke []string
	// Parameters are those of the template that somebody has set, by name.
	Parameters map[string]Value
	// Keys are the keys of parameters.json, by their variables.
	Keys map[string]Value
	// Poll is how often AWS is asked while something is going on, 0 for the
	// usual: every second at first, every five later.
	Poll time.Duration
	// Warnings are about what was found and not used.
	Warnings []string
}

// A Source is where Resolve takes settings from.
type Source struct {
	// Dirs are the folders in which selvedge.toml and parameters.json may be,
	// the nearest first.
	Dirs []string
	// ConfigFile and ParametersFile name the files, "" for those of Dirs.
	ConfigFile, ParametersFile string
	// Environ is as os.Environ returns it.
	Environ []string
	// Flags are those that were given: the keys of [deploy], and environment.
	Flags map[string]Value
}

const (
	configName     = "selvedge.toml"
	parametersName = "parameters.json"
	variablePrefix = "SELVEDGE_DEPLOY_"
)

// Resolve makes the settings. A flag wins over a variable, a variable over
// selvedge.toml, in which [deploy.env.NAME] wins over [deploy], and that over
// parameters.json. What the stack has, and what the template says, come after
// those and are not looked at here.
//
// Everything that is wrong is reported at once, as a Problem.
func Resolve(src Source) (*Settings, error) {
	r := &resolver{src: src, environ: map[string]string{}}
	for _, kv := range src.Environ {
		name, value, _ := strings.Cut(kv, "=")
		r.environ[name] = value
	}
	r.read()
	s := r.settle()
	if len(r.wrong) > 0 {
		p := &Problem{What: "the settings of the deployment are wrong", Usage: true, Details: r.wrong}
		if len(r.wrong) == 1 {
			p = &Problem{What: r.wrong[0], Usage: true}
		}
		return nil, p
	}
	return s, nil
}

type resolver struct {
	src        Source
	environ    map[string]string
	file       *settingsFile    // nil without one
	parameters map[string]Value // of parameters.json, by the name there
	wrong      []string
	warnings   []string
}

func (r *resolver) fail(format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
}

// read reads the files.
func (r *resolver) read() {
	if path := r.find(r.src.ConfigFile, configName); path != "" {
		file, err := readSettingsFile(path, r.shown(path))
		if err != nil {
			r.fail("%v", err)
		}
		r.file = file
	}
	if path := r.find(r.src.ParametersFile, parametersName); path != "" {
		values, err := readParameters(path, r.shown(path))
		if err != nil {
			r.fail("%v", err)
		}
		r.parameters = values
	}
}

// find returns the file that was named, or the nearest one of that name.
func (r *resolver) find(named, name string) string {
	if named != "" {
		return named
	}
	for _, dir := range r.src.Dirs {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

// shown is how messages call a file.
func (r *resolver) shown(path string) string {
	if path == r.src.ConfigFile || path == r.src.ParametersFile {
		return path
	}
	return filepath.Base(path)
}

// settle picks every setting.
func (r *resolver) settle() *Settings {
	s := &Settings{Parameters: map[string]Value{}, Keys: map[string]Value{}}
	environment := cmp.Or(r.flag("environment"), r.variable(variablePrefix+"ENVIRONMENT", variablePrefix+"ENV"),
		r.inFile("environment"), r.parameters["Environment"], Value{"production", "default"})
	environment.Text = environmentNamed(environment.Text)
	s.Environment = environment.Text
	r.file.choose(s.Environment)

	project := r.pick("project_name")
	s.Project = cmp.Or(project.Text, defaultProject)
	for _, key := range fileKeys() {
		name := parameterOf(key)
		if name == "" || name == "Environment" || name == "ProjectName" {
			continue
		}
		if v := r.pick(key); v != (Value{}) {
			s.Parameters[name] = v
		}
	}
	s.Parameters["Environment"] = environment
	if project != (Value{}) {
		s.Parameters["ProjectName"] = project
	}
	s.Region = cmp.Or(r.flag("region"), r.variable(variablePrefix+"REGION", "AWS_REGION", "AWS_DEFAULT_REGION"), r.inFile("region"))
	s.Profile = cmp.Or(r.flag("profile"), r.variable(variablePrefix+"PROFILE", "AWS_PROFILE"))
	if v := r.inFile("profile"); s.Profile.Text == "" && r.environ["AWS_ACCESS_KEY_ID"] == "" {
		s.Profile = v // credentials in variables are nearer than a file
	}
	s.Base = cmp.Or(r.flag("base"), r.variable(variablePrefix+"BASE"), r.inFile("base"))
	if v := cmp.Or(r.flag("smoke"), r.variable(variablePrefix+"SMOKE"), r.inFile("smoke")); v.Text != "" {
		for path := range strings.SplitSeq(v.Text, ",") {
			if path = strings.TrimSpace(path); path == "" {
				continue
			}
			if !strings.HasPrefix(path, "/") {
				path = "/" + path
			}
			s.Smoke = append(s.Smoke, path)
		}
	}
	if v := r.variable(variablePrefix + "POLL"); v.Text != "" {
		d, err := time.ParseDuration(v.Text)
		if err != nil || d <= 0 {
			r.fail("%s=%q: write a time such as 500ms or 2s", variablePrefix+"POLL", v.Text)
		}
		s.Poll = d
	}
	for name, variable := range keyParameters {
		if v, ok := r.parameters[name]; ok && v.Text != "" {
			s.Keys[variable] = v
		}
	}
	r.checkVariables()
	if r.file != nil {
		r.wrong = append(r.wrong, r.file.problems()...)
	}
	s.Warnings = r.warnings
	return s
}

const defaultProject = "supabase-edge-runtime"

// pick returns the value of a parameter's key.
func (r *resolver) pick(key string) Value {
	return cmp.Or(r.flag(key), r.variable(variablePrefix+strings.ToUpper(key)), r.inFile(key), r.parameters[parameterOf(key)])
}

func (r *resolver) flag(key string) Value { return r.src.Flags[key] }

// variable returns the first of the variables that is set and not empty.
func (r *resolver) variable(names ...string) Value {
	for _, name := range names {
		if text := r.environ[name]; text != "" {
			return Value{text, "$" + name}
		}
	}
	return Value{}
}

func (r *resolver) inFile(key string) Value {
	if r.file == nil {
		return Value{}
	}
	return r.file.value(key)
}

// checkVariables warns of SELVEDGE_DEPLOY_ variables that nobody reads.
func (r *resolver) checkVariables() {
	known := []string{"ENV", "POLL"}
	for _, key := range fileKeys() {
		known = append(known, strings.ToUpper(key))
	}
	for _, name := range slices.Sorted(maps.Keys(r.environ)) {
		rest, ok := strings.CutPrefix(name, variablePrefix)
		if !ok || slices.Contains(known, rest) {
			continue
		}
		text := "the variable " + name + " is not known"
		if near := suggest.Nearest(rest, known); near != "" {
			text += "; did you mean " + variablePrefix + near + "?"
		}
		r.warnings = append(r.warnings, text)
	}
}

// ParseSet reads a --set flag, KEY=VALUE; the key is one of [deploy] or the
// name of a parameter.
func ParseSet(text string) (key string, v Value, err error) {
	key, value, ok := strings.Cut(text, "=")
	if !ok {
		return "", Value{}, fmt.Errorf("--set %s: write KEY=VALUE, such as --set desired_count=3", text)
	}
	key = strings.TrimSpace(key)
	if slices.ContainsFunc(userParameters(), func(p stack.Parameter) bool { return p.Name == key }) {
		key = stack.Parameter{Name: key}.Key()
	}
	if !slices.Contains(fileKeys(), key) {
		err := errors.New("--set " + key + ": there is no such setting")
		if near := suggest.Nearest(strings.ToLower(key), fileKeys()); near != "" {
			err = fmt.Errorf("%w; did you mean %s?", err, near)
		}
		return "", Value{}, err
	}
	return key, Value{strings.TrimSpace(value), "--set " + key}, nil
}
