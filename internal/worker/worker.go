// Package worker runs one Deno process: it spawns it, gives it a function,
// follows what it says, and ends it. Whatever a worker starts (the process,
// up to four goroutines, a private folder) is gone when Done is closed.
package worker

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/selvedge-dev/selvedge/internal/confine"
	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/upstream"
)

// A Host has what is needed to start workers.
type Host struct {
	// Runtime is the Deno binary and its folders.
	Runtime deno.Runtime
	// RunDir holds a private folder for each worker; see OpenRunDir. Its path
	// must be short: a unix socket's has at most 107 bytes on Linux, 103 on
	// macOS.
	RunDir string
	// Confiner is what the system has to keep workers in their place; nil for
	// nothing.
	Confiner *confine.Confiner
	// Users are those that workers run as; nil for the server's own. They are
	// used where the Confiner has that layer.
	Users *Users
	// Groups are the system's control groups; nil for none.
	Groups Groups
	// Lend gives the program one more processor until back is called, while
	// system calls keep one of Go's; nil for never.
	Lend func() (back func())
	// Warn takes what the operator has to know of a start that goes on all the
	// same; nil for nobody.
	Warn func(string)

	chores    sync.Mutex // held by a turn
	warned    sync.Once
	once      sync.Once
	read, run []string // see libraries
}

// startPatience bounds the time from spawn to the bootstrap's first word. On
// an idle machine it takes 30 ms.
const startPatience = 20 * time.Second

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

// Start spawns a process and waits until its bootstrap is up. The worker
// outlives ctx, which bounds only the start.
func (h *Host) Start(ctx context.Context, p deno.Profile) (*Worker, error) {
	w := &Worker{
		ID:       uuid.NewString(),
		Profile:  p,
		Started:  time.Now(),
		host:     h,
		events:   make(chan deno.Event, 8),
		done:     make(chan struct{}),
		followed: make(chan struct{}),
		settled:  make(chan struct{}),
		heard:    make(chan struct{}),
	}
	listener, err := w.prepare(h)
	if err != nil {
		return nil, fmt.Errorf("start worker: %w", err)
	}
	if err := w.spawn(h, listener); err != nil {
		listener.Close()
		w.cleanUp()
		return nil, fmt.Errorf("start worker: %w", err)
	}
	if err := w.meet(ctx, listener); err != nil {
		w.kill()
		<-w.done
		if tail := w.Exit().Tail; tail != "" {
			err = fmt.Errorf("%w; it said: %s", err, tail)
		}
		return nil, fmt.Errorf("start worker: %w", err)
	}
	w.Spawn = time.Since(w.Started)
	return w, nil
}

// prepare makes the private folder and the control socket in it.
func (w *Worker) prepare(h *Host) (l *net.UnixListener, err error) {
	if h.ownUsers() {
		if w.user, err = h.Users.take(); err != nil {
			return nil, err
		}
		w.users = h.Users
	}
	defer func() {
		if err != nil {
			w.cleanUp()
		}
	}()
	if w.dir, err = os.MkdirTemp(h.RunDir, "w"); err != nil {
		return nil, err
	}
	tmp := filepath.Join(w.dir, deno.TempDir)
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return nil, err
	}
	if w.Profile.Net.Watched {
		if w.connections, err = openConnections(w.dir); err != nil {
			return nil, err
		}
	}
	if u := w.Profile.Unbundled; u != (deno.Unbundled{}) {
		if err := deno.PrepareOwnDir(u.OwnDir, u.CacheDir, h.group()); err != nil {
			return nil, err
		}
	}
	if rc := w.Profile.Unbundled.Registries; rc != "" {
		// The folder is the worker's HOME, where Deno looks for it.
		if err := os.WriteFile(filepath.Join(tmp, ".npmrc"), []byte(rc), 0o600); err != nil {
			return nil, err
		}
	}
	l, err = net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(w.dir, deno.ControlSocket), Net: "unix"})
	if err != nil || w.user == 0 {
		return l, err
	}
	if err := giveAll(w.dir, w.user); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// giveAll gives a folder, which only the server has had so far, to a user.
func giveAll(dir string, user uint32) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = os.Lchown(path, int(user), int(user))
		}
		return err
	})
}

// cleanUp removes what prepare made.
func (w *Worker) cleanUp() {
	if w.connections != nil {
		w.connections.close()
	}
	var err error
	if w.dir != "" {
		err = w.host.removeAll(w.dir)
	}
	if w.user != 0 && err == nil {
		w.users.leave(w.user)
	}
}

