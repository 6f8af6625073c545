// Package watch tells when files change. It is built for development: it
// follows symbolic links, knows how editors and deployments replace files, and
// says nothing when nothing came of it.
//
// The kernel's events are taken only as a hint that something happened. What
// happened is found by comparing the tree with how it was before, so an event
// that is lost, doubled or late changes nothing, and polling is the same code
// driven by a clock.
package watch

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Defaults of Options.
const (
	// DefaultQuiet is long enough for the steps of one save (write, rename,
	// delete the backup) and too short to be felt.
	DefaultQuiet = 15 * time.Millisecond
	// DefaultMaxDelay bounds the wait while a tree never falls quiet.
	DefaultMaxDelay = 150 * time.Millisecond
	// DefaultPollEvery is the time between two looks when the kernel does not
	// help.
	DefaultPollEvery = 500 * time.Millisecond
)

// Options say what to watch and how.
type Options struct {
	// Roots are folders, watched with everything below, and single files.
	// They need not exist yet. Relative paths are taken from the current
	// folder.
	Roots []string
	// Quiet is how long nothing must happen before a change is told; 0 means
	// DefaultQuiet.
	Quiet time.Duration
	// MaxDelay is the longest a change is held back for quiet; 0 means
	// DefaultMaxDelay.
	MaxDelay time.Duration
	// PollEvery is the time between two looks while polling; 0 means
	// DefaultPollEvery.
	PollEvery time.Duration
	// Poll polls from the start, for file systems that send no events, such
	// as network mounts and some shared folders of virtual machines.
	Poll bool
	// Log gets a warning when the watcher has to poll; nil discards it.
	Log *slog.Logger

	// openKernel replaces the kernel in tests.
	openKernel func() (kernel, error)
}

// A Change is what happened in one burst.
type Change struct {
	// Paths are the absolute paths that were written, created, replaced or
	// removed, sorted, each spelled the way its root is: a file reached
	// through a link is named by the link. A folder is named when it appears,
	// goes or becomes another folder.
	Paths []string
}

// A Watcher watches until it is closed.
type Watcher struct {
	opts    Options
	log     *slog.Logger
	changes chan Change
	closing chan struct{}
	closed  chan struct{}
	once    sync.Once
	err     error

	// The rest belongs to the goroutine of run once New has returned.

	kernel kernel // nil when the kernel refused to watch at all
	inbox  *inbox
	tree   tree
	// touched are the paths the kernel saw written since the last look. A
	// write within the clock's resolution leaves size and time as they were.
	touched map[string]struct{}
	// pending are the paths nobody has taken yet.
	pending map[string]struct{}
	polling bool
	cropped bool
}

// New starts to watch. When it returns, every later change will be told. It
// fails only on options that make no sense: where the kernel refuses to help,
// the watcher polls.
func New(opts Options) (*Watcher, error) {
	if len(opts.Roots) == 0 {
		return nil, errors.New("watch files: no path to watch")
	}
	opts.Roots = slices.Clone(opts.Roots)
	for i, root := range opts.Roots {
		abs, err := filepath.Abs(root)
		if err != nil {
			return nil, fmt.Errorf("watch %s: %w", root, err)
		}
		opts.Roots[i] = abs
	}
	setDefault(&opts.Quiet, DefaultQuiet)
	setDefault(&opts.MaxDelay, DefaultMaxDelay)
	setDefault(&opts.PollEvery, DefaultPollEvery)
	if opts.openKernel == nil {
		opts.openKernel = openFsnotify
	}

	w := &Watcher{
		opts:    opts,
		log:     opts.Log,
		changes: make(chan Change),
		closing: make(chan struct{}),
		closed:  make(chan struct{}),
		inbox:   newInbox(),
		touched: map[string]struct{}{},
		pending: map[string]struct{}{},
		polling: opts.Poll,
	}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	if !opts.Poll {
		k, err := opts.openKernel()
		if err != nil {
			w.poll(err)
		} else {
			w.kernel = k
			w.inbox.receive(k)
		}
	}
	w.look()
	clear(w.pending) // what was there from the start is not news
	go w.run()
	return w, nil
}

