//go:build !linux

package worker

import "syscall"

// sysProcAttr puts the process in a group of its own. Where the kernel has no
// parent-death signal the bootstrap ends itself when the control channel
// closes.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// waitNoReap has no portable form; the process is reaped right after.
func waitNoReap(int) error { return nil }

// maxRSSBytes reads a usage record; macOS counts in bytes (getrusage(2)).
func maxRSSBytes(u *syscall.Rusage) int64 { return int64(u.Maxrss) }

func preferredVictim(int) {}
