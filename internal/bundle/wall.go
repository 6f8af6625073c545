package bundle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/selvedge-dev/selvedge/internal/function"
)

// The bundler reads with the rights of the server, so what it puts into a
// bundle was checked by nobody: a function that imports a file as text would
// get any file there is. What a bundle was made of is therefore looked at after
// it was made and before anything of it, errors included, is kept or shown.
//
// Deno's own module graph has every import, static or dynamic, with its place
// in the source. What only the bundler follows, calls of require and imports
// with a pattern, is in the source map.

// A graph is what `deno info --json` says about a function.
type graph struct {
	Modules     []module              `json:"modules"`
	NPMPackages map[string]npmPackage `json:"npmPackages"`
}

type module struct {
	Specifier    string       `json:"specifier"`
	Dependencies []dependency `json:"dependencies"`
}

// A dependency is an import as it is written. Code is missing where only types
// are imported, which no bundle holds.
type dependency struct {
	Specifier string `json:"specifier"`
	Code      struct {
		Specifier string `json:"specifier"`
		Span      struct {
			Start struct {
				Line      int `json:"line"`
				Character int `json:"character"`
			} `json:"start"`
		} `json:"span"`
	} `json:"code"`
}

type npmPackage struct {
	Name      string `json:"name"`
	Version   string `json:"version"`
	LocalPath string `json:"localPath"`
}

// graph asks Deno for the modules that main is made of: the local ones, with
// the packages that they depend on if those are downloaded already. It takes
// nothing from the network.
func (a *attempt) graph(ctx context.Context, packages bool) (*graph, error) {
	var out bytes.Buffer
	args := []string{"info", "--json", "--no-remote"}
	if !packages {
		args = append(args, "--no-npm")
	}
	if err := a.run(ctx, &out, a.main, args...); err != nil {
		return nil, err
	}
	g := &graph{}
	if err := json.Unmarshal(out.Bytes(), g); err != nil {
		return nil, fmt.Errorf("read the module graph of function %s: %w", a.f.Slug, err)
	}
	return g, nil
}

// checkGraph refuses the first import of the function's source that leaves it.
// main is the module that the graph begins with.
func checkGraph(f *function.Function, g *graph, main string) error {
	for _, m := range g.Modules {
		importer, local := filePath(m.Specifier)
		if !local || importer != main && !f.Holds(function.Resolve(importer)) {
			continue // what a module that was refused imports says nothing new
		}
		for _, d := range m.Dependencies {
			target, local := filePath(d.Code.Specifier)
			if !local || f.Holds(function.Resolve(target)) {
				continue
			}
			at := spot{importer, d.Code.Span.Start.Line + 1, d.Code.Span.Start.Character + 1}
			return outside(f, target, d.Specifier, at)
		}
	}
	return nil
}

// walled does a build while it looks at what goes into it, whether the build
// fails or not: a failure can quote what was read. It returns the local modules
// that the function is made of.
func (a *attempt) walled(ctx context.Context, build func() error) ([]string, error) {
	if err := checkOwn(a.f); err != nil {
		return nil, err
	}
	if err := a.checkNPMRC(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		graph *graph
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		g, err := a.graph(ctx, false)
		answers <- answer{g, err}
	}()
	fault := build()
	looked := <-answers
	if looked.err != nil && fault == nil {
		return nil, looked.err
	} else if looked.err != nil {
		return nil, fault // both stumble over the same, such as a malformed deno.json
	}
	if err := checkGraph(a.f, looked.graph, a.main); err != nil {
		return nil, err
	}
	if err := a.checkAddresses(looked.graph); err != nil {
		return nil, err
	}
	if fault == nil {
		return looked.graph.files(a.main), nil
	}
	if err := a.explainRefusals(looked.graph); err != nil {
		return nil, err
	}
	return nil, fault
}

// files returns the local modules that main imports, and those that they do,
// without what is imported for its types only.
func (g *graph) files(main string) []string {
	modules := map[string]module{}
	for _, m := range g.Modules {
		if path, local := filePath(m.Specifier); local {
			modules[path] = m
		}
	}
	var found []string
	seen := map[string]bool{main: true}
	for next := []string{main}; len(next) > 0; {
		at := next[0]
		next = next[1:]
		if info, err := os.Stat(at); at != main && err == nil && info.Mode().IsRegular() {
			found = append(found, at)
		}
		for _, d := range modules[at].Dependencies {
			if path, local := filePath(d.Code.Specifier); local && !seen[path] {
				seen[path] = true
				next = append(next, path)
			}
		}
	}
	return found
}

// checkSources refuses what the bundler took in by itself, other packages than
// those the function depends on included.
func (a *attempt) checkSources(ctx context.Context, found sources) error {
	f := a.f
	for _, file := range found.local {
		if !f.Holds(function.Resolve(file)) {
			at, literal := findLiteral(found.local, f, file)
			return outside(f, file, literal, at)
		}
	}
	if len(found.cached) == 0 {
		return nil
	}
	g, err := a.graph(ctx, true)
	if err != nil {
		return err
	}
	declared := map[string]bool{}
	for _, p := range g.NPMPackages {
		declared[function.Resolve(p.LocalPath)] = true
	}
	for _, file := range found.cached {
		if !inPackage(declared, file) {
			at, literal := findLiteral(found.local, f, file)
			return outside(f, file, literal, at)
		}
	}
	return nil
}

// copySuffix tells several copies of one version of a package apart.
var copySuffix = regexp.MustCompile(`_\d+$`)

