package worker

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/selvedge-dev/selvedge/internal/confine"
	"github.com/selvedge-dev/selvedge/internal/deno"
)

// startPatience bounds the time from spawn to the bootstrap's first word. On
// an idle machine it takes 30 ms.
const startPatience = 20 * time.Second

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
	// Warn takes what the operator has to know of a start that goes on all the
	// same; nil for nobody.
	Warn func(string)

	chores    sync.Mutex // held by a turn
	warned    sync.Once
	once      sync.Once
	read, run []string // see libraries
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
	process, err := h.Confiner.Start(w.cmd, h.policy(w))
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
