package watch

import (
	"path"
	"strings"
)

// ignoredNames are patterns of names that are never anybody's source: what
// version control and package managers keep, and what editors write on the way
// to a save.
var ignoredNames = []string{
	".git",
	"node_modules",
	"*~",               // backups of vim, emacs and others
	".*.sw?",           // vim's swap files
	"4913",             // vim's test whether it may create files
	".#*",              // emacs' locks
	"*.tmp",            // the first half of write-and-rename
	"*___jb_*",         // JetBrains' safe write
	"..[^.]*",          // the versions behind a mounted ConfigMap, see below
	".goutputstream-*", // GLib's write-and-rename
}

// ignored reports whether a name below a root is passed over.
//
// A Kubernetes volume holds its files as links through ..data, itself a link
// to a folder named after the time. The links are followed and so the files
// are seen; naming each file three times would help nobody.
func ignored(name string) bool {
	for _, pattern := range ignoredNames {
		if !strings.ContainsAny(pattern, "*?[") {
			if name == pattern {
				return true
			}
			continue
		}
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
	}
	return false
}
