package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/selvedge-dev/selvedge/internal/http1"
)

const (
	// maxStreams bounds the requests a client may have open in one HTTP/2
	// connection.
	maxStreams = 250
	// pingAfter is how long an HTTP/2 connection may be silent before it is
	// asked whether it lives, and pingPatience how long it may take to say so.
	pingAfter    = 30 * time.Second
	pingPatience = 15 * time.Second
)

// An http2Server answers HTTP/2 with net/http's server. It gets connections
// from the HTTP/1.1 server, which has read their first bytes: with TLS or
// without, the preface tells.
type http2Server struct {
	http   *http.Server
	handed *handedListener
	once   sync.Once
	served sync.WaitGroup
	active inflight

	mu   sync.Mutex
	idle map[net.Conn]time.Time // connections without a request, since when
}

func newHTTP2Server(h http.Handler, base context.Context, log *slog.Logger, t Timeouts) *http2Server {
	s := &http2Server{handed: newHandedListener(), active: inflight{none: make(chan struct{}, 1)}, idle: map[net.Conn]time.Time{}}
	h = impatient(h, t)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true) // TLS has been taken off
	s.http = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.active.begin()
			defer s.active.end()
			if nc, ok := r.Context().Value(handedKey{}).(*handedConn); ok {
				r.TLS = nc.state
			}
			answerThenLinger(h, w, r)
		}),
		Protocols:      protocols,
		IdleTimeout:    t.Idle,
		MaxHeaderBytes: maxHeaderBytes,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug), // clients' faults
		BaseContext:    func(net.Listener) context.Context { return base },
		ConnContext: func(ctx context.Context, nc net.Conn) context.Context {
			return context.WithValue(ctx, handedKey{}, nc)
		},
		ConnState: s.note,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams,
			SendPingTimeout:      pingAfter,
			PingTimeout:          pingPatience,
			WriteByteTimeout:     t.Write,
		},
		DisableGeneralOptionsHandler: true,
	}
	return s
}

// start begins to serve, once.
func (s *http2Server) start() {
	s.once.Do(func() {
		s.served.Go(func() { _ = s.http.Serve(s.handed) }) // until it is shut down
	})
}

// note keeps idle up to date.
func (s *http2Server) note(nc net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateNew, http.StateIdle:
		s.idle[nc] = time.Now()
	default:
		delete(s.idle, nc)
	}
}

// idlePatience is how long a connection without a request is left alone where
// descriptors are short.
const idlePatience = time.Second

// relieve closes connections without a request.
func (s *http2Server) relieve() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for nc, since := range s.idle {
		if time.Since(since) > idlePatience {
			nc.Close()
		}
	}
}

// take serves a connection of which read has been read.
func (s *http2Server) take(nc net.Conn, read []byte) {
	h := &handedConn{Conn: nc, ahead: bytes.NewReader(read)}
	if secure, ok := nc.(*tls.Conn); ok {
		state := secure.ConnectionState()
		h.state = &state
	}
	s.handed.put(h)
}

// shutdown tells clients to send no further requests (GOAWAY), waits for those
// there are until ctx ends, and then cuts and counts them.
func (s *http2Server) shutdown(ctx context.Context, stop context.CancelCauseFunc) (cut int, err error) {
	err = s.http.Shutdown(ctx)
	cut = int(s.active.n.Load())
	stop(http1.ErrStopped)
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	err = errors.Join(err, s.http.Close())
	s.handed.Close()
	s.served.Wait()
	s.active.wait()
	return cut, err
}

// A handedListener accepts the connections that are put into it.
type handedListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newHandedListener() *handedListener {
	return &handedListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *handedListener) put(nc net.Conn) {
	select {
	case l.conns <- nc:
	case <-l.closed:
		nc.Close()
	}
}

func (l *handedListener) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *handedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *handedListener) Addr() net.Addr { return &net.TCPAddr{} }

type handedKey struct{}

// A handedConn begins with what another server has read of it.
type handedConn struct {
	net.Conn
	ahead *bytes.Reader
	state *tls.ConnectionState // nil without TLS
}

func (c *handedConn) Read(p []byte) (int, error) {
	if n, err := c.ahead.Read(p); err != io.EOF {
		return n, err
	}
	return c.Conn.Read(p)
}

// inflight counts requests, and can be waited for. net/http's server does not
// wait for handlers that it has cut.
type inflight struct {
	n    atomic.Int64
	none chan struct{} // holds a token after n has come down to 0
}

func (f *inflight) begin() { f.n.Add(1) }

func (f *inflight) end() {
	if f.n.Add(-1) == 0 {
		select {
		case f.none <- struct{}{}:
		default:
		}
	}
}

// wait returns when there is no request.
func (f *inflight) wait() {
	for f.n.Load() != 0 {
		<-f.none
	}
}
