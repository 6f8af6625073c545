package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/upstream"
)

// An Invoker finds workers for requests. Its methods may be called at the same
// time.
type Invoker interface {
	// Exists reports whether a function has the slug. It is asked on every
	// request and must not wait for anything.
	Exists(slug string) bool
	// Acquire waits until a worker of the function can take a request. Its
	// error is function.ErrNotFound, a *function.BootError,
	// function.ErrOverloaded, function.ErrClosed or the context's.
	Acquire(ctx context.Context, slug string) (Lease, error)
}

// A Lease is the right to send one request to one worker.
type Lease interface {
	// Upstream is the client to the worker.
	Upstream() *upstream.Client
	// Absolute says whether the worker wants the target in absolute form, see
	// upstream.Options.Absolute.
	Absolute() bool
	// RequestIdle bounds the wait for the first byte of the answer; 0 means
	// that nothing does.
	RequestIdle() time.Duration
	// ExecutionID is the worker's, a UUID.
	ExecutionID() string
	// Suspect is called before Release when the worker broke off without a
	// whole answer, so that no other request is sent to one that is ending. It
	// returns a *function.LimitError if that is why it ended, else nil.
	Suspect() error
	// Release gives the worker back. It is called exactly once.
	Release()
}

// Options configure a Server. They are not changed after New.
type Options struct {
	// Invoker finds workers. It is required.
	Invoker Invoker
	// Region is the value of x-sb-edge-region, "" for "local".
	Region string
	// Development shows clients why a function did not start. Never set it
	// where strangers can reach the server: the text names source files.
	Development bool
	// TrustedProxies are those whose X-Forwarded-* and Forwarded headers are
	// believed; none are by default.
	TrustedProxies Proxies
	// OnRequest, if not nil, is told of every request after it has ended, from
	// the request's goroutine.
	OnRequest func(Record)
	// Metrics, if not nil, adds counters to /_internal/metric.
	Metrics func() map[string]int64
	// Health, if not nil, is asked by the health endpoints.
	Health func() Health
	// Descriptors is how many this process should have open at most, 0 for any
	// number: past it, clients lose connections that they do not use.
	Descriptors int
	// Timeouts bound how long clients may let the server wait; zero stands for
	// DefaultTimeouts.
	Timeouts Timeouts
	// Log takes what has no request to belong to, nil for nowhere.
	Log *slog.Logger

	// The named places in the chain, outermost first; nil ones are left out.
	// They see only requests for functions that exist; CORS sees the others too.
	Trace        Middleware // what is made known to a collector
	CORS         Middleware
	Authenticate Middleware
	Limits       Middleware // of the request: size, rate
	Admission    Middleware // of the machine: memory, open requests
}

// A Handler answers one request. It must note in the Call what it answered.
type Handler func(w http.ResponseWriter, r *http.Request, c *Call)

// A Middleware wraps a Handler.
type Middleware func(next Handler) Handler

// A Record says how a request ended.
type Record struct {
	Time time.Time // when it began
	// RequestID is the sb-request-id, a UUIDv7.
	RequestID string
	// Slug is the function's, "" when the request was for none.
	Slug   string
	Method string
	// Path is the target as received, without the query, which may hold
	// secrets.
	Path string
	// Status is what was answered; StatusClientGone when the client left, or
	// the server was stopped, before an answer.
	Status   int
	Duration time.Duration
	// Bytes counts the body of the answer.
	Bytes       int64
	ExecutionID string
	ClientIP    string
	// Err is why the platform answered in the function's place, or why the
	// answer was cut; nil for neither.
	Err error
	// Code is the answer's sb-error-code, "" for none.
	Code function.Code
	// Queued is how long the request waited for workers, 0 when it needed none.
	Queued time.Duration
	// Retried is set when a second worker was asked, the first one having gone
	// before the function can have run.
	Retried bool
	// Cut says who broke off before the end of the answer, CutNot when nobody
	// did.
	Cut Cut
	// TraceID is that of the client's traceparent, "" without a valid one.
	TraceID string
}

// A Cut is who broke a request off, so that there is no whole answer to it.
type Cut string

// The values of Cut.
const (
	CutNot        Cut = ""
	CutByClient   Cut = "client"
	CutByWorker   Cut = "worker"
	CutByShutdown Cut = "shutdown"
)

// StatusClientGone is recorded for a request that nobody waits for any more.
// It is nginx's number for it and is never sent.
const StatusClientGone = 499
