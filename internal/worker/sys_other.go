//go:build !linux

package worker

import "syscall"

// maxRSSBytes reads a usage record; macOS counts in bytes (getrusage(2)).
func maxRSSBytes(u *syscall.Rusage) int64 { return int64(u.Maxrss) }

func preferredVictim(int) {}
