package function

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// indexFiles are the entrypoints of a folder, the preferred first.
var indexFiles = []string{"index.ts", "index.tsx", "index.js", "index.mjs", "index.jsx"}

// Discover finds the functions of a folder and resolves what each is run with.
//
// A function that is broken becomes a Problem of the set; Discover itself
// fails only where nothing could be run as it was meant: the folder is missing
// or unreadable, or the variables all functions share cannot be read.
func Discover(opts Options) (*Set, error) {
	opts, err := opts.complete()
	if err != nil {
		return nil, err
	}
	d := &discovery{Options: opts, problems: map[string]error{}, npmrcs: map[string]string{}, workspaces: map[string]workspace{}}
	if d.realRoot, err = filepath.EvalSymlinks(opts.Root); err != nil {
		return nil, fmt.Errorf("discover functions: %w", err)
	}
	entries, err := os.ReadDir(opts.Root)
	if err != nil {
		return nil, fmt.Errorf("discover functions: %w", err)
	}
	root := folder{opts.Root, entries}
	if err := d.readSharedEnv(root); err != nil {
		return nil, fmt.Errorf("discover functions: %w", err)
	}
	if root.hasFile("import_map.json") {
		d.sharedImportMap = filepath.Join(opts.Root, "import_map.json")
	}

	seen := make(map[string]bool, len(entries))
	for _, entry := range entries {
		if entry.Type()&fs.ModeSymlink != 0 && strings.HasPrefix(entry.Name(), "_") {
			d.linkedShared = append(d.linkedShared, Resolve(filepath.Join(opts.Root, entry.Name())))
		}
	}
	for _, entry := range entries {
		if d.folder(entry) {
			seen[entry.Name()] = true
		}
	}
	for _, slug := range slices.Sorted(maps.Keys(opts.Overrides)) {
		if !seen[slug] {
			d.declared(slug)
		}
	}

	d.dropFunctions()

	set := NewSet(d.functions...)
	set.warnings, set.problems = d.warnings, d.problems
	slices.Sort(d.disabled)
	set.disabled = d.disabled
	return set, nil
}

// discovery is the state of one call of Discover.
type discovery struct {
	Options
	realRoot        string
	sharedImportMap string            // Root/import_map.json, "" for none
	sharedEnv       environment       // what every function gets
	npmrcs          map[string]string // folder → the .npmrc in force above it
	linkedShared    []string          // where shared folders that are links lead
	workspaces      map[string]workspace

	functions []*Function
	disabled  []string
	warnings  []string
	problems  map[string]error
}

// folder looks at one entry of the functions folder. It reports whether the
// entry settles the slug of its name, so that config.toml's table for it needs
// no look of its own.
func (d *discovery) folder(entry fs.DirEntry) bool {
	name := entry.Name()
	if strings.HasPrefix(name, "_") || strings.HasPrefix(name, ".") || name == "node_modules" {
		return false
	}
	path := filepath.Join(d.Root, name)
	isLink := entry.Type()&fs.ModeSymlink != 0
	if isLink {
		info, err := os.Stat(path)
		if err != nil {
			d.warn("%s is a symbolic link that cannot be followed: %v; it is skipped", d.show(path), cause(err))
			return false
		}
		if !info.IsDir() {
			return false
		}
	} else if !entry.IsDir() {
		return false
	}

	override, isDeclared := d.Overrides[name]
	if isDeclared && !override.enabled() {
		d.disabled = append(d.disabled, name)
		return true
	}
	files, err := os.ReadDir(path)
	if err != nil {
		if !ValidSlug(name) {
			d.warn("%s cannot be read: %v; it is skipped", d.show(path), cause(err))
			return false
		}
		d.problem(&Problem{Slug: name, Where: d.show(path), What: "the folder cannot be read: " + cause(err).Error(),
			Hint: "give the user that runs Selvedge read access to it", Err: err})
		return true
	}

	dir := folder{path, files}
	index := dir.firstFile(indexFiles...)
	if index == "" && override.Entrypoint == "" {
		if isDeclared {
			d.problem(&Problem{Slug: name, Where: d.show(path), What: "the folder has no index.ts, index.tsx, index.js, index.mjs or index.jsx",
				Hint: fmt.Sprintf("add one, or set entrypoint in [functions.%s] (%s)", name, override.where(""))})
			return true
		}
		if script := dir.firstScript(); script != "" {
			d.warn("%s holds %s but no index.ts, so it is no function; rename the file, set entrypoint in [functions.%s] of config.toml, or start the folder's name with _",
				d.show(path), script, name)
		}
		return false
	}
	if name == "main" && !isDeclared {
		// In the self-hosted stack main/ dispatches to the other functions,
		// with an API of Supabase's runtime that Deno does not have.
		d.warn("%s is Supabase's router, not a function: it is skipped, Selvedge routes by itself; declare [functions.main] in config.toml to run it all the same", d.show(path))
		return true
	}
	d.add(name, dir, isLink, index, override)
	return true
}

