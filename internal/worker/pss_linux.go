package worker

import (
	"bytes"
	"os"
	"strconv"

	"github.com/selvedge-dev/selvedge/internal/confine"
)

// PSS returns the process's proportional set size, false where the kernel does
// not tell: its own memory, and of what it shares its part. It takes the kernel
// a millisecond or more to add up, so it is for people who ask.
func (w *Worker) PSS() (int64, bool) {
	if w.State() == Exited {
		return 0, false
	}
	// Not under the lock, which requests wait for.
	var b []byte
	var err error
	confine.SeeAs(w.user, func() { b, err = os.ReadFile("/proc/" + strconv.Itoa(w.PID()) + "/smaps_rollup") })
	if err != nil || w.State() == Exited { // what was read could be another process's
		return 0, false
	}
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte("Pss:")); ok {
			kib, err := strconv.ParseInt(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte("kB")))), 10, 64)
			return kib << 10, err == nil
		}
	}
	return 0, false
}
