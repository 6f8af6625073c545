package watch

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

const (
	// maxEntries bounds a tree, for the day somebody links to their home.
	maxEntries = 50_000
	// maxLinks bounds the links in one path, as the kernel itself does.
	maxLinks = 40
)

// watchAncestors says whether every folder on the way to a root is watched,
// which notices that one of them was replaced. Where a watch on a folder means
// an open file for each of its entries, that would be too dear for a home
// folder or the root of the file system.
const watchAncestors = runtime.GOOS == "linux"

// scanner looks at the tree once.
type scanner struct {
	kernel  kernel // nil when only looking
	tree    tree
	problem error // the first reason why a folder could not be watched
}

// scan looks at everything below the roots and has the kernel watch every
// folder that matters. Each folder is watched before it is read: what is
// created in between is then both read and told, and never missed. problem is
// why the kernel cannot be relied on, nil when it can.
func scan(roots []string, k kernel) (t tree, problem error) {
	s := &scanner{
		kernel: k,
		tree:   tree{entries: map[string]fs.FileInfo{}, dirs: map[string]*dir{}},
	}
	for _, root := range roots {
		top := filepath.VolumeName(root) + string(filepath.Separator)
		if root == top {
			if info, err := os.Lstat(root); err == nil {
				s.visit(root, root, info, nil)
			}
			continue
		}
		real, info, ok := s.resolve(top, strings.TrimPrefix(root, top), root)
		if ok {
			s.visit(root, real, info, nil)
		}
	}
	return s.tree, s.problem
}

// visit records what lies at a path and everything below. real is the path
// without links; above are the folders it was reached through.
func (s *scanner) visit(logical, real string, info fs.FileInfo, above []fs.FileInfo) {
	if len(s.tree.entries) >= maxEntries {
		s.tree.cropped = true
		return
	}
	s.tree.entries[logical] = info
	if !info.IsDir() {
		return
	}
	for _, a := range above {
		if os.SameFile(a, info) {
			return // a link back up
		}
	}
	above = append(above, info)

	d := s.watch(real)
	d.logical = append(d.logical, logical)
	list, err := os.ReadDir(real)
	if err != nil {
		return // gone, or nobody may look inside
	}
	for _, e := range list {
		name := e.Name()
		if ignored(name) {
			continue
		}
		path := filepath.Join(logical, name)
		info, err := e.Info()
		if err != nil {
			continue
		}
		if info.Mode().Type() != fs.ModeSymlink {
			s.visit(path, filepath.Join(real, name), info, above)
			continue
		}
		target, targetInfo, ok := s.resolve(real, name, path)
		if !ok {
			s.tree.entries[path] = info // dangling, or a ring
			continue
		}
		s.visit(path, target, targetInfo, above)
	}
}

// resolve follows path, relative to the real folder from, through all links.
// Every folder it passes in which something could lead elsewhere is watched on
// behalf of logical. ok is false when the path leads nowhere yet; the folder
// in which its next part would appear is then watched.
func (s *scanner) resolve(from, path, logical string) (real string, info fs.FileInfo, ok bool) {
	const sep = string(filepath.Separator)
	real = from
	parts := strings.Split(path, sep)
	links := 0
	for len(parts) > 0 {
		name := parts[0]
		parts = parts[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			real = filepath.Dir(real)
			continue
		}
		next := filepath.Join(real, name)
		if watchAncestors || len(parts) == 0 || !isDir(next) {
			d := s.watch(real)
			d.names[name] = append(d.names[name], logical)
		}
		var err error
		if info, err = os.Lstat(next); err != nil {
			return "", nil, false
		}
		if info.Mode().Type() != fs.ModeSymlink {
			real = next
			continue
		}
		if links++; links > maxLinks {
			return "", nil, false
		}
		target, err := os.Readlink(next)
		if err != nil {
			return "", nil, false
		}
		if filepath.IsAbs(target) {
			real = filepath.VolumeName(target) + sep
			target = strings.TrimPrefix(target, real)
		}
		parts = append(strings.Split(target, sep), parts...)
	}
	// The path may have ended in "..", after which info is not of real.
	info, err := os.Lstat(real)
	return real, info, err == nil
}

// watch has the kernel watch a real folder, once a scan.
func (s *scanner) watch(path string) *dir {
	if d, ok := s.tree.dirs[path]; ok {
		return d
	}
	d := &dir{names: map[string][]string{}}
	d.info, _ = os.Lstat(path)
	s.tree.dirs[path] = d
	if s.kernel == nil {
		return d
	}
	// Also where it is watched already: the kernel forgets a folder that was
	// removed or moved, and may not have said so yet.
	if err := s.kernel.Add(path); err != nil && !harmless(err) && s.problem == nil {
		s.problem = err
	}
	return d
}

// isDir reports whether path is a folder and not a link to one.
func isDir(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}
