package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/function"
)

// links maps the paths that Deno reports, in which some links are resolved,
// back to those of the project.
type links struct{ base, realBase, dir, realDir string }

func newLinks(f *function.Function) (links, error) {
	l := links{base: filepath.Dir(f.Root), dir: f.Dir}
	var err error
	if l.realBase, err = filepath.EvalSymlinks(l.base); err != nil {
		return l, err
	}
	l.realDir, err = filepath.EvalSymlinks(f.Dir)
	return l, err
}

func (l links) project(path string) string {
	for _, m := range [...]struct{ from, to string }{{l.base, l.base}, {l.dir, l.dir}, {l.realBase, l.base}, {l.realDir, l.dir}} {
		if within(m.from, path) {
			rel, err := filepath.Rel(m.from, path)
			if err == nil {
				return filepath.Join(m.to, rel)
			}
		}
	}
	return path
}

// sources are the files that a source map names. Where a module came with a
// source map of its own, the bundler follows that one and names what it names,
// files of other machines among them.
type sources struct {
	local  []string // absolute paths of files that are there
	cached []string // absolute paths in the package cache
	// read has the SHA-256 of what the bundler read of them, where the map
	// holds it.
	read     map[string]string
	packages bool // npm packages are among the others
}

// finishModule rewrites the module and its source map: leftover imports of
// types go, and sources are named as they lie in the project, which makes
// stack traces short and the bundle the same on every machine.
func (a *attempt) finishModule(module string) (sources, error) {
	found := sources{read: map[string]string{}}
	links, err := newLinks(a.f)
	if err != nil {
		return found, err
	}
	cache, err := filepath.EvalSymlinks(PackageCache(a.opts.DataDir))
	if err != nil {
		return found, err
	}
	code, err := os.ReadFile(module)
	if err != nil {
		return found, err
	}
	if err := os.WriteFile(module, provideRequire(restoreColumns(answerMetaMain(blankTypeOnly(code)))), 0o644); err != nil {
		return found, err
	}
	raw, err := os.ReadFile(module + ".map")
	if err != nil {
		return found, err
	}
	var m map[string]json.RawMessage
	var names []string
	var contents []*string
	if err := errors.Join(json.Unmarshal(raw, &m), json.Unmarshal(m["sources"], &names), json.Unmarshal(m["sourcesContent"], &contents)); err != nil {
		return found, fmt.Errorf("read source map: %w", err)
	}
	folder := filepath.Dir(module)
	for i, name := range names {
		if strings.Contains(name, "://") {
			continue
		}
		abs := sourcePath(folder, name)
		if abs == a.main && a.main != a.f.Entrypoint {
			names[i] = "main.js"
			continue
		}
		abs = links.project(abs)
		virtual := ""
		switch {
		case within(filepath.Join(cache, deno.NPMDir), abs):
			found.packages = true
			found.cached = append(found.cached, abs)
			rel, _ := filepath.Rel(filepath.Join(cache, deno.NPMDir), abs)
			virtual = "npm/" + filepath.ToSlash(rel)
			if i < len(contents) {
				contents[i] = nil // nobody debugs it here, and it is most of the map
			}
		case within(cache, abs):
			found.cached = append(found.cached, abs)
			rel, _ := filepath.Rel(cache, abs)
			virtual = "cache/" + filepath.ToSlash(rel)
		case within(a.base, abs):
			found.addLocal(abs)
			rel, _ := filepath.Rel(a.base, abs)
			virtual = filepath.ToSlash(rel)
		default: // of the workspace
			found.addLocal(abs)
			virtual = "outside/" + filepath.Base(abs)
		}
		if i < len(contents) && contents[i] != nil && !within(cache, abs) {
			sum := sha256.Sum256([]byte(*contents[i]))
			found.read[abs] = hex.EncodeToString(sum[:])
		}
		inTree, _ := filepath.Rel(a.tree, folder)
		names[i] = relativeSlash(filepath.ToSlash(inTree), virtual)
	}
	if m["sources"], err = json.Marshal(names); err != nil {
		return found, err
	}
	if m["sourcesContent"], err = json.Marshal(contents); err != nil {
		return found, err
	}
	if raw, err = json.Marshal(m); err != nil {
		return found, err
	}
	return found, os.WriteFile(module+".map", raw, 0o644)
}

func (s *sources) addLocal(file string) {
	if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
		s.local = append(s.local, file)
	}
}

// sourcePath is the file that a source map's name means. Names are escaped as
// in a URL, spaces excepted.
func sourcePath(folder, name string) string {
	plain, err := url.PathUnescape(name)
	if err != nil {
		plain = name
	}
	path := filepath.Join(folder, filepath.FromSlash(plain))
	if _, err := os.Lstat(path); err != nil && plain != name {
		return filepath.Join(folder, filepath.FromSlash(name))
	}
	return path
}

// relativeSlash is the slash path from folder to target, both relative to the
// same root.
func relativeSlash(folder, target string) string {
	rel, err := filepath.Rel(filepath.FromSlash(folder), filepath.FromSlash(target))
	if err != nil {
		return target
	}
	return path.Clean(filepath.ToSlash(rel))
}
