package watch

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// tree is how everything below the roots was at one look, and which real
// folders have to be watched for it.
type tree struct {
	// entries maps each path, spelled as its root is, to what was found there
	// at the end of all links.
	entries map[string]fs.FileInfo
	// dirs maps each watched folder, by its real path, to what it means.
	dirs map[string]*dir
	// cropped says that maxEntries was reached.
	cropped bool
}

// dir is a real folder that is watched.
type dir struct {
	// info identifies the folder: another may come to lie at its path.
	info fs.FileInfo
	// logical are the paths by which the roots reach the folder. It is empty
	// for a folder that is only on the way to one.
	logical []string
	// names are the entries of the folder that paths lead through (a link, a
	// file a link points to, a part of a root's own path), with these paths.
	names map[string][]string
}

// logical translates the path of an event to the paths that the roots have for
// it. known is false when the event's folder is not watched.
func (t tree) logical(name string) (paths []string, known bool) {
	d, ok := t.dirs[filepath.Dir(name)]
	if !ok {
		// It may be about a watched folder itself; either way it is news.
		return nil, false
	}
	base := filepath.Base(name)
	paths = slices.Clone(d.names[base])
	if !ignored(base) {
		for _, l := range d.logical {
			paths = append(paths, filepath.Join(l, base))
		}
	}
	return paths, true
}

// diff returns the paths that differ between two looks.
func (t tree) diff(old tree) []string {
	var paths []string
	for p, info := range t.entries {
		before, ok := old.entries[p]
		if !ok || differ(before, info) {
			paths = append(paths, p)
		}
	}
	for p := range old.entries {
		if _, ok := t.entries[p]; !ok {
			paths = append(paths, p)
		}
	}
	return paths
}

// differ leaves mode bits out, so a chmod is no change, and a folder's time,
// which every change inside moves.
func differ(a, b fs.FileInfo) bool {
	if a.Mode().Type() != b.Mode().Type() || !os.SameFile(a, b) {
		return true
	}
	return !a.IsDir() && (a.Size() != b.Size() || !a.ModTime().Equal(b.ModTime()))
}

// release unwatches the folders that are no longer at their paths. The kernel
// watches folders, not paths: a folder that was moved would go on telling
// under its old name, and a watch asked for at its new one would be the same
// watch.
func (t tree) release(k kernel) {
	if k == nil {
		return
	}
	for path, d := range t.dirs {
		if info, err := os.Lstat(path); err != nil || !os.SameFile(info, d.info) {
			// The kernel may have dropped it already.
			_ = k.Remove(path)
		}
	}
}

// releaseUnused unwatches the folders of old that t does not need.
func (t tree) releaseUnused(old tree, k kernel) {
	if k == nil {
		return
	}
	for path := range old.dirs {
		if _, ok := t.dirs[path]; !ok {
			_ = k.Remove(path)
		}
	}
}
