//go:build !linux

package confine

// Mapped reports whether there are such users.
func Mapped(first, last uint32) bool { return false }

// UserBusy reports whether there is a process of the user.
func UserBusy(uint32) bool { return true }

// EndUser ends all processes of the user.
func EndUser(uint32) bool { return false }

// LimitFiles lowers the bound on open files of a process.
func LimitFiles(int, uint32, uint64) {}

// LowerPriority has a process wait for others.
func LowerPriority(int, uint32, int) {}

// Batch has a process take no processor from others when it is woken.
func Batch(int, uint32, bool) {}

// SeeAs calls look.
func SeeAs(_ uint32, look func()) { look() }
