//go:build !linux

package worker

// PSS is only known on Linux.
func (w *Worker) PSS() (int64, bool) { return 0, false }
