package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

const (
	readHeaderTimeout = 10 * time.Second
	// idleTimeout is longer than a load balancer's in front (an ALB's is 60 s
	// unless set): were ours the shorter one, it would send requests into
	// connections that we are closing and answer them with 502.
	idleTimeout    = 620 * time.Second
	maxHeaderBytes = 64 << 10
	// closeGrace is how long connections without a request are waited for at
	// shutdown: one may have been accepted and not have spoken yet.
	closeGrace = 1 * time.Second
)

// errStopped is why requests end that outlast a shutdown.
var errStopped = errors.New("server was stopped")

// errPanicked is recorded for a request whose handler panicked.
var errPanicked = errors.New("gateway panicked")

// A Server is the gateway. Its methods may be called at the same time.
type Server struct {
	opts    Options
	region  string
	born    time.Time
	chain   Handler
	http    *http.Server
	healthy atomic.Bool
	metrics metrics

	inflight inflight
	stop     context.CancelCauseFunc
}

// New returns a Server that listens nowhere yet. It is healthy.
func New(opts Options) *Server {
	s := &Server{opts: opts, region: opts.Region, born: time.Now()}
	if s.region == "" {
		s.region = "local"
	}
	s.healthy.Store(true)
	s.inflight.none = make(chan struct{}, 1)
	s.chain = s.buildHandler()

	base, stop := context.WithCancelCause(context.Background())
	s.stop = stop
	errorLog := log.New(io.Discard, "", 0)
	if opts.Log != nil {
		errorLog = slog.NewLogLogger(opts.Log.Handler(), slog.LevelWarn)
	}
	s.http = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          errorLog,
		BaseContext:       func(net.Listener) context.Context { return base },
		// Answers of net/http's own would lack our headers.
		DisableGeneralOptionsHandler: true,
	}
	return s
}

// Listen opens a TCP listener at addr, such as ":8000", for Serve. Port 0
// picks a free one.
func (s *Server) Listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return l, nil
}

// Serve answers requests from l until Shutdown, then returns nil; any other
// end is an error. It may be called for several listeners.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}

// SetHealthy switches what the health endpoints answer: 200 or 503. A server
// that is about to stop says so there first, for load balancers to see.
func (s *Server) SetHealthy(healthy bool) { s.healthy.Store(healthy) }

// ServeHTTP answers one request. It is exported for tests and for servers of
// another kind.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := calls.Get().(*Call)
	c.Start = time.Now()
	s.inflight.begin()
	s.metrics.received.Add(1)
	defer s.end(r, c)
	s.chain(w, r, c)
	c.ended = true
	if c.abort {
		panic(http.ErrAbortHandler)
	}
}

// end records a request, whether it returned or panicked.
func (s *Server) end(r *http.Request, c *Call) {
	if !c.ended && c.Err == nil {
		c.Err = errPanicked
	}
	s.metrics.count(c)
	if s.opts.OnRequest != nil {
		s.opts.OnRequest(s.record(r, c))
	}
	if c.ended {
		c.recycle() // after a panic something may still hold it
	}
	s.inflight.end()
}

func (s *Server) record(r *http.Request, c *Call) Record {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	return Record{
		Time: c.Start, RequestID: c.RequestID, Slug: c.Route.Slug,
		Method: r.Method, Path: path,
		Status: c.Status, Duration: time.Since(c.Start), Bytes: c.Bytes,
		ExecutionID: c.ExecutionID, ClientIP: clientIP(r, s.opts.TrustedProxies), Err: c.Err,
	}
}

// Shutdown stops accepting, then waits for the requests in flight, upgraded
// connections among them, until ctx is done; those that remain are cut and
// counted. When it returns nothing of the server is running. The error is that
// of closing the listeners.
func (s *Server) Shutdown(ctx context.Context) (cut int, err error) {
	s.SetHealthy(false)
	polite, impolite := context.WithCancel(ctx)
	defer impolite()
	closed := make(chan error, 1)
	go func() { closed <- s.http.Shutdown(polite) }()

	if s.inflight.wait(ctx) == nil {
		select {
		case err = <-closed:
		case <-time.After(closeGrace):
			impolite()
			<-closed
		case <-ctx.Done():
			<-closed
		}
		// Connections that never spoke, or spoke while the last request ended.
		err = errors.Join(ignoreDone(err), s.http.Close())
	} else {
		cut = int(s.inflight.count())
		s.stop(errStopped)
		err = s.http.Close()
		<-closed
	}
	s.stop(errStopped)
	_ = s.inflight.wait(context.Background())
	if err != nil {
		return cut, fmt.Errorf("close listeners: %w", err)
	}
	return cut, nil
}

func ignoreDone(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// inflight counts requests, upgraded connections among them.
type inflight struct {
	n    atomic.Int64
	none chan struct{} // holds a token after n has come down to 0
}

func (f *inflight) begin()       { f.n.Add(1) }
func (f *inflight) count() int64 { return f.n.Load() }

func (f *inflight) end() {
	if f.n.Add(-1) == 0 {
		select {
		case f.none <- struct{}{}:
		default:
		}
	}
}

// wait returns nil when there is no request, else the context's error.
func (f *inflight) wait(ctx context.Context) error {
	for f.n.Load() != 0 {
		select {
		case <-f.none:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
