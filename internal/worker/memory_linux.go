package worker

import (
	"bytes"
	"os"
	"strconv"
)

// Memory returns how many bytes of memory are the process's alone, false when
// it is gone: its resident pages less those that it shares, which are mostly
// the Deno binary's and there once for all workers. It takes 3 µs.
func (w *Worker) Memory() (int64, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state == Exited {
		return 0, false
	}
	if w.statm == nil {
		f, err := os.Open("/proc/" + strconv.Itoa(w.cmd.Process.Pid) + "/statm")
		if err != nil {
			return 0, false
		}
		w.statm = f
	}
	// The fields are pages: size, resident, shared and others (proc(5)).
	var buf [128]byte
	n, _ := w.statm.ReadAt(buf[:], 0) // it is shorter than buf: io.EOF
	_, rest, _ := bytes.Cut(buf[:n], []byte(" "))
	first, rest, _ := bytes.Cut(rest, []byte(" "))
	second, _, _ := bytes.Cut(rest, []byte(" "))
	resident, err1 := strconv.ParseInt(string(first), 10, 64)
	shared, err2 := strconv.ParseInt(string(second), 10, 64)
	if err1 != nil || err2 != nil || resident < shared {
		return 0, false
	}
	return (resident - shared) * int64(os.Getpagesize()), true
}