// inPackage reports whether a file of the package cache is in one of the
// packages that the function depends on, or in none at all: names of files that
// never were there come from packages' own source maps.
func inPackage(declared map[string]bool, file string) bool {
	_, err := os.Stat(file)
	foreign := err == nil
	for dir := filepath.Dir(file); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if declared[dir] || declared[copySuffix.ReplaceAllString(dir, "")] {
			return true
		}
		if _, err := os.Stat(filepath.Join(dir, "package.json")); err == nil {
			foreign = true
		}
	}
	return !foreign
}

// mapURL is how a module names its source map.
var mapURL = regexp.MustCompile(`[#@][ \t]*sourceMappingURL=[ \t]*([^\s'"]+)`)

// checkMaps refuses source maps outside of the function: the bundler takes over
// what they hold.
func (a *attempt) checkMaps(files []string) error {
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		here := &url.URL{Scheme: "file", Path: file}
		for _, m := range mapURL.FindAllSubmatchIndex(src, -1) {
			named := string(src[m[2]:m[3]])
			u, err := here.Parse(named)
			if err != nil || u.Scheme != "file" {
				continue
			}
			if !a.f.Holds(function.Resolve(filepath.Clean(u.Path))) {
				return outside(a.f, filepath.Clean(u.Path), "", spotAt(file, src, m[2]))
			}
		}
	}
	return nil
}

// checkOwn refuses settings and an entrypoint that are links out of the
// function. Files above it are the project's own business.
func checkOwn(f *function.Function) error {
	for _, file := range []string{f.Entrypoint, f.Imports.File(), f.NPMRC, lockFile(f)} {
		if file != "" && within(f.Dir, file) && !f.Holds(function.Resolve(file)) {
			return outside(f, file, "", spot{file: file})
		}
	}
	return nil
}

// filePath returns the path of a file URL.
func filePath(specifier string) (string, bool) {
	u, err := url.Parse(specifier)
	if err != nil || u.Scheme != "file" || u.Path == "" {
		return "", false
	}
	return filepath.Clean(u.Path), true
}

// A spot is where in the source something is.
type spot struct {
	file         string
	line, column int
}

// outside says that a file cannot be part of the function, and which import
// asks for it.
func outside(f *function.Function, target, specifier string, at spot) *function.BootError {
	base := filepath.Dir(f.Root)
	show := func(path string) string {
		if within(base, path) {
			path, _ = filepath.Rel(base, path)
		}
		return filepath.ToSlash(path)
	}
	what := show(target)
	if real := function.Resolve(target); real != target && (within(f.Dir, target) || within(f.Root, target)) {
		what += ", a link to " + show(real)
	}
	e := &function.BootError{Slug: f.Slug, Stage: "bundle", Err: errOutside}
	switch {
	case specifier == "":
		e.Message = what + ", is no part of the function"
		if what == show(target) {
			e.Message = what + " is no part of the function"
		}
	case isPath(specifier):
		e.Message = fmt.Sprintf("the import of %q leaves the function: it is %s", specifier, what)
	default:
		e.Message = fmt.Sprintf("the import of %q leaves the function: %s has it mean %s", specifier, show(f.Imports.File()), what)
	}
	if at.line > 0 {
		e.Message += fmt.Sprintf(" (%s:%d:%d)", show(at.file), at.line, at.column)
		e.Detail = excerpt(at.file, at.line, at.column) + "\n"
	}
	e.Detail += "hint: a function is made of files in its own folder, in " + show(filepath.Join(f.Root, "_shared")) +
		" and in its workspace, and of packages; move the file to one of them. Types alone can stay where they are: import type { … }"
	return e
}

// errOutside is the cause of every refusal of a file.
var errOutside = errors.New("a file outside of the function")

// isPath reports whether a specifier is a path or a URL rather than a name
// that an import map or a workspace gives a meaning to.
func isPath(specifier string) bool {
	return strings.HasPrefix(specifier, ".") || strings.HasPrefix(specifier, "/") || strings.HasPrefix(specifier, "file:")
}

// pathLiteral finds the beginnings of literals that are paths.
var pathLiteral = regexp.MustCompile("[\"'`]((?:\\.\\.?/|/|file:)[^\"'`$\\n]*)")

// findLiteral looks for the require, or the pattern, by which the bundler came
// to a file: a literal that is the file's path, or begins it and leaves the
// function. It is for the message only.
func findLiteral(sources []string, f *function.Function, target string) (spot, string) {
	real := function.Resolve(target)
	for _, file := range sources {
		if !f.Holds(function.Resolve(file)) {
			continue
		}
		src, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for _, m := range pathLiteral.FindAllSubmatchIndex(src, -1) {
			literal := string(src[m[2]:m[3]])
			path := strings.TrimPrefix(literal, "file://")
			if !filepath.IsAbs(path) {
				path = filepath.Join(filepath.Dir(file), path)
			}
			path = function.Resolve(path)
			if path != real && (!within(path, real) || f.Holds(filepath.Join(path, "x"))) {
				continue
			}
			line := 1 + bytes.Count(src[:m[2]], []byte("\n"))
			column := 1 + len([]rune(string(src[bytes.LastIndexByte(src[:m[2]], '\n')+1:m[2]-1])))
			return spot{file, line, column}, literal
		}
	}
	return spot{}, ""
}

// openOwn opens a file that becomes part of the function as it is. That it lies
// within the function is checked on the file that was opened: a link that
// changes meanwhile is not followed.
func openOwn(f *function.Function, path string) (*os.File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	real := function.Resolve(path)
	opened, err := file.Stat()
	if err == nil {
		var there os.FileInfo
		if there, err = os.Lstat(real); err == nil && (!f.Holds(real) || !os.SameFile(opened, there)) {
			err = outside(f, path, "", spot{})
		}
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}
