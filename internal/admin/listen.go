package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
)

// socketPrefix marks an address that is a path.
const socketPrefix = "unix:"

// Listen opens a listener at addr, host:port or unix:/path. A socket can be
// used by its owner only; one that a server left behind is replaced. An
// address that is in use is a syscall.EADDRINUSE.
func Listen(addr string) (net.Listener, error) {
	path, isSocket := strings.CutPrefix(addr, socketPrefix)
	if !isSocket {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w", addr, err)
		}
		return l, nil
	}
	if err := removeStale(path); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	// Where the kernel can, the socket is made with its mode, so that there is
	// no moment in which others can connect.
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), 0o600) })
	}}
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return l, nil
}

// removeStale removes a socket that nobody listens on.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("there is a file that is no socket")
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
		return syscall.EADDRINUSE
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

// Local reports whether only this machine can reach the address.
func Local(addr net.Addr) bool {
	tcp, isTCP := addr.(*net.TCPAddr)
	return !isTCP || tcp.IP.IsLoopback()
}