// Changes returns the channel on which changes are told. While nobody
// receives, changes gather into one. The channel is closed by Close.
func (w *Watcher) Changes() <-chan Change { return w.changes }

// Close stops watching and returns when nothing of the watcher runs any more.
// It may be called more than once.
func (w *Watcher) Close() error {
	w.once.Do(func() {
		close(w.closing)
		<-w.closed
		if w.kernel != nil {
			w.err = w.kernel.Close()
			w.inbox.wait()
		}
	})
	return w.err
}

func setDefault(d *time.Duration, def time.Duration) {
	if *d <= 0 {
		*d = def
	}
}

// run is the watcher's only goroutine besides the one that empties the
// kernel's queue.
func (w *Watcher) run() {
	defer close(w.closed)
	defer close(w.changes)

	quiet := time.NewTimer(w.opts.Quiet)
	quiet.Stop()
	defer quiet.Stop()
	var first time.Time // when the burst began, zero for no burst

	var ticks <-chan time.Time
	var next Change
	for {
		if w.polling && ticks == nil {
			ticker := time.NewTicker(w.opts.PollEvery)
			defer ticker.Stop()
			ticks = ticker.C
		}
		var out chan<- Change
		if len(w.pending) > 0 {
			out = w.changes
		}

		select {
		case <-w.closing:
			return
		case out <- next:
			w.pending = map[string]struct{}{}
		case <-w.inbox.wake:
			if !w.note(w.inbox.take()) {
				continue
			}
			if first.IsZero() {
				first = time.Now()
			}
			quiet.Reset(min(w.opts.Quiet, time.Until(first.Add(w.opts.MaxDelay))))
			continue
		case <-quiet.C:
			first = time.Time{}
			w.look()
		case <-ticks:
			w.look()
		}
		next = Change{Paths: slices.Sorted(maps.Keys(w.pending))}
	}
}

// note takes in what the kernel told and reports whether the tree may have
// changed.
func (w *Watcher) note(ops map[string]fsnotify.Op, err error) (dirty bool) {
	if err != nil {
		// Whatever was lost, looking again finds it. An overflow also says
		// that events come faster here than they can be told.
		dirty = true
		if errors.Is(err, fsnotify.ErrEventOverflow) {
			w.poll(err)
		}
	}
	for name, op := range ops {
		paths, known := w.tree.logical(name)
		// An event of a folder that is no longer watched comes from a folder
		// that was just moved: look where it went.
		if len(paths) == 0 && known {
			continue
		}
		dirty = true
		if op.Has(fsnotify.Write) {
			for _, p := range paths {
				w.touched[p] = struct{}{}
			}
		}
	}
	return dirty
}

// look compares the tree with how it was and adds what differs to pending.
func (w *Watcher) look() {
	w.tree.release(w.kernel)
	now, problem := scan(w.opts.Roots, w.kernel)
	now.releaseUnused(w.tree, w.kernel)
	if problem != nil {
		w.poll(problem)
	}
	if now.cropped && !w.cropped {
		w.cropped = true
		w.log.Warn("too many files to watch; the rest is left out",
			"limit", maxEntries, "hint", "a link may lead to a large folder")
	}
	for _, p := range now.diff(w.tree) {
		w.pending[p] = struct{}{}
	}
	for p := range w.touched {
		// A temporary file that came and went is nobody's business.
		if info, ok := now.entries[p]; ok && !info.IsDir() {
			w.pending[p] = struct{}{}
		}
	}
	clear(w.touched)
	w.tree = now
}

// poll makes the watcher poll from now on. What the kernel still tells makes
// it only quicker.
func (w *Watcher) poll(cause error) {
	if w.polling {
		return
	}
	w.polling = true
	w.log.Warn("watching files by polling",
		"every", w.opts.PollEvery.String(), "cause", cause, "hint", hint(cause))
}
