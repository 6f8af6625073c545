package function

import (
	"path/filepath"
	"slices"
	"strings"
)

// Holds reports whether a file may become part of the function. The path is
// one with symbolic links resolved.
//
// A function is made of files of its own folder, of the shared folders (_*)
// beside it, and of its workspace. What the functions folder holds besides,
// other functions and the variables in .env, is never part of it, even where
// the function's folder is the functions folder itself.
func (f *Function) Holds(real string) bool {
	if strings.HasPrefix(f.firstBelowRoot(real), "_") {
		return true
	}
	for _, dir := range f.Within {
		if _, ok := inside(dir, real); !ok {
			continue
		}
		if _, around := inside(dir, f.RealRoot); !around || f.loose(real) {
			return true
		}
	}
	return false
}

// loose reports whether a file of a folder that has the functions folder in it
// is neither another function's nor holds variables.
func (f *Function) loose(real string) bool {
	rel, ok := inside(f.RealRoot, real)
	return (!ok || !strings.ContainsRune(rel, filepath.Separator)) && !strings.HasPrefix(filepath.Base(real), ".env")
}

// firstBelowRoot returns the folder of the functions folder that a file lies
// in, "" for none.
func (f *Function) firstBelowRoot(real string) string {
	rel, ok := inside(f.RealRoot, real)
	if !ok {
		return ""
	}
	first, _, deeper := strings.Cut(rel, string(filepath.Separator))
	if !deeper {
		return ""
	}
	return first
}

// within fills in the folders of Function.Within: the function's own, shared
// ones that are links to elsewhere, and those of the workspace. Who writes in
// the functions folder itself, or above it, decides about these; whoever writes
// in one function's folder cannot add to them.
func (d *discovery) within(f *Function) {
	f.Within = append([]string{f.RealDir}, d.linkedShared...)
	if file := f.Imports.File(); file != "" {
		w := d.workspace(filepath.Dir(file))
		f.Within, f.Configs = append(f.Within, w.members...), w.configs
	}
}

// dropFunctions takes other functions' folders out of each function's: members
// of a workspace are shared, functions are not, whether they run or not.
func (d *discovery) dropFunctions() {
	var taken []string
	for _, f := range d.functions {
		taken = append(taken, f.RealDir)
	}
	for slug := range d.problems {
		taken = append(taken, filepath.Join(d.realRoot, slug))
	}
	for _, slug := range d.disabled {
		taken = append(taken, filepath.Join(d.realRoot, slug))
	}
	functions := map[string]bool{}
	for _, f := range d.functions {
		own := f.Within[:1]
		for _, dir := range f.Within[1:] {
			isFunction, known := functions[dir]
			if !known {
				isFunction = slices.ContainsFunc(taken, func(other string) bool { return d.overlap(dir, other) })
				functions[dir] = isFunction
			}
			if !isFunction {
				own = append(own, dir)
			}
		}
		f.Within = own
	}
}

// overlap reports whether a folder holds a function's folder, or lies in it. A
// function whose folder is the functions folder, or above it, takes none.
func (d *discovery) overlap(dir, function string) bool {
	if _, ok := inside(dir, function); ok {
		return true
	}
	if _, around := inside(function, d.realRoot); around {
		return false
	}
	_, ok := inside(function, dir)
	return ok
}

// Resolve returns a path with symbolic links resolved, as far as it exists.
func Resolve(path string) string {
	rest := ""
	for at := path; ; at = filepath.Dir(at) {
		if real, err := filepath.EvalSymlinks(at); err == nil {
			return filepath.Join(real, rest)
		}
		if at == filepath.Dir(at) {
			return path
		}
		rest = filepath.Join(filepath.Base(at), rest)
	}
}

// strays returns a problem if a file that the function is run with is a link
// to one that cannot be part of it. Files above the function's folder, and
// those that config.toml names, are the project's own business.
func (d *discovery) strays(f *Function, dir folder) *Problem {
	files := []string{f.Entrypoint, f.Imports.File(), f.NPMRC}
	if f.Dir != d.Root {
		files = append(files, filepath.Join(f.Dir, ".env"))
	}
	for _, file := range files {
		if _, own := inside(f.Dir, file); file == "" || !own || filepath.Dir(file) == dir.path && !dir.hasLink(filepath.Base(file)) {
			continue
		}
		if real := Resolve(file); !f.Holds(real) {
			return &Problem{Slug: f.Slug, Where: d.show(file), What: "it is a link to " + d.show(real) + ", which is no part of the function", Hint: outsideHint}
		}
	}
	return nil
}

// outsideHint is what to do about a file that is no part of a function.
const outsideHint = "move the file into the function's folder or to _shared"

// An outsideError is a file that a function cannot be made of.
type outsideError struct{ what string }

func (e *outsideError) Error() string { return e.what }
