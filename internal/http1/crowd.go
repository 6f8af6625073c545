package http1

import (
	"cmp"
	"crypto/tls"
	"net"
	"slices"
	"syscall"
	"time"
)

const (
	// newPatience is how long a connection without a request is left alone
	// where descriptors are short.
	newPatience = 1 * time.Second
	// evictShare is which part of the connections without a request goes at
	// once: to find those that are idle longest takes a look at all.
	evictShare = 16
	// crowdedEvery is how often it is said that descriptors are short.
	crowdedEvery = time.Minute
)

// A crowd is what is remembered of the last lack of descriptors. It is guarded
// by the server's lock.
type crowd struct {
	said   time.Time
	closed int // connections, since then
}

// relieve closes connections between two requests, those that are idle longest
// first, and reports whether there was one. Clients have to expect that: an
// idle connection may end at any time (RFC 9112, 9.6).
func (s *Server) relieve() bool {
	type candidate struct {
		c     *conn
		since clock
	}
	if s.OnCrowded != nil {
		s.OnCrowded()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var idle []candidate
	youngest := now() - clock(newPatience)
	for c := range s.conns {
		since := clock(c.since.Load())
		switch state := connState(c.state.Load()); {
		case state == connIdle, state == connNew && since < youngest:
			idle = append(idle, candidate{c, since})
		}
	}
	slices.SortFunc(idle, func(a, b candidate) int { return cmp.Compare(a.since, b.since) })
	for _, i := range idle[:(len(idle)+evictShare-1)/evictShare] {
		i.c.closeIf(connIdle)
		i.c.closeIf(connNew)
		s.crowd.closed++
	}
	if t := time.Now(); t.Sub(s.crowd.said) >= crowdedEvery {
		s.log().Warn("open files are short: connections without a request are closed; raise the limit (ulimit -n)",
			"connections", len(s.conns), "closed", s.crowd.closed)
		s.crowd = crowd{said: t}
	}
	return len(idle) > 0
}

// descriptor is the number of a connection's descriptor, 0 where it has none.
func descriptor(nc net.Conn) (number int) {
	if secure, ok := nc.(*tls.Conn); ok {
		nc = secure.NetConn()
	}
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { number = int(fd) }) // it is closed already
		}
	}
	return number
}
