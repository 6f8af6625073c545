package http1

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// defaultMaxHeaderBytes is what Server.MaxHeaderBytes 0 stands for.
	defaultMaxHeaderBytes = 64 << 10
	// newGrace is how long Shutdown waits for connections that have not sent
	// their first request yet: it may be on its way.
	newGrace = 1 * time.Second
)

// ErrStopped is the cause of a request's context when it outlasted Shutdown.
var ErrStopped = errors.New("server was stopped")

// A Server answers requests with its Handler. Its fields are not changed after
// the first Serve.
type Server struct {
	// Handler answers requests; see the package's documentation for what it
	// must not do. One that panics has its connection cut.
	Handler http.Handler
	// ReadHeaderTimeout bounds the time from a request head's first byte to
	// its last, and from a connection's begin to its first request's; 0 means
	// that nothing does. All time-outs may be a second late.
	ReadHeaderTimeout time.Duration
	// IdleTimeout bounds the wait for the next request; 0 means that nothing
	// does.
	IdleTimeout time.Duration
	// ReadTimeout bounds each wait for more of a body, not the whole of it; 0
	// means that nothing does.
	ReadTimeout time.Duration
	// WriteTimeout bounds each wait for the client to take more of an answer,
	// not the whole of it; 0 means that nothing does.
	WriteTimeout time.Duration
	// MaxHeaderBytes bounds a request's head with its request line; 0 means
	// 64 KiB.
	MaxHeaderBytes int
	// BaseContext is what the requests' contexts derive from; nil means
	// context.Background.
	BaseContext context.Context
	// ErrorLog gets the handler's panics and failures to accept; nil means
	// nobody does.
	ErrorLog *slog.Logger
	// Preface, if not nil, takes over connections that begin as HTTP/2 does
	// without TLS, with what has been read of them. It runs in the
	// connection's goroutine, and Shutdown waits for its return.
	Preface func(nc net.Conn, read []byte)
	// Descriptors is how many this process should have open at most, 0 for any
	// number. A connection that makes it more has others closed that are between
	// two requests, so that clients which keep theirs for later leave room for
	// the rest of the server.
	Descriptors int
	// OnCrowded, if not nil, is called before that, and when no connection can
	// be accepted for want of descriptors.
	OnCrowded func()
	// OnRefusal, if not nil, is called before a request is answered in the
	// Handler's place, and may set headers.
	OnRefusal func(h http.Header, refusal *Refusal, remoteAddr string)

	closing atomic.Bool // no further request on any connection
	stopped atomic.Bool // nothing more is sent either

	mu        sync.Mutex
	base      context.Context
	cancel    context.CancelCauseFunc
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	crowd     crowd
	full      bool          // no connection is taken any more
	empty     chan struct{} // receives when there is no connection left
	served    sync.WaitGroup
}

// Serve answers requests from l, which it closes, until Shutdown or Close; then
// it returns http.ErrServerClosed, as net/http does.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	base, ok := s.add(l)
	if !ok {
		return http.ErrServerClosed
	}
	defer s.drop(l)
	var pause time.Duration
	for {
		nc, err := l.Accept()
		if err == nil {
			pause = 0
			// Of all numbers the kernel gives the lowest that is free.
			if s.Descriptors > 0 {
				if number := descriptor(nc); number >= s.Descriptors {
					s.makeRoom(number)
				}
			}
			s.start(nc, base)
			continue
		}
		if s.closing.Load() {
			return http.ErrServerClosed
		}
		var ne net.Error
		//lint:ignore SA1019 nothing else tells a lack of descriptors, which passes
		if !errors.As(err, &ne) || !ne.Temporary() {
			return fmt.Errorf("accept: %w", err)
		}
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		s.log().Warn("no connection can be accepted", "error", err, "retry", pause)
		if errors.Is(err, syscall.EMFILE) {
			s.relieve(1)
		}
		time.Sleep(pause)
	}
}

