package confine

import (
	"errors"

	"golang.org/x/sys/unix"
)

// dropCapabilities leaves the calling thread, and what it starts, without any
// but those to keep. A program that root executes gets back what is in the bounding set, so that
// is emptied, too.
func dropCapabilities(keep ...int) error {
	for c := 0; c <= 63; c++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			break // past the last one that the kernel knows
		}
		// Without CAP_SETPCAP the set stays; no-new-privileges then keeps the
		// program from getting more than the thread has.
		if err != nil && !errors.Is(err, unix.EPERM) {
			return err
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var kept [2]unix.CapUserData
	for _, c := range keep {
		kept[c/32].Effective |= 1 << (c % 32)
		kept[c/32].Permitted |= 1 << (c % 32)
	}
	return unix.Capset(&header, &kept[0])
}
