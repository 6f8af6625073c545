//go:build !linux

package worker

import "time"

// CPU is known only on Linux.
func (w *Worker) CPU() (time.Duration, bool) { return 0, false }

// Memory is known only on Linux.
func (w *Worker) Memory() (int64, bool) { return 0, false }

func (w *Worker) deletedFiles(*turn) int64 { return 0 }
