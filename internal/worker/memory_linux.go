package worker

import (
	"bytes"
	"os"
	"strconv"
)

// Memory returns how many bytes of memory are the process's alone, false when
// it is gone: its resident pages less those that it shares, which are mostly
// the Deno binary's and there once for all workers. It takes 10 µs.
func (w *Worker) Memory() (int64, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state == Exited {
		return 0, false
	}
	// The fields are pages: size, resident, shared and others (proc(5)).
	b, err := os.ReadFile("/proc/" + strconv.Itoa(w.cmd.Process.Pid) + "/statm")
	fields := bytes.Fields(b)
	if err != nil || len(fields) < 3 {
		return 0, false
	}
	resident, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0, false
	}
	shared, err := strconv.ParseInt(string(fields[2]), 10, 64)
	if err != nil || resident < shared {
		return 0, false
	}
	return (resident - shared) * int64(os.Getpagesize()), true
}
