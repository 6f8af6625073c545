package worker

import (
	"net"
	"syscall"
)

// peerOf says who made the connection or, seen from the one who did, who
// listened for it (SO_PEERCRED, unix(7)).
func peerOf(conn *net.UnixConn) (p peer, known bool, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return peer{}, false, err
	}
	var cred *syscall.Ucred
	cerr := raw.Control(func(fd uintptr) {
		cred, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if cerr != nil {
		return peer{}, false, cerr
	}
	if err != nil {
		return peer{}, false, err
	}
	return peer{int(cred.Pid), cred.Uid}, true, nil
}

// group is the process group, 0 if that is not to be found out.
func (p peer) group() int {
	if p.pid <= 0 { // of a place that cannot be seen from here; 0 would be the server
		return 0
	}
	group, err := syscall.Getpgid(p.pid)
	if err != nil {
		return 0
	}
	return group
}
