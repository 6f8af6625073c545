//go:build !linux

package worker

import "net"

// peerOf is known only on Linux.
func peerOf(*net.UnixConn) (p peer, known bool, err error) { return peer{}, false, nil }

func (p peer) group() int { return 0 }
