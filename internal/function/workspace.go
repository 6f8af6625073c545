package function

import (
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// A workspace is what a package is a member of.
type workspace struct {
	members []string // folders, with links resolved
	configs []string // the files that declare it and its members
}

// configNames are the files that declare a package or a workspace.
var configNames = []string{"deno.json", "deno.jsonc", "package.json"}

// workspace returns the workspace that the package in dir is a member of: the
// nearest one declared above it, up to the project's folder. One that dir
// itself declares has its members inside and adds nothing.
func (d *discovery) workspace(dir string) workspace {
	if found, ok := d.workspaces[dir]; ok {
		return found
	}
	var found workspace
	for at := dir; at != filepath.Dir(at) && at != d.Project; {
		at = filepath.Dir(at)
		if _, ok := inside(d.Project, at); !ok {
			break
		}
		members := readMembers(at)
		if slices.Contains(members, dir) {
			for _, member := range members {
				found.members = append(found.members, Resolve(member))
			}
			for _, at := range append(members, at) {
				for _, name := range configNames {
					if file := filepath.Join(at, name); isFile(file) {
						found.configs = append(found.configs, file)
					}
				}
			}
			break
		}
	}
	d.workspaces[dir] = found
	return found
}

// readMembers returns the members' folders of the workspace that a folder
// declares, in deno.json or package.json, nil for none.
func readMembers(dir string) []string {
	var patterns []string
	for _, name := range configNames {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		var config struct{ Workspace, Workspaces memberList }
		// What cannot be read declares nothing; Deno says so when it builds.
		if json.Unmarshal(plainJSON(raw), &config) == nil {
			patterns = append(patterns, slices.Concat(config.Workspace, config.Workspaces)...)
		}
	}
	var members []string
	for _, pattern := range patterns {
		pattern, not := strings.CutPrefix(pattern, "!")
		pattern = path.Clean(filepath.ToSlash(pattern))
		if path.IsAbs(pattern) || pattern == ".." || strings.HasPrefix(pattern, "../") {
			continue // members lie below, or Deno refuses the workspace
		}
		matches, err := doublestar.Glob(os.DirFS(dir), pattern)
		if err != nil {
			continue
		}
		for _, match := range matches {
			member := filepath.Join(dir, filepath.FromSlash(match))
			switch {
			case not:
				members = slices.DeleteFunc(members, func(m string) bool { return m == member })
			case member != dir:
				members = append(members, member)
			}
		}
	}
	return members
}

// A memberList is a list of patterns, or an object with one: deno.json allows
// {"members": […]}, package.json {"packages": […]}.
type memberList []string

// UnmarshalJSON takes both forms.
func (l *memberList) UnmarshalJSON(raw []byte) error {
	var list []string
	if json.Unmarshal(raw, &list) == nil {
		*l = list
		return nil
	}
	var object struct{ Members, Packages []string }
	if err := json.Unmarshal(raw, &object); err != nil {
		return err
	}
	*l = slices.Concat(object.Members, object.Packages)
	return nil
}

// plainJSON blanks the comments and the trailing commas of JSONC.
func plainJSON(src []byte) []byte {
	out := slices.Clone(src)
	comma := -1 // a comma that only blanks have followed
	for i := 0; i < len(out); i++ {
		switch c := out[i]; {
		case c == '"':
			comma = -1
			for i++; i < len(out) && out[i] != '"'; i++ {
				if out[i] == '\\' {
					i++
				}
			}
		case c == '/' && i+1 < len(out) && out[i+1] == '/':
			for ; i < len(out) && out[i] != '\n'; i++ {
				out[i] = ' '
			}
		case c == '/' && i+1 < len(out) && out[i+1] == '*':
			out[i], out[i+1] = ' ', ' '
			for i += 2; i < len(out); i++ {
				last := out[i] == '*' && i+1 < len(out) && out[i+1] == '/'
				out[i] = ' '
				if last {
					i++
					out[i] = ' '
					break
				}
			}
		case c == ',':
			comma = i
		case c == '}' || c == ']':
			if comma >= 0 {
				out[comma] = ' '
			}
			comma = -1
		case c != ' ' && c != '\t' && c != '\n' && c != '\r':
			comma = -1
		}
	}
	return out
}