func (s *Server) init() {
	if s.conns != nil {
		return
	}
	parent := s.BaseContext
	if parent == nil {
		parent = context.Background()
	}
	s.base, s.cancel = context.WithCancelCause(parent)
	s.conns, s.listeners = map[*conn]struct{}{}, map[net.Listener]struct{}{}
	s.empty = make(chan struct{}, 1)
}

func (s *Server) add(l net.Listener) (base context.Context, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.init()
	if s.closing.Load() {
		return nil, false
	}
	s.listeners[l] = struct{}{}
	return s.base, true
}

func (s *Server) drop(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

// start serves a connection in a goroutine.
func (s *Server) start(nc net.Conn, base context.Context) {
	c := newConn(s, nc, base)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full {
		nc.Close()
		return
	}
	s.conns[c] = struct{}{}
	s.served.Go(func() {
		defer s.remove(c)
		defer c.survive()
		c.serve()
	})
}

// survive ends the connection, and not the process, after a panic of the
// server's own: whoever finds one would stop all functions with it.
func (c *conn) survive() {
	if p := recover(); p != nil {
		c.server.log().Error("server panicked", "remote", c.remote, "panic", p, "stack", string(debug.Stack()))
		c.nc.Close()
	}
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if len(s.conns) == 0 {
		select {
		case s.empty <- struct{}{}:
		default:
		}
	}
}

// Shutdown stops accepting, closes connections that have no request in hand
// and waits for the others until ctx is done. Handlers that still run then are
// cut and counted: their contexts end and their connections are closed, but
// for those that they have hijacked. It returns when all handlers have, and
// nothing of the server is left running. The error is that of closing the
// listeners.
func (s *Server) Shutdown(ctx context.Context) (cut int, err error) {
	err = s.refuseNew()
	grace := time.NewTimer(newGrace)
	defer grace.Stop()
	for s.closeIdle() > 0 && ctx.Err() == nil {
		select {
		case <-s.empty:
		case <-grace.C:
			s.closeNew()
		case <-ctx.Done():
		}
	}
	cut = s.cut()
	s.served.Wait()
	return cut, err
}

// Close is a Shutdown without patience.
func (s *Server) Close() error {
	err := s.refuseNew()
	s.cut()
	s.served.Wait()
	return err
}

// refuseNew closes the listeners.
func (s *Server) refuseNew() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.init()
	s.closing.Store(true)
	var err error
	for l := range s.listeners {
		err = errors.Join(err, l.Close())
		delete(s.listeners, l)
	}
	return err
}

// closeIdle closes connections between two requests and returns how many are
// left, those among them that are about to end.
func (s *Server) closeIdle() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.closeIf(connIdle)
	}
	return len(s.conns)
}

// closeNew closes connections that have not sent anything, now and to come.
func (s *Server) closeNew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = true
	for c := range s.conns {
		c.closeIf(connNew)
	}
}

func (c *conn) closeIf(state connState) {
	if c.state.CompareAndSwap(int32(state), int32(connClosed)) {
		c.nc.Close()
	}
}

// cut ends everything and returns how many handlers that concerns.
func (s *Server) cut() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = true
	n := 0
	for c := range s.conns {
		if c.busy() {
			n++
		}
	}
	s.stopped.Store(true) // what handlers answer to the next line is cut off
	s.cancel(ErrStopped)  // before the connections end, for the contexts' cause
	for c := range s.conns {
		c.cut()
	}
	return n
}

// busy reports whether a handler runs.
func (c *conn) busy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.handling
}

// cut closes the connection, unless it is hijacked.
func (c *conn) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.hijacked {
		c.nc.Close()
	}
}

func (s *Server) maxHeaderBytes() int {
	if s.MaxHeaderBytes > 0 {
		return s.MaxHeaderBytes
	}
	return defaultMaxHeaderBytes
}

func (s *Server) log() *slog.Logger {
	if s.ErrorLog == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.ErrorLog
}
