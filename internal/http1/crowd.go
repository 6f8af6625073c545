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
	// evictShare is which part of the connections without a request goes besides
	// those that are too many: to find those that are idle longest takes a look
	// at all.
	evictShare = 16
	// crowdedPause is how long it takes to look for such again.
	crowdedPause = 20 * time.Millisecond
	// crowdedEvery is how often it is said that descriptors are short.
	crowdedEvery = time.Minute
)

// A crowd is what is remembered of the last lack of descriptors. It is guarded
// by the server's lock.
type crowd struct {
	said   time.Time
	closed int // connections, since then
}

// makeRoom sees to it that a connection with the descriptor does not take what
// is spared. While all others are too young to be closed it waits, so that who
// opens many and says nothing cannot take everything.
func (s *Server) makeRoom(number int) {
	for {
		closed, young := s.relieve(number - s.Descriptors + 1)
		if closed > 0 || young == 0 || s.closing.Load() {
			return
		}
		time.Sleep(crowdedPause)
	}
}

// relieve closes some connections between two requests, those that are idle
// longest first. It returns how many, and how many more there are that had not
// the time to send a request. Clients have to expect that an idle connection
// ends at any time (RFC 9112, 9.6).
func (s *Server) relieve(some int) (closed, young int) {
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
		case state == connNew:
			young++
		}
	}
	slices.SortFunc(idle, func(a, b candidate) int { return cmp.Compare(a.since, b.since) })
	closed = min(len(idle), some+len(idle)/evictShare)
	for _, i := range idle[:closed] {
		i.c.closeIf(connIdle)
		i.c.closeIf(connNew)
	}
	s.crowd.closed += closed
	if t := time.Now(); t.Sub(s.crowd.said) >= crowdedEvery {
		s.log().Warn("open files are short: connections without a request are closed; raise the limit (ulimit -n)",
			"connections", len(s.conns), "closed", s.crowd.closed)
		s.crowd = crowd{said: t}
	}
	return closed, young
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
