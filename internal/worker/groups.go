package worker

import (
	"fmt"

	"github.com/selvedge-dev/selvedge/internal/cgroup"
	"github.com/selvedge-dev/selvedge/internal/function"
)

// Groups make control groups, of which each worker has one.
type Groups interface {
	Make(cgroup.Limits) (Group, error)
}

// A Group is the control group of one worker; see cgroup.Group.
type Group interface {
	Add(pid int) error
	Limit(cgroup.Limits) error
	OutOfMemory() bool
	Remove() error
}

// groupLimits bound a control group. They are no limits of functions, which the
// pool sees to: the kernel counts its own memory and that of files in memory,
// and ends a worker without a word. They hold where the pool comes too late.
func groupLimits(memoryMB, tmpMB int) cgroup.Limits {
	const runtimeMB = 192
	return cgroup.Limits{Memory: int64(memoryMB*3/2+tmpMB+runtimeMB) << 20, Tasks: mostTasks}
}

// enterGroup gives a process that was just started a group of its own, while it
// starts: it takes the kernel some 10 ms. A worker without one is better than
// none.
func (w *Worker) enterGroup(h *Host) {
	w.grouped = make(chan struct{})
	if h.Groups == nil {
		close(w.grouped)
		return
	}
	go func() {
		defer close(w.grouped)
		g, err := h.Groups.Make(groupLimits(w.Profile.MemoryMB, function.Defaults().TmpMB))
		if err == nil {
			w.group = g
			err = g.Add(w.cmd.Process.Pid)
		}
		if err != nil && h.Warn != nil {
			h.warned.Do(func() { h.Warn(fmt.Sprintf("a worker, and perhaps more, has no control group: %v", err)) })
		}
	}()
}

// leaveGroup is called when the process has ended. It ends what that has left.
func (w *Worker) leaveGroup() (outOfMemory bool) {
	<-w.grouped
	if w.group == nil {
		return false
	}
	outOfMemory = w.group.OutOfMemory()
	_ = w.group.Remove() // the next server on this machine tries again
	return outOfMemory
}
