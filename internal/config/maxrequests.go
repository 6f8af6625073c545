package config

import "syscall"

// What an open request costs, and what of the machine they may take together.
const (
	// requestBytes is room for the buffers and stacks of a request that is
	// carried both ways; an idle WebSocket needs a third of it.
	requestBytes = 64 << 10
	requestShare = 0.25 // of the memory; workers need the rest
	requestFiles = 2    // the client's connection and the worker's
	spareFiles   = 256  // for listeners, pipes and sockets of workers, files
	fewRequests  = 64
	mostRequests = 1_000_000
)

// autoMaxRequests is how many requests may be open at once where nobody said:
// what the memory has room for and the limit on open files allows. 0 stands
// for what could not be told.
func autoMaxRequests(memory, files int64) int {
	n := int64(mostRequests)
	if memory > 0 {
		n = min(n, int64(float64(memory)*requestShare/requestBytes))
	}
	if files > 0 {
		n = min(n, (files-spareFiles)/requestFiles)
	}
	return int(max(n, fewRequests))
}

// openFiles is the limit on open files, 0 where it cannot be told. Go has
// raised the soft limit to the hard one at the start.
func openFiles() int64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	if limit.Cur > 1<<40 { // unlimited
		return 0
	}
	return int64(limit.Cur)
}
