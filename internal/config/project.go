package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/selvedge-dev/selvedge/internal/function"
)

// A Project is what config.toml says about functions. The tables of Supabase's
// other services are not looked at.
type Project struct {
	// File is the absolute path of config.toml, "" where there is none.
	File string
	// Dir is the absolute path of the folder that its paths are relative to.
	Dir string
	// ID is project_id, "" for none.
	ID string
	// EdgeRuntimeEnabled is false where [edge_runtime] says so. It is for the
	// Supabase CLI; Selvedge runs when it is told to.
	EdgeRuntimeEnabled bool
	// InspectorPort is [edge_runtime] inspector_port, 0 for none.
	InspectorPort int
	// EdgeRuntime holds for every function.
	EdgeRuntime function.EdgeRuntime
	// Functions are the [functions.<slug>] tables, by slug.
	Functions map[string]function.Override
	// Warnings are unknown keys, unset variables and the like, each a sentence
	// with file and line, in the order of the file.
	Warnings []string
}

// Name returns what the project is called: its ID, or its folder's name.
func (p *Project) Name() string {
	if p.ID != "" {
		return p.ID
	}
	return filepath.Base(function.ProjectDir(p.Dir))
}

// LoadProject reads a config.toml. lookup finds the variables that env(NAME)
// names, nil is os.LookupEnv; those it does not find are looked for in
// .env.local and .env beside config.toml and in the project's folder, as the
// Supabase CLI does. Every key of a wrong type is reported, each with
// file and line.
func LoadProject(path string, lookup func(string) (string, bool)) (*Project, error) {
	if lookup == nil {
		lookup = os.LookupEnv
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("read config.toml: %w", err)
	}
	return loadProject(abs, path, lookup)
}

// loadProject reads the file at path and calls it shown in messages.
func loadProject(path, shown string, lookup func(string) (string, bool)) (*Project, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read config.toml: %w", err)
	}
	dir := filepath.Dir(path)
	files := &dotenvFiles{dirs: []string{dir, function.ProjectDir(dir)}, shown: filepath.Dir(shown)}
	p, err := parseProject(src, shown, func(name string) (string, bool) {
		if value, ok := lookup(name); ok && value != "" {
			return value, true
		}
		return files.lookup(name)
	})
	if err != nil {
		return nil, err
	}
	p.File, p.Dir = path, dir
	p.Warnings = append(p.Warnings, files.warnings...)
	return p, nil
}

func parseProject(src []byte, shown string, lookup func(string) (string, bool)) (*Project, error) {
	var top map[string]toml.Primitive
	md, err := toml.Decode(string(src), &top)
	if err != nil {
		var bad toml.ParseError
		if errors.As(err, &bad) && bad.Position.Line > 0 {
			return nil, fmt.Errorf("%s:%d: the file is no valid TOML: %s", shown, bad.Position.Line, bad.Message)
		}
		return nil, fmt.Errorf("%s: the file is no valid TOML: %w", shown, err)
	}
	r := &tomlReader{md: &md, file: shown, lookup: lookup}
	p := &Project{
		EdgeRuntimeEnabled: true,
		EdgeRuntime:        function.EdgeRuntime{File: shown},
		Functions:          map[string]function.Override{},
	}
	if id, ok := top["project_id"]; ok {
		p.ID, _ = r.text(tomlKey{"project_id", id})
	}
	if edge, ok := top["edge_runtime"]; ok {
		p.readEdgeRuntime(r, tomlKey{"edge_runtime", edge})
	}
	if functions, ok := top["functions"]; ok {
		for _, table := range r.table(tomlKey{"functions", functions}) {
			slug := strings.TrimPrefix(table.name, "functions.")
			p.Functions[slug] = readOverride(r, table)
		}
	}
	p.Warnings = r.sorted(r.warnings)
	if len(r.errors) > 0 {
		var errs []error
		for _, text := range r.sorted(r.errors) {
			errs = append(errs, errors.New(text))
		}
		return nil, errors.Join(errs...)
	}
	return p, nil
}

// edgeRuntimeKeys are the keys of [edge_runtime] besides the limits.
// deno_version belongs to Supabase's runtime; Selvedge pins its own Deno.
var edgeRuntimeKeys = []string{"enabled", "policy", "allow_net", "allow_net_dry_run", "secrets", "inspector_port", "deno_version"}

// functionKeys are the keys of [functions.<slug>] besides the limits.
var functionKeys = []string{"enabled", "verify_jwt", "entrypoint", "import_map", "static_files", "env", "policy", "allow_net", "allow_net_dry_run"}

func (p *Project) readEdgeRuntime(r *tomlReader, table tomlKey) {
	for _, key := range r.table(table) {
		switch last := strings.TrimPrefix(key.name, "edge_runtime."); last {
		case "enabled":
			p.EdgeRuntimeEnabled = r.boolean(key)
		case "policy":
			p.EdgeRuntime.Policy = r.policy(key)
		case "allow_net":
			p.EdgeRuntime.AllowNet = r.places(key)
		case "allow_net_dry_run":
			p.EdgeRuntime.NetDryRun = r.boolean(key)
		case "secrets":
			p.EdgeRuntime.Secrets = r.variables(key)
		case "inspector_port":
			p.InspectorPort = r.integer(key, 1, 65535)
		case "deno_version":
			r.integer(key, 1, 1000)
		default:
			if !r.limit(&p.EdgeRuntime.Limits, last, key) {
				r.unknown(key, last, "edge_runtime", slices.Concat(edgeRuntimeKeys, limitKeys))
			}
		}
	}
}

func readOverride(r *tomlReader, table tomlKey) function.Override {
	o := function.Override{File: r.file, Lines: map[string]int{"": r.line(table)}}
	for _, key := range r.table(table) {
		last := strings.TrimPrefix(key.name, table.name+".")
		o.Lines[last] = r.line(key)
		switch last {
		case "enabled":
			v := r.boolean(key)
			o.Enabled = &v
		case "verify_jwt":
			v := r.boolean(key)
			o.VerifyJWT = &v
		case "entrypoint":
			o.Entrypoint, _ = r.text(key)
		case "import_map":
			o.ImportMap, _ = r.text(key)
		case "static_files":
			o.StaticFiles = r.texts(key)
		case "env":
			o.Env = r.variables(key)
		case "policy":
			o.Policy = r.policy(key)
		case "allow_net":
			o.AllowNet = r.places(key)
		case "allow_net_dry_run":
			v := r.boolean(key)
			o.NetDryRun = &v
		default:
			if !r.limit(&o.Limits, last, key) {
				r.unknown(key, last, table.name, slices.Concat(functionKeys, limitKeys))
			}
		}
	}
	return o
}
