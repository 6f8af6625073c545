package worker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

const runDirPattern = "selvedge-"

// A RunDir is the private folder of one server's workers. It lies in the
// system's temporary folder because a unix socket's path must be short.
type RunDir struct {
	Path string
	lock *os.File
}

// OpenRunDir makes a folder and removes those that servers which were killed
// have left behind: theirs are the ones whose lock nobody holds.
func OpenRunDir() (*RunDir, error) {
	parent := os.TempDir()
	removeAbandoned(parent)
	path, err := os.MkdirTemp(parent, runDirPattern)
	if err != nil {
		return nil, fmt.Errorf("make the folder of the workers: %w; set TMPDIR to a writable folder", err)
	}
	// It is locked before it has its name: a lock file that nobody holds is
	// what others take for abandoned.
	unnamed := filepath.Join(path, "lock.new")
	lock, err := os.OpenFile(unnamed, os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err == nil {
		err = os.Rename(unnamed, filepath.Join(path, "lock"))
	}
	if err != nil {
		if lock != nil {
			lock.Close()
		}
		os.RemoveAll(path)
		return nil, fmt.Errorf("lock the folder of the workers: %w", err)
	}
	return &RunDir{Path: path, lock: lock}, nil
}

// RunDirs returns the folders of servers below the system's temporary folder,
// whether these run or not, and whoever's they are.
func RunDirs() []string {
	all, _ := filepath.Glob(filepath.Join(os.TempDir(), runDirPattern+"*")) // the pattern is well-formed
	return all
}

// Close removes the folder. All workers must have ended.
func (d *RunDir) Close() error {
	return errors.Join(os.RemoveAll(d.Path), d.lock.Close())
}

func removeAbandoned(parent string) {
	found, _ := filepath.Glob(filepath.Join(parent, runDirPattern+"*", "lock"))
	for _, name := range found {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			continue // another user's
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			os.RemoveAll(filepath.Dir(name))
		}
		f.Close()
	}
}
