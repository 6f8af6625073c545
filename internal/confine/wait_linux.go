package confine

import (
	"os"

	"golang.org/x/sys/unix"
)

// openHandle returns what tells Go's poller of the end of a process, nil where
// the system has no such thing (Linux before 5.10, some sandboxes).
func openHandle(pid int) *os.File {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil
	}
	return os.NewFile(uintptr(fd), "pidfd")
}

// waitNoReap returns when the process has ended and leaves it to be reaped. It
// closes the handle.
//
// A system call that waits keeps Go's processor until the runtime's monitor
// takes it away, which looks every 10 ms where little happens. Where Go has one
// processor, each start of a worker stopped all requests for so long.
func waitNoReap(pid int, handle *os.File) {
	if handle != nil {
		defer handle.Close()
		if conn, err := handle.SyscallConn(); err == nil {
			ended := func(uintptr) bool { return waitid(pid, unix.WNOHANG) }
			if conn.Read(ended) == nil {
				return
			}
		}
	}
	waitid(pid, 0)
}

// waitid reports whether the process has ended, or is not there at all.
func waitid(pid, options int) bool {
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT|options, nil)
		if err != unix.EINTR {
			return err != nil || info.Signo != 0
		}
	}
}
