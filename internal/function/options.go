package function

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Options say where Discover looks and what the project's configuration adds.
type Options struct {
	// Root is the absolute path of the functions folder.
	Root string
	// Base is the absolute path of the folder that paths in config.toml are
	// relative to, the one that holds it; "" is Root's parent.
	Base string
	// Project is the absolute path of the project's folder: where the search
	// for .npmrc ends, and what paths in messages are relative to. "" is Base,
	// or its parent when Base is called supabase.
	Project string
	// Overrides are the [functions.<slug>] tables, by slug.
	Overrides map[string]Override
	// EdgeRuntime is the [edge_runtime] table.
	EdgeRuntime EdgeRuntime
	// EnvFile is the absolute path of the file that replaces Root/.env; ""
	// takes Root/.env where it exists. A file named here has to exist.
	EnvFile string
	// Secrets are variables of every function, over those of the file.
	// SecretsFrom names where they come from.
	Secrets     map[string]string
	SecretsFrom string
}

// EdgeRuntime is what holds for every function unless its own Override says
// otherwise.
type EdgeRuntime struct {
	// Policy is "" for PerWorker.
	Policy Policy
	// Limits are laid over Defaults; a zero field leaves the default.
	Limits Limits
	// AllowNet and NetDryRun are those of Net.
	AllowNet  []string
	NetDryRun bool
	// Secrets are variables of every function.
	Secrets map[string]string
	// File is config.toml's name for messages, "" for "config.toml".
	File string
}

// An Override is what config.toml says about one function.
type Override struct {
	// Enabled and VerifyJWT are true where nil.
	Enabled, VerifyJWT *bool
	// Entrypoint is the module to run, relative to Options.Base; "" is the
	// index file of the function's folder.
	Entrypoint string
	// ImportMap is an import map, deno.json or package.json, relative to
	// Options.Base; "" looks for one.
	ImportMap string
	// StaticFiles are glob patterns relative to Options.Base; ** matches any
	// number of folders.
	StaticFiles []string
	// Env are variables of this function; they win over all files.
	Env map[string]string
	// Policy is "" for the one of EdgeRuntime.
	Policy Policy
	// Limits are laid over those of EdgeRuntime; a zero field changes nothing.
	Limits Limits
	// AllowNet and NetDryRun are those of Net; nil for the ones of EdgeRuntime.
	AllowNet  []string
	NetDryRun *bool
	// File is config.toml's name for messages, "" for "config.toml".
	File string
	// Lines are the lines of the keys in File, "" for the table's own.
	Lines map[string]int
}

// where names the place of a key of the override: file:line.
func (o Override) where(key string) string {
	file := o.file()
	line := o.Lines[key]
	if line == 0 {
		line = o.Lines[""]
	}
	if line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d", file, line)
}

func (o Override) file() string { return cmp.Or(o.File, "config.toml") }

func (o Override) enabled() bool   { return o.Enabled == nil || *o.Enabled }
func (o Override) verifyJWT() bool { return o.VerifyJWT == nil || *o.VerifyJWT }

// complete checks the options and fills the fields that may be empty.
func (o Options) complete() (Options, error) {
	if !filepath.IsAbs(o.Root) {
		return o, fmt.Errorf("discover functions: the functions folder %q is no absolute path", o.Root)
	}
	o.Root = filepath.Clean(o.Root)
	info, err := os.Stat(o.Root)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return o, fmt.Errorf("discover functions: there is no folder %s; create a function with `selvedge new hello`: %w", o.Root, err)
	case err != nil:
		return o, fmt.Errorf("discover functions: %w", err)
	case !info.IsDir():
		return o, fmt.Errorf("discover functions: %s is a file; name the folder that holds the functions' folders", o.Root)
	}
	o.Base = filepath.Clean(cmp.Or(o.Base, filepath.Dir(o.Root)))
	o.Project = filepath.Clean(cmp.Or(o.Project, ProjectDir(o.Base)))
	o.EdgeRuntime.File = cmp.Or(o.EdgeRuntime.File, "config.toml")
	o.EdgeRuntime.Policy = cmp.Or(o.EdgeRuntime.Policy, PerWorker)
	o.EdgeRuntime.Limits = Defaults().Overlay(o.EdgeRuntime.Limits)
	return o, nil
}

// ProjectDir returns the project's folder, given the one that holds
// config.toml: its parent in the supabase/ layout, else the folder itself.
func ProjectDir(base string) string {
	if filepath.Base(base) == "supabase" {
		return filepath.Dir(base)
	}
	return base
}

// show returns path as messages name it: relative to the project's folder
// where it lies inside.
func (o Options) show(path string) string {
	if rel, ok := inside(o.Project, path); ok {
		return filepath.ToSlash(rel)
	}
	return path
}

// abs returns a path of config.toml as an absolute one.
func (o Options) abs(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(o.Base, filepath.FromSlash(path))
}

// inside returns path relative to dir, and whether it lies in dir.
func inside(dir, path string) (string, bool) {
	rel, err := filepath.Rel(dir, path)
	if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return "", false
	}
	return rel, true
}
