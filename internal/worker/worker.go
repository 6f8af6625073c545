// Package worker runs one Deno process: it spawns it, gives it a function,
// follows what it says, and ends it. Whatever a worker starts (the process,
// up to four goroutines, a private folder) is gone when Done is closed.
package worker

import (
	"net"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/upstream"
)

// killPatience is the time between SIGTERM, which ends Deno at once unless
// the function listens for it, and SIGKILL.
const killPatience = 500 * time.Millisecond

// A Worker is one Deno process. Its methods may be called at the same time.
type Worker struct {
	// ID is the execution id, a UUID.
	ID string
	// Profile is what it was spawned with.
	Profile deno.Profile
	// Started is when it was spawned; Spawn is how long it took to be up.
	Started time.Time
	Spawn   time.Duration

	dir     string
	host    *Host
	user    uint32 // 0 for the server's
	users   *Users
	group   Group         // nil for none; set before grouped is closed
	grouped chan struct{} // closed when the process is in its group
	script  bool          // the process may leave Deno's work to another one
	cmd     *exec.Cmd
	control *net.UnixConn
	output  *output
	// connections is nil unless the profile has them watched.
	connections *connections
	// followed is closed when nothing reads the control channel any more.
	followed chan struct{}
	events   chan deno.Event // while starting and loading
	done     chan struct{}

	mu       sync.Mutex
	state    State
	mode     deno.Mode
	client   *upstream.Client
	waiting  bool
	settled  chan struct{} // closed when nothing is waited for after unload
	unloaded bool
	heard    chan struct{} // closed when the listeners of beforeunload have run
	why      string        // it was aborted, see Abort
	strange  string        // it is not what it should be, see checkServer
	exit     Exit
	statm    *os.File // see Memory
}

// An Exit says how a worker's process ended.
type Exit struct {
	// Code is the exit code, 128 plus the signal for one that was killed.
	Code int
	// Asked is set when the supervisor ended it.
	Asked bool
	// OutOfMemory is set when V8 ended it because its heap was full.
	OutOfMemory bool
	// Tail is the last of what it wrote past the console, such as Deno's
	// report of an uncaught error.
	Tail string
	// Lived is the time from spawn to exit.
	Lived time.Duration
	// CPU is the processor time used, by user code and by the kernel for it.
	CPU time.Duration
	// MaxRSS is the most resident memory it had, in bytes.
	MaxRSS int64
}

// Upstream is the client to a worker that is Ready or later.
func (w *Worker) Upstream() *upstream.Client {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.client
}

// Absolute says whether the worker takes its request URLs from absolute-form
// request lines. Deno.serve does; a node:http server expects only the path.
func (w *Worker) Absolute() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mode == deno.ModeServe
}

// PID is the process id.
func (w *Worker) PID() int { return w.cmd.Process.Pid }

// State returns where the worker is in its life.
func (w *Worker) State() State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}

// Done is closed when the process has ended and its folder is removed.
func (w *Worker) Done() <-chan struct{} { return w.done }

// Exit says how the process ended; it is the zero value before Done.
func (w *Worker) Exit() Exit {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.exit
}

// move changes the state; it is the only place that does.
func (w *Worker) move(to State) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.state.legal(to) {
		return &TransitionError{ID: w.ID, From: w.state, To: to}
	}
	w.state = to
	return nil
}
