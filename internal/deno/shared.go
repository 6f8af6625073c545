package deno

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// databases are the files of a DENO_DIR that all of its processes write. SQLite
// gives what it keeps beside them the same mode.
var databases = []string{CodeCache, "dep_analysis_cache_v2", "node_analysis_cache_v2"}

// ShareCacheDir lets processes of several users, all of them in the group, use a
// DENO_DIR together. With group 0 it takes the files back that such processes
// have left, for those of the server's own user.
//
// It touches nothing but regular files that have one name: what a process in the
// group has put there may lead elsewhere.
func ShareCacheDir(dir string, group uint32) error {
	user := os.Geteuid()
	if user != 0 {
		return nil // it has nobody else's processes
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("share the cache: %w", err)
	}
	var names []string
	for _, e := range entries {
		// A log or an index of a database, or one that is there already.
		if name, _, _ := strings.Cut(e.Name(), "-"); slices.Contains(databases, name) {
			names = append(names, e.Name())
		}
	}
	mode, flags := fs.FileMode(0o755), os.O_RDWR
	if group != 0 {
		mode, flags = 0o770|fs.ModeSetgid, os.O_RDWR|os.O_CREATE
		for _, name := range databases {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	err = shareDir(dir, int(group), mode)
	for _, name := range names {
		err = errors.Join(err, shareFile(filepath.Join(dir, name), flags, int(group)))
	}
	if errors.Is(err, syscall.EROFS) {
		return nil // nobody writes to it
	}
	if err != nil {
		return fmt.Errorf("share the cache: %w", err)
	}
	return nil
}

func shareDir(dir string, group int, mode fs.FileMode) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	const rights = fs.ModePerm | fs.ModeSetgid
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) == os.Geteuid() && int(st.Gid) == group && info.Mode()&rights == mode {
		return nil
	}
	return errors.Join(os.Lchown(dir, os.Geteuid(), group), os.Chmod(dir, mode)) // in this order, or the mode is lost
}

func shareFile(path string, flags int, group int) error {
	f, err := os.OpenFile(path, flags|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o660)
	if errors.Is(err, syscall.ELOOP) || errors.Is(err, fs.ErrNotExist) {
		return nil // it is no database, or was removed just now
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	mode := fs.FileMode(0o644)
	if group != 0 {
		mode = 0o660
	}
	if !ok || !info.Mode().IsRegular() || st.Nlink != 1 {
		return nil
	}
	if int(st.Uid) == os.Geteuid() && int(st.Gid) == group && info.Mode().Perm() == mode {
		return nil
	}
	return errors.Join(f.Chown(os.Geteuid(), group), f.Chmod(mode))
}