// declared adds a function that config.toml names and that has no folder of
// its own.
func (d *discovery) declared(slug string) {
	override := d.Overrides[slug]
	if !override.enabled() {
		d.disabled = append(d.disabled, slug)
		return
	}
	if override.Entrypoint == "" {
		if p := d.badName(slug, override.where("")); p != nil {
			d.problem(p)
			return
		}
		d.problem(&Problem{Slug: slug, Where: override.where(""), What: fmt.Sprintf("it is declared, but there is no %s/index.ts", d.show(filepath.Join(d.Root, slug))),
			Hint: fmt.Sprintf("run `selvedge new %s`, set its entrypoint, or remove [functions.%s]", slug, slug)})
		return
	}
	dir := filepath.Dir(d.abs(override.Entrypoint))
	// Whether the entrypoint is there at all is add's question.
	files, _ := os.ReadDir(dir)
	d.add(slug, folder{dir, files}, true, "", override)
}

// badName returns the problem of a name that no function can have, nil if it
// can be had.
func (d *discovery) badName(slug, where string) *Problem {
	switch {
	case Reserved(slug):
		return &Problem{Slug: slug, Where: where, What: fmt.Sprintf("the name %s is reserved for the gateway's own /%s endpoint, which load balancers ask", slug, slug),
			Hint: "rename the function, say to " + strings.TrimLeft(slug, "_") + "-check"}
	case !ValidSlug(slug):
		return &Problem{Slug: slug, Where: where, What: fmt.Sprintf("%q is no valid name for a function", slug),
			Hint: "start with a letter and use only letters, digits, - and _; a name that starts with _ marks a shared folder"}
	}
	return nil
}

// add resolves everything about a function and keeps it, or its problem.
func (d *discovery) add(slug string, dir folder, mayLink bool, index string, override Override) {
	if p := d.badName(slug, d.show(dir.path)); p != nil {
		d.problem(p)
		return
	}
	f := &Function{
		Slug:      slug,
		Dir:       dir.path,
		RealDir:   filepath.Join(d.realRoot, slug),
		Root:      d.Root,
		RealRoot:  d.realRoot,
		VerifyJWT: override.verifyJWT(),
		Limits:    d.EdgeRuntime.Limits.Overlay(override.Limits),
		Policy:    d.EdgeRuntime.Policy,
		Net:       Net{Allow: d.EdgeRuntime.AllowNet, DryRun: d.EdgeRuntime.NetDryRun},
	}
	if override.AllowNet != nil {
		f.Net.Allow = override.AllowNet
	}
	if override.NetDryRun != nil {
		f.Net.DryRun = *override.NetDryRun
	}
	if override.Policy != "" {
		f.Policy = override.Policy
	}
	if !f.Policy.Valid() {
		d.problem(&Problem{Slug: slug, Where: override.where("policy"), What: fmt.Sprintf("the policy %q is not known", f.Policy),
			Hint: "use per_worker, per_request or oneshot"})
		return
	}
	if override.Entrypoint == "" {
		f.Entrypoint = filepath.Join(dir.path, index)
	} else {
		f.Entrypoint = d.abs(override.Entrypoint)
		if info, err := os.Stat(f.Entrypoint); err != nil || info.IsDir() {
			if err == nil {
				err = errors.New("it is a folder")
			}
			d.problem(&Problem{Slug: slug, Where: override.where("entrypoint"), What: fmt.Sprintf("the entrypoint %s cannot be run: %v", d.show(f.Entrypoint), cause(err)),
				Hint: fmt.Sprintf("set entrypoint in [functions.%s] to a file, relative to %s", slug, d.show(d.Base)), Err: err})
			return
		}
		// The function's own folder is where its code is: one that merely has
		// the function's name would give it the wrong files and settings.
		if _, ok := inside(dir.path, f.Entrypoint); !ok {
			files, _ := os.ReadDir(filepath.Dir(f.Entrypoint))
			dir, mayLink = folder{filepath.Dir(f.Entrypoint), files}, true
			f.Dir = dir.path
		}
	}
	if mayLink {
		real, err := filepath.EvalSymlinks(f.Dir)
		if err != nil {
			d.problem(&Problem{Slug: slug, Where: d.show(f.Dir), What: "the folder cannot be resolved: " + cause(err).Error(), Err: err})
			return
		}
		f.RealDir = real
	}

	f.Imports = d.imports(f, dir, override)
	f.NPMRC = d.npmrc(dir)
	d.within(f)
	if p := d.strays(f, dir); p != nil {
		d.problem(p)
		return
	}
	var err error
	if f.Static, err = d.static(f, override); err != nil {
		d.problem(&Problem{Slug: slug, Where: override.where("static_files"), What: err.Error(),
			Hint: staticHint(err), Err: err})
		return
	}
	env, err := d.functionEnv(slug, dir, override)
	if err != nil {
		d.problem(&Problem{Slug: slug, What: err.Error(), Err: err})
		return
	}
	f.Env, f.EnvSource = env.values, env.sources
	d.functions = append(d.functions, f)
}

func (d *discovery) problem(p *Problem) { d.problems[p.Slug] = p }

func (d *discovery) warn(format string, args ...any) {
	d.warnings = append(d.warnings, fmt.Sprintf(format, args...))
}

// cause strips the operation and path that os adds to an error, for messages
// that name the path themselves.
func cause(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