// spawn starts the process and the goroutine that waits for its end.
func (w *Worker) spawn(h *Host, listener *net.UnixListener) error {
	r, pw, err := os.Pipe()
	if err != nil {
		return err
	}
	w.script = h.script()
	w.cmd = exec.Command(h.Runtime.Binary, h.Runtime.Args(w.Profile, w.dir)...)
	w.cmd.Dir = filepath.Join(w.dir, deno.TempDir)
	w.cmd.Env = h.Runtime.Env(w.Profile, w.dir, os.LookupEnv)
	w.cmd.Stdout, w.cmd.Stderr = pw, pw
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// The thread that forks, and Go's processor with it, waits until the new
	// process runs the other program. It waits for a processor of the machine
	// first.
	back := h.lend()
	process, err := h.Confiner.Start(w.cmd, h.policy(w))
	back()
	pw.Close()
	if err != nil {
		r.Close()
		return err
	}
	preferredVictim(w.cmd.Process.Pid)
	w.enterGroup(h)
	w.output = newOutput()
	go w.wait(r, listener, process)
	return nil
}

// lend is Lend, also where there is none.
func (h *Host) lend() (back func()) {
	if h.Lend == nil {
		return func() {}
	}
	return h.Lend()
}

// meet waits for the bootstrap to connect and warms the way to it.
func (w *Worker) meet(ctx context.Context, listener *net.UnixListener) error {
	ctx, cancel := withPatience(ctx, startPatience, context.DeadlineExceeded)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	conn, err := listener.AcceptUnix()
	for err == nil && w.checkPeer(conn) != nil { // another worker's, that wants to speak for this one
		conn.Close()
		conn, err = listener.AcceptUnix()
	}
	stop()
	listener.Close() // there is one connection; the path is gone with this
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("wait for the bootstrap: %w", context.Cause(ctx))
		}
		return errNoStart
	}
	w.mu.Lock()
	w.control = conn
	w.mu.Unlock()
	go w.follow(conn)
	if ev, err := w.next(ctx); err != nil {
		return err
	} else if !ev.Up {
		return fmt.Errorf("the bootstrap's first word is not up but %+v", ev)
	}
	<-w.grouped
	return w.move(Idle)
}

// Warm has an idle worker do what costs time only once: serve a request, load
// the timers. It is for processes that are started ahead of need; one that
// somebody waits for is better off without.
func (w *Worker) Warm() error {
	if _, err := w.control.Write(deno.WarmLine()); err != nil {
		return fmt.Errorf("warm worker: %w", err)
	}
	if err := w.warm(filepath.Join(w.dir, deno.ServeSocket)); err != nil {
		return fmt.Errorf("warm worker: %w", err)
	}
	return nil
}

// next waits for the next control event.
func (w *Worker) next(ctx context.Context) (deno.Event, error) {
	select {
	case ev := <-w.events:
		return ev, nil
	case <-w.done:
		// Its last word may have come just before its end.
		select {
		case ev := <-w.events:
			return ev, nil
		default:
			return deno.Event{}, errEnded
		}
	case <-ctx.Done():
		return deno.Event{}, context.Cause(ctx)
	}
}

// An Assignment is the function that a worker is to be.
type Assignment struct {
	Slug string
	// Module is the absolute path of the module to import.
	Module string
	// Env is the function's whole environment.
	Env map[string]string
	// Boot bounds the load.
	Boot time.Duration
	// Net is what the function's connections are compared with, where the
	// profile has them watched.
	Net function.Net
	// TmpMB is the size of the files that it may write, in MiB.
	TmpMB int
	// Files bounds the open files, connections among them; 0 leaves the bound
	// that all workers have.
	Files int
	// Lines bounds what is logged, in lines a second; 0 for what a function
	// without configuration has.
	Lines int
	// Log takes the function's output. Calls never overlap.
	Log func(deno.Record)
}

