package worker

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/selvedge-dev/selvedge/internal/confine"
)

// deletedFiles returns how many bytes are in files that the process has open
// and that have no name any more. It is 0 where the system does not let us
// look.
func (w *Worker) deletedFiles() (total int64) {
	confine.SeeAs(w.user, func() { total = w.sumDeleted() })
	return total
}

func (w *Worker) sumDeleted() int64 {
	dir := "/proc/" + strconv.Itoa(w.cmd.Process.Pid) + "/fd"
	f, err := os.Open(dir)
	if err != nil {
		return 0
	}
	defer f.Close()
	names, _ := f.Readdirnames(-1)
	var total int64
	for _, name := range names {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink == 0 {
			total += allocated(info)
		}
	}
	return total
}
