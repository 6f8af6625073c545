package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/http1"
)

// maxHeaderBytes bounds a request's head, its first line included.
const maxHeaderBytes = 64 << 10

// Timeouts bound how long clients may let the server wait.
type Timeouts struct {
	// Head is for a request's head, from its first byte to its last, and for
	// the first byte of a connection.
	Head time.Duration
	// Read is for each wait for more of a body, not the whole of it.
	Read time.Duration
	// Write is for each wait for the client to take more of an answer.
	Write time.Duration
	// Idle is for the next request of a connection. It must be longer than
	// that of a load balancer in front (an ALB's is 60 s unless set): were it
	// the shorter one, requests would be sent into connections that are being
	// closed, and be answered with 502.
	Idle time.Duration
}

// DefaultTimeouts are in force where Options has none.
func DefaultTimeouts() Timeouts {
	return Timeouts{Head: 10 * time.Second, Read: 60 * time.Second, Write: 60 * time.Second, Idle: 620 * time.Second}
}

// errPanicked is recorded for a request whose handler panicked.
var errPanicked = errors.New("gateway panicked")

// A Server is the gateway. Its methods may be called at the same time.
//
// HTTP/1.1 is answered by the project's own server, for its speed, and HTTP/2
// by net/http's. Connections come to the first one, which hands over those that
// speak HTTP/2.
type Server struct {
	opts     Options
	region   string
	log      *slog.Logger
	born     time.Time
	chain    Handler
	http1    *http1.Server
	http2    *http2Server
	stopping atomic.Bool
	metrics  metrics
	// ignored remembers whose forwarding headers have been spoken of.
	ignored ignored

	inflight atomic.Int64
	stop     context.CancelCauseFunc
}

// New returns a Server that listens nowhere yet.
func New(opts Options) *Server {
	s := &Server{opts: opts, region: opts.Region, log: opts.Log, born: time.Now()}
	if s.region == "" {
		s.region = "local"
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	timeouts := DefaultTimeouts()
	if opts.Timeouts != (Timeouts{}) {
		timeouts = opts.Timeouts
	}
	s.chain = s.buildHandler()

	base, stop := context.WithCancelCause(context.Background())
	s.stop = stop
	s.http2 = newHTTP2Server(s, base, s.log, timeouts)
	s.http1 = &http1.Server{
		Handler:           s,
		ReadHeaderTimeout: timeouts.Head,
		ReadTimeout:       timeouts.Read,
		WriteTimeout:      timeouts.Write,
		IdleTimeout:       timeouts.Idle,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          s.log,
		Preface:           s.http2.take,
		OnRefusal:         s.refused,
		OnCrowded:         s.http2.relieve,
		Descriptors:       opts.Descriptors,
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
	s.http2.start()
	if err := s.http1.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}

// SayStopping has the health endpoints answer 503 from now on: load balancers
// are to see that a server stops before it does.
func (s *Server) SayStopping() { s.stopping.Store(true) }

// ServeHTTP answers one request. It is exported for tests and for servers of
// another kind.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := calls.Get().(*Call)
	c.Start = time.Now()
	s.inflight.Add(1)
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
	s.inflight.Add(-1)
}

func (s *Server) record(r *http.Request, c *Call) Record {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	return Record{
		Time: c.Start, RequestID: c.RequestID, Slug: c.Route.Slug,
		Method: r.Method, Path: path,
		Status: c.Status, Duration: time.Since(c.Start), Bytes: c.Bytes,
		ExecutionID: c.ExecutionID, ClientIP: c.origin.ip, Err: c.Err,
		Code: c.Code, Queued: c.queued, Retried: c.retried, Cut: c.cutBy(), TraceID: traceID(r.Header),
	}
}

// refused gives an answer that was given before there was a request what all
// answers have, and records it.
func (s *Server) refused(h http.Header, why *http1.Refusal, remoteAddr string) {
	c := calls.Get().(*Call)
	c.Start = time.Now()
	s.metrics.received.Add(1)
	c.identify(s.region)
	c.origin.client, c.origin.ip = peer(remoteAddr)
	c.stamp(h)
	refusalHead(h, function.Code(why.Code), corsExposed)
	c.Status, c.Err, c.Code = why.Status, why, function.Code(why.Code)
	s.metrics.count(c)
	if s.opts.OnRequest != nil {
		s.opts.OnRequest(s.record(&http.Request{}, c))
	}
	c.recycle()
}

// Shutdown stops accepting, then waits for the requests in flight, upgraded
// connections among them, until ctx is done; those that remain are cut and
// counted. When it returns nothing of the server is running. The error is that
// of closing the listeners.
func (s *Server) Shutdown(ctx context.Context) (cut int, err error) {
	s.SayStopping()
	type result struct {
		cut int
		err error
	}
	of2 := make(chan result, 1)
	go func() {
		cut, err := s.http2.shutdown(ctx, s.stop)
		of2 <- result{cut, err}
	}()
	cut, err = s.http1.Shutdown(ctx)
	r := <-of2
	if err = errors.Join(err, r.err); err != nil {
		err = fmt.Errorf("close listeners: %w", err)
	}
	return cut + r.cut, err
}
