package worker

import (
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// entryBytes is what a file takes at least: a block, and its name and inode.
const entryBytes = 4 << 10

// Files returns how many bytes the worker's files take, those that it deleted
// and holds open included where the system tells, and how long it took to count
// them. It stops counting at enough.
func (w *Worker) Files(enough int64) (total int64, took time.Duration) {
	t := w.host.beginChore()
	total = w.deletedFiles(t)
	dirs := []string{w.dir}
	for len(dirs) > 0 && total < enough {
		dir := dirs[len(dirs)-1]
		dirs = dirs[:len(dirs)-1]
		// It may be another thing by now than it was.
		f, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
		if err != nil {
			continue // it is gone already
		}
		for total < enough {
			entries, err := f.ReadDir(namesAtOnce)
			for _, e := range entries {
				if total += entryBytes; e.IsDir() {
					dirs = append(dirs, filepath.Join(dir, e.Name()))
				} else if info, err := e.Info(); err == nil {
					total += max(0, allocated(info)-entryBytes)
				}
				t.step()
			}
			if err != nil {
				break
			}
		}
		f.Close()
	}
	return total, t.end()
}

// allocated is what a file takes on disk: a sparse one takes less than its
// size.
func allocated(info os.FileInfo) int64 {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return info.Size()
	}
	return int64(st.Blocks) * 512
}
