package worker

import (
	"bufio"
	"context"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/selvedge-dev/selvedge/internal/confine"
	"github.com/selvedge-dev/selvedge/internal/deno"
)

// maxControlLine bounds a line of the control channel; the longest is a boot
// failure with its stack.
const maxControlLine = 1 << 20

// follow reads the control channel until it ends.
func (w *Worker) follow(conn *net.UnixConn) {
	defer close(w.followed)
	lines := bufio.NewScanner(conn)
	lines.Buffer(make([]byte, 0, 512), maxControlLine)
	for lines.Scan() {
		ev, err := deno.ParseEvent(lines.Text())
		if err != nil {
			// Nobody but the bootstrap can write here, so this process is not
			// what it should be.
			w.kill()
			return
		}
		switch {
		case ev.Waiting != nil:
			w.setWaiting(*ev.Waiting)
		case ev.Unloaded:
			w.setUnloaded()
		default:
			select {
			case w.events <- ev:
			default: // the bootstrap says three such things in its life
				w.kill()
				return
			}
		}
	}
}

func (w *Worker) setWaiting(waiting bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = waiting
	w.checkSettled()
}

func (w *Worker) setUnloaded() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.unloaded {
		close(w.heard)
	}
	w.unloaded = true
	w.checkSettled()
}

// checkSettled is called with the lock held.
func (w *Worker) checkSettled() {
	if w.unloaded && !w.waiting {
		select {
		case <-w.settled:
		default:
			close(w.settled)
		}
	}
}

// Waiting reports whether promises given to EdgeRuntime.waitUntil are pending.
func (w *Worker) Waiting() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.waiting
}

// unloadPatience bounds the listeners of beforeunload, and the wait for an
// event loop that is not free to run them.
const unloadPatience = 5 * time.Second

// Retire ends a ready worker that has no requests left: it tells the function
// why, waits until its background work is done or ctx ends, and stops it.
func (w *Worker) Retire(ctx context.Context, reason string) {
	w.Unload(ctx, reason)
	w.Stop()
}

// Unload is Retire without the end. It has an effect once.
func (w *Worker) Unload(ctx context.Context, reason string) {
	if err := w.move(Retiring); err == nil {
		if _, err := w.control.Write(deno.UnloadLine(reason)); err == nil && w.await(ctx, w.heard, unloadPatience) {
			w.await(ctx, w.settled, 0)
		}
	}
}

// await waits for ch, no longer than patience unless that is 0, and reports
// whether it came before everything else.
func (w *Worker) await(ctx context.Context, ch <-chan struct{}, patience time.Duration) bool {
	if patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	select {
	case <-ch:
		return true
	case <-w.done:
	case <-ctx.Done():
	}
	return false
}

// Ping asks for a sign of life, which the worker gives when its event loop
// turns. There must be no other ping without one, or the channel could fill.
func (w *Worker) Ping() { _, _ = w.control.Write(deno.PingLine()) } // its end is seen elsewhere

// Collect has the worker collect its garbage when its event loop turns.
func (w *Worker) Collect() { _, _ = w.control.Write(deno.CollectLine()) }

// Signs counts the worker's signs of life: answers to Ping, and handlers of
// requests that began or ended, at most 20 a second of those.
func (w *Worker) Signs() uint32 { return w.output.alive.Load() }

// lowNice is enough for others to have ten times the processor time.
const lowNice = 10

// GiveWay has the worker wait for others where processors are short, for all of
// its life. It is for functions whose workers reach their limits.
func (w *Worker) GiveWay() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state != Exited { // or the id could be somebody else's
		confine.LowerPriority(w.cmd.Process.Pid, w.user, lowNice)
	}
}

// Batch says whether the worker leaves the processor to who has it when it is
// woken, instead of taking it.
func (w *Worker) Batch(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state != Exited { // or the id could be somebody else's
		confine.Batch(w.cmd.Process.Pid, w.user, on)
	}
}

// Abort is Stop for a function that is being loaded: the load fails with why,
// one line for a person.
func (w *Worker) Abort(why string) {
	w.mu.Lock()
	w.why = why
	w.mu.Unlock()
	w.Stop()
}

// Stop ends the process, SIGTERM first and SIGKILL for all of its group after
// half a second, and waits until it is gone.
func (w *Worker) Stop() {
	w.mu.Lock()
	if w.state < Stopping {
		w.state = Stopping
		w.exit.Asked = true
	}
	if w.client != nil {
		w.client.Close()
	}
	w.mu.Unlock()
	w.signal(syscall.SIGTERM)
	timer := time.NewTimer(killPatience)
	defer timer.Stop()
	select {
	case <-w.done:
		return
	case <-timer.C:
	}
	w.kill()
	<-w.done
}

func (w *Worker) kill() { w.signal(syscall.SIGKILL) }

// signal reaches the whole process group, as long as its leader was not yet
// waited for: after that the id could be somebody else's.
func (w *Worker) signal(s syscall.Signal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state != Exited {
		_ = syscall.Kill(-w.cmd.Process.Pid, s) // ESRCH: it is gone already
	}
}

// wait drains the output, waits for the process and cleans up after it.
func (w *Worker) wait(r *os.File, listener *net.UnixListener, process *confine.Process) {
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		w.output.drain(r)
	}()
	// The group's leader is waited for without reaping first, so that signal
	// never races with the reuse of its id.
	<-process.Ended
	_ = syscall.Kill(-w.cmd.Process.Pid, syscall.SIGKILL) // what it left behind

	w.mu.Lock()
	w.state = Exited
	w.mu.Unlock()
	err := w.cmd.Wait()
	listener.Close()
	outOfGroup := w.leaveGroup()
	// Something that left the group may still hold the pipe open.
	select {
	case <-drained:
	case <-time.After(killPatience):
		_ = r.SetReadDeadline(time.Now())
		<-drained
	}
	r.Close()

	w.mu.Lock()
	control := w.control
	w.mu.Unlock()
	if control != nil {
		control.Close()
		<-w.followed
	}

	w.mu.Lock()
	if w.client != nil {
		w.client.Close()
	}
	w.exit.Code = exitCode(err, w.cmd.ProcessState)
	w.exit.Tail = w.output.tail()
	w.exit.OutOfMemory = outOfMemory(w.exit) || outOfGroup
	if w.strange != "" {
		w.exit.Tail = strings.TrimSpace(w.strange + "\n" + w.exit.Tail)
	}
	w.exit.Lived = time.Since(w.Started)
	if ps := w.cmd.ProcessState; ps != nil {
		w.exit.CPU = ps.UserTime() + ps.SystemTime()
		if u, ok := ps.SysUsage().(*syscall.Rusage); ok {
			w.exit.MaxRSS = maxRSSBytes(u)
		}
	}
	w.mu.Unlock()
	if w.statm != nil {
		w.statm.Close()
	}
	w.cleanUp()
	close(w.done)
}

// outOfMemory reports whether V8 gave up for want of heap. It says so and ends
// the process by a trap (133) or by abort (134).
func outOfMemory(e Exit) bool {
	return !e.Asked && (e.Code == 133 || e.Code == 134) && strings.Contains(e.Tail, "out of memory")
}

// exitCode follows the shell: 128 plus the signal for a killed process.
func exitCode(err error, ps *os.ProcessState) int {
	if ps == nil {
		return -1
	}
	if ws, ok := ps.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	if err != nil || ps.ExitCode() != 0 {
		return ps.ExitCode()
	}
	return 0
}
