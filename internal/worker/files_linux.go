package worker

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/selvedge-dev/selvedge/internal/confine"
)

// deletedFiles returns how many bytes are in files that the process has open
// and that have no name any more. It is 0 where the system does not let us
// look.
func (w *Worker) deletedFiles(t *turn) (total int64) {
	confine.SeeAs(w.user, func() { total = w.sumDeleted(t) })
	return total
}

func (w *Worker) sumDeleted(t *turn) (total int64) {
	f, err := os.Open("/proc/" + strconv.Itoa(w.cmd.Process.Pid) + "/fd")
	if err != nil {
		return 0
	}
	defer f.Close()
	for {
		names, err := f.Readdirnames(namesAtOnce)
		for _, name := range names {
			var st unix.Stat_t
			if unix.Fstatat(int(f.Fd()), name, &st, 0) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Nlink == 0 {
				total += st.Blocks * 512
			}
			t.step()
		}
		if err != nil {
			return total
		}
	}
}
