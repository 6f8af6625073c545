package worker

import (
	"fmt"
	"net"
)

// checkServer is for a connection that the server has made to the worker's
// socket. The worker may write in the folder that the socket is in, so code
// that has broken its engine could put a link there to the socket of another
// worker, or of any program that trusts the server's user. Whoever answers
// otherwise than as the worker's process gets nothing, and the worker, which
// is not what it should be, is killed.
//
// What is looked at is who listened, which the kernel keeps with the
// connection: no path is looked up a second time.
func (w *Worker) checkServer(conn *net.UnixConn) error {
	err := w.checkPeer(conn)
	if err == nil {
		return nil
	}
	w.mu.Lock()
	w.strange = fmt.Sprintf("its socket is another process's (%v): the function's code has broken out of JavaScript, or somebody else has put it there", err)
	w.mu.Unlock()
	w.kill()
	return err
}

// checkPeer reports that the other end of a connection is not the worker.
func (w *Worker) checkPeer(conn *net.UnixConn) error {
	p, known, err := peerOf(conn)
	switch {
	case err != nil:
		return fmt.Errorf("find out who is at the other end of a worker's socket: %w", err)
	case !known, p.pid == w.cmd.Process.Pid:
		return nil
	case w.script && p.group() == w.cmd.Process.Pid && (w.user == 0 || p.user == w.user):
		return nil
	}
	return fmt.Errorf("process %d of user %d is there, not %d", p.pid, p.user, w.cmd.Process.Pid)
}

// A peer is the process at the other end of a connection.
type peer struct {
	pid  int
	user uint32
}