// Load makes an idle worker a function. It returns a *function.BootError when
// the function does not begin to serve; the worker is then good for nothing
// and must be stopped.
func (w *Worker) Load(ctx context.Context, a Assignment) (deno.Ready, error) {
	if err := w.move(Loading); err != nil {
		return deno.Ready{}, err
	}
	var raw [16]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return deno.Ready{}, fmt.Errorf("make a log secret: %w", err)
	}
	secret := hex.EncodeToString(raw[:])
	w.output.assign(secret, a.Lines, a.Log)

	if w.connections != nil {
		if err := w.connections.follow(func(place string) { w.output.say(connected(a.Net, place)) }); err != nil {
			return deno.Ready{}, &function.BootError{Slug: a.Slug, Stage: "load", Message: err.Error(), Err: err}
		}
	}
	specifier := (&url.URL{Scheme: "file", Path: a.Module}).String()
	line, err := deno.Load{Specifier: specifier, Env: a.Env, Secret: secret, Node: w.mayServeByNode(a.Module)}.MarshalLine()
	if err != nil {
		return deno.Ready{}, fmt.Errorf("load function %s: %w", a.Slug, err)
	}
	if w.group != nil && a.TmpMB > 0 {
		_ = w.group.Limit(groupLimits(w.Profile.MemoryMB, a.TmpMB)) // it has one already
	}
	if a.Files > 0 {
		confine.LimitFiles(w.cmd.Process.Pid, w.user, uint64(a.Files))
	}
	ctx, cancel := withPatience(ctx, a.Boot, errBootTimeout)
	defer cancel()
	if _, err := w.control.Write(line); err != nil {
		<-w.done
		return deno.Ready{}, w.bootFailure(a, errEnded)
	}
	for {
		ev, err := w.next(ctx)
		switch {
		case err != nil:
			return deno.Ready{}, w.bootFailure(a, err)
		case ev.Failed != nil:
			message, _, _ := strings.Cut(ev.Failed.Message, "\n") // Detail has all of it
			return deno.Ready{}, &function.BootError{
				Slug: a.Slug, Stage: ev.Failed.Stage, Message: message, Detail: ev.Failed.Detail,
			}
		case ev.Ready != nil:
			w.serve(ev.Ready.Mode)
			return *ev.Ready, w.move(Ready)
		}
	}
}

var (
	errBootTimeout = errors.New("boot timeout")
	errEnded       = errors.New("deno ended")
)

// bootFailure says why a load ended without an answer from the bootstrap.
func (w *Worker) bootFailure(a Assignment, err error) error {
	e := &function.BootError{Slug: a.Slug, Stage: "load", Err: err}
	switch {
	case errors.Is(err, errBootTimeout):
		e.Stage = "serve"
		e.Message = fmt.Sprintf("the function did not begin to serve within %s: it must call Deno.serve, export default { fetch }, or listen with node:http", a.Boot)
		return e
	case !errors.Is(err, errEnded):
		return fmt.Errorf("load function %s: %w", a.Slug, err) // the caller's context
	}
	exit := w.Exit()
	w.mu.Lock()
	why := w.why
	w.mu.Unlock()
	switch {
	case why != "":
		e.Message = why
		return e
	case exit.OutOfMemory:
		e.Message = fmt.Sprintf("the function ran out of memory while it was loading; it may use %d MB (memory_mb)", w.Profile.MemoryMB)
		e.Detail = exit.Tail
		return e
	}
	e.Message = fmt.Sprintf("the process ended with code %d while the function was loading", exit.Code)
	e.Detail = exit.Tail
	return e
}

// mayServeByNode reports whether the module imports node:http. What runs from
// source may do so in any of its packages.
func (w *Worker) mayServeByNode(module string) bool {
	if w.Profile.Unbundled != (deno.Unbundled{}) {
		return true
	}
	code, err := os.ReadFile(module)
	return err == nil && bytes.Contains(code, []byte("node:http"))
}

// serve chooses the socket that requests go to.
func (w *Worker) serve(m deno.Mode) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mode = m
	name := deno.ServeSocket
	if m == deno.ModeNode {
		name = deno.NodeSocket
	}
	w.client = upstream.NewChecked(filepath.Join(w.dir, name), w.checkServer)
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

// warm sends one request to the bootstrap, so that the first one of a client
// does not pay for what Deno's HTTP server does only once.
func (w *Worker) warm(socket string) error {
	c, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := w.checkServer(c.(*net.UnixConn)); err != nil {
		return err
	}
	if err := c.SetDeadline(time.Now().Add(startPatience)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("GET http://selvedge/ HTTP/1.1\r\nhost: selvedge\r\n\r\n")); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && line != "HTTP/1.1 204 No Content\r\n" {
		err = fmt.Errorf("it answered %q", line)
	}
	return err
}
