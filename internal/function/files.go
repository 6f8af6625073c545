package function

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// A folder is a directory's path and what it held when it was read: one
// reading instead of a dozen questions keeps a thousand functions fast.
type folder struct {
	path    string
	entries []fs.DirEntry // sorted by name, as os.ReadDir returns them
}

// hasFile reports whether the folder has a file of that name, or a symbolic
// link to one.
func (f folder) hasFile(name string) bool {
	entry := f.entry(name)
	if entry == nil {
		return false
	}
	if entry.Type()&fs.ModeSymlink != 0 {
		return isFile(filepath.Join(f.path, name))
	}
	return entry.Type().IsRegular()
}

// hasLink reports whether the folder has a symbolic link of that name.
func (f folder) hasLink(name string) bool {
	entry := f.entry(name)
	return entry != nil && entry.Type()&fs.ModeSymlink != 0
}

// entry returns what the folder has of that name, nil for nothing.
func (f folder) entry(name string) fs.DirEntry {
	i, ok := slices.BinarySearchFunc(f.entries, name, func(e fs.DirEntry, name string) int {
		return strings.Compare(e.Name(), name)
	})
	if !ok {
		return nil
	}
	return f.entries[i]
}

// firstFile returns the first of names that the folder has, "" for none.
func (f folder) firstFile(names ...string) string {
	for _, name := range names {
		if f.hasFile(name) {
			return name
		}
	}
	return ""
}

// firstScript returns the first file that Deno could run, "" for none.
func (f folder) firstScript() string {
	for _, entry := range f.entries {
		switch filepath.Ext(entry.Name()) {
		case ".ts", ".tsx", ".js", ".mjs", ".jsx":
			if !strings.HasSuffix(entry.Name(), ".d.ts") && f.hasFile(entry.Name()) {
				return entry.Name()
			}
		}
	}
	return ""
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// imports finds the file that resolves the function's bare specifiers: the
// first that exists of config.toml's import_map, deno.json, deno.jsonc and
// import_map.json beside the entrypoint, and the functions folder's
// import_map.json; after all of those, package.json.
func (d *discovery) imports(f *Function, dir folder, override Override) Imports {
	if override.ImportMap != "" {
		file := d.abs(override.ImportMap)
		if isFile(file) {
			return importsFile(file)
		}
		d.warn("%s: the import_map %s of function %s is not there; Selvedge looks for deno.json and the others instead", override.where("import_map"), d.show(file), f.Slug)
	}
	// An entrypoint deeper in the function's folder is under the settings of
	// every folder on the way, the nearest first.
	folders := []folder{dir}
	for up := filepath.Dir(f.Entrypoint); up != dir.path && len(up) > len(dir.path); up = filepath.Dir(up) {
		entries, _ := os.ReadDir(up)
		folders = slices.Insert(folders, len(folders)-1, folder{up, entries})
	}
	for _, at := range folders {
		if name := at.firstFile("deno.json", "deno.jsonc", "import_map.json"); name != "" {
			return importsFile(filepath.Join(at.path, name))
		}
	}
	if d.sharedImportMap != "" {
		return importsFile(d.sharedImportMap)
	}
	for _, at := range folders {
		if at.hasFile("package.json") {
			return importsFile(filepath.Join(at.path, "package.json"))
		}
	}
	return Imports{}
}

// importsFile sorts a file by its name, as the Supabase CLI does.
func importsFile(file string) Imports {
	switch filepath.Base(file) {
	case "deno.json", "deno.jsonc":
		return Imports{DenoConfig: file}
	case "package.json":
		return Imports{PackageJSON: file}
	}
	return Imports{ImportMap: file}
}

// npmrc returns the nearest .npmrc from the function's folder up to the
// project's. A function from outside the project has only its own.
func (d *discovery) npmrc(dir folder) string {
	if dir.hasFile(".npmrc") {
		return filepath.Join(dir.path, ".npmrc")
	}
	if _, ok := inside(d.Project, dir.path); !ok || dir.path == d.Project {
		return ""
	}
	return d.npmrcFrom(filepath.Dir(dir.path))
}

func (d *discovery) npmrcFrom(dir string) string {
	if found, ok := d.npmrcs[dir]; ok {
		return found
	}
	found := ""
	if file := filepath.Join(dir, ".npmrc"); isFile(file) {
		found = file
	} else if dir != d.Project && dir != filepath.Dir(dir) {
		found = d.npmrcFrom(filepath.Dir(dir))
	}
	d.npmrcs[dir] = found
	return found
}

// static returns the files that the override's patterns match, sorted.
func (d *discovery) static(f *Function, override Override) ([]string, error) {
	var files []string
	for _, pattern := range override.StaticFiles {
		if strings.TrimSpace(pattern) == "" {
			return nil, fmt.Errorf("static_files holds an empty pattern")
		}
		if !doublestar.ValidatePattern(filepath.ToSlash(pattern)) {
			return nil, fmt.Errorf("the static_files pattern %q is malformed", pattern)
		}
		base, rest := d.splitPattern(filepath.ToSlash(pattern))
		matches, err := doublestar.Glob(os.DirFS(base), rest, doublestar.WithFilesOnly())
		if err != nil {
			return nil, fmt.Errorf("the static_files pattern %q: %w", pattern, err)
		}
		if len(matches) == 0 {
			d.warn("%s: the static_files pattern %q matches no file", override.where("static_files"), pattern)
		}
		for _, match := range matches {
			file := filepath.Join(base, filepath.FromSlash(match))
			if real := Resolve(file); !f.Holds(real) {
				return nil, &outsideError{fmt.Sprintf("static_files names %s, which is no part of the function", d.showLink(file, real))}
			}
			files = append(files, file)
		}
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

func staticHint(err error) string {
	var outside *outsideError
	if errors.As(err, &outside) {
		return outsideHint
	}
	return "see the patterns of gitignore: * within a folder, ** across folders"
}

// showLink names a file, and what it leads to if it is a link.
func (d *discovery) showLink(file, real string) string {
	if lexical, err := filepath.Rel(d.Root, file); err == nil && filepath.Join(d.realRoot, lexical) == real {
		return d.show(file)
	}
	return d.show(file) + " (a link to " + d.show(real) + ")"
}

// splitPattern returns the folder a pattern starts from and the rest of it. The
// folder is kept out of the pattern, since its own name may hold characters
// that patterns give a meaning to.
func (d *discovery) splitPattern(pattern string) (base, rest string) {
	base, rest = d.Base, pattern
	if path.IsAbs(pattern) {
		base, rest = "/", strings.TrimLeft(pattern, "/")
	}
	rest = path.Clean(rest)
	for rest == ".." || strings.HasPrefix(rest, "../") {
		base, rest = filepath.Dir(base), strings.TrimPrefix(strings.TrimPrefix(rest, ".."), "/")
	}
	if rest == "" {
		rest = "."
	}
	return base, rest
}
