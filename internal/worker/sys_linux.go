package worker

import (
	"os"
	"strconv"
	"syscall"
)

// maxRSSBytes reads a usage record; Linux counts in KiB (getrusage(2)).
func maxRSSBytes(u *syscall.Rusage) int64 { return u.Maxrss << 10 }

// preferredVictim has the kernel end the process before the supervisor where
// memory runs out: without the latter all workers would be gone.
func preferredVictim(pid int) {
	// It is a wish: some containers forbid it.
	_ = os.WriteFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", []byte("500"), 0)
}
