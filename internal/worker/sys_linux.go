package worker

import (
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// sysProcAttr puts the process in a group of its own and has the kernel end it
// when the supervisor dies, however that happens. The kernel means the thread
// that spawned it, not the process (prctl(2)); Go ends a thread only when a
// goroutine locked to it returns, which nothing here does.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// waitNoReap returns when the process has ended and leaves it to be reaped.
func waitNoReap(pid int) error {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return err
		}
	}
}

// maxRSSBytes reads a usage record; Linux counts in KiB (getrusage(2)).
func maxRSSBytes(u *syscall.Rusage) int64 { return u.Maxrss << 10 }

// preferredVictim has the kernel end the process before the supervisor where
// memory runs out: without the latter all workers would be gone.
func preferredVictim(pid int) {
	// It is a wish: some containers forbid it.
	_ = os.WriteFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", []byte("500"), 0)
}
