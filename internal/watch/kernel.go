package watch

import (
	"errors"
	"io/fs"
	"sync"
	"syscall"

	"github.com/fsnotify/fsnotify"
)

// kernel is what the watcher needs of the operating system.
type kernel interface {
	// Add watches a folder, not what is below it. Adding again renews a watch
	// that the kernel dropped.
	Add(dir string) error
	Remove(dir string) error
	Events() <-chan fsnotify.Event
	Errors() <-chan error
	// Close ends both channels.
	Close() error
}

type fsnotifyKernel struct{ *fsnotify.Watcher }

func (k fsnotifyKernel) Events() <-chan fsnotify.Event { return k.Watcher.Events }
func (k fsnotifyKernel) Errors() <-chan error          { return k.Watcher.Errors }

func openFsnotify() (kernel, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	return fsnotifyKernel{w}, nil
}

// harmless reports whether an error of Add needs no fallback: the folder went
// away, which its parent tells, or nobody may look into it, which polling
// would not change.
func harmless(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) ||
		errors.Is(err, syscall.ENOTDIR)
}

// hint says what a person can do about having to poll.
func hint(cause error) string {
	switch {
	case errors.Is(cause, syscall.ENOSPC):
		return "raise the limit: sysctl fs.inotify.max_user_watches=524288"
	case errors.Is(cause, syscall.EMFILE):
		return "raise the limits: sysctl fs.inotify.max_user_instances=1024, ulimit -n 65536"
	case errors.Is(cause, fsnotify.ErrEventOverflow):
		return "raise the limit: sysctl fs.inotify.max_queued_events=65536"
	default:
		return "changes are seen a little later"
	}
}

// inbox gathers events, so that the kernel's queue is emptied whatever the
// watcher is doing. That is not only for its length: fsnotify may hold its
// lock while it waits for an error to be taken, and Add wants that lock.
type inbox struct {
	// wake holds a token when there is something to take.
	wake chan struct{}
	wg   sync.WaitGroup

	mu  sync.Mutex
	ops map[string]fsnotify.Op
	err error
}

func newInbox() *inbox {
	return &inbox{wake: make(chan struct{}, 1), ops: map[string]fsnotify.Op{}}
}

// receive gathers until the kernel is closed.
func (in *inbox) receive(k kernel) {
	in.wg.Go(func() {
		for ev := range k.Events() {
			in.mu.Lock()
			in.ops[ev.Name] |= ev.Op
			in.mu.Unlock()
			in.signal()
		}
	})
	in.wg.Go(func() {
		for err := range k.Errors() {
			in.fail(err)
		}
	})
}

// take empties the inbox.
func (in *inbox) take() (map[string]fsnotify.Op, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	ops, err := in.ops, in.err
	in.ops, in.err = map[string]fsnotify.Op{}, nil
	return ops, err
}

// wait returns when the kernel's channels have ended.
func (in *inbox) wait() { in.wg.Wait() }

func (in *inbox) fail(err error) {
	in.mu.Lock()
	// Of several, an overflow is the one that matters.
	if in.err == nil || errors.Is(err, fsnotify.ErrEventOverflow) {
		in.err = err
	}
	in.mu.Unlock()
	in.signal()
}

func (in *inbox) signal() {
	select {
	case in.wake <- struct{}{}:
	default:
	}
}
