package worker

import (
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// limitFiles lowers the bound on open files of a process.
func limitFiles(pid int, most uint64) {
	var now unix.Rlimit
	if unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &now) != nil {
		return // it has ended, which is seen elsewhere
	}
	most = min(most, now.Max)
	_ = unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: most, Max: most}, nil)
}

// maxRSSBytes reads a usage record; Linux counts in KiB (getrusage(2)).
func maxRSSBytes(u *syscall.Rusage) int64 { return u.Maxrss << 10 }

// preferredVictim has the kernel end the process before the supervisor where
// memory runs out: without the latter all workers would be gone.
func preferredVictim(pid int) {
	// It is a wish: some containers forbid it.
	_ = os.WriteFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", []byte("500"), 0)
}
