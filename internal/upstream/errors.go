package upstream

import (
	"errors"
	"fmt"

	"github.com/selvedge-dev/selvedge/internal/function"
)

// The kinds of failure that [Client.Forward] tells apart. Each arrives inside
// an [*Error]; compare with errors.Is. A worker that ended before the first
// byte of its answer is [function.ErrWorkerGone].
var (
	// ErrClosed means that the Client was closed before the request was sent.
	ErrClosed = errors.New("upstream client is closed")
	// ErrFirstByteTimeout means that Options.FirstByte passed without a head.
	ErrFirstByteTimeout = errors.New("worker sent no answer in time")
	// ErrMalformedAnswer means that the worker's answer is not HTTP/1.1 as
	// this package accepts it.
	ErrMalformedAnswer = errors.New("worker sent a malformed answer")
	// ErrUpgradeRefused means that the worker answered an upgrade request
	// with neither 101 nor an error status.
	ErrUpgradeRefused = errors.New("function did not take the upgrade")
	// ErrAnswerCut means that the worker ended, or broke the framing, in the
	// middle of a body whose head the client already has. The client's
	// connection must be cut (panic with http.ErrAbortHandler), or what it has
	// received looks whole.
	ErrAnswerCut = errors.New("worker ended in the middle of its answer")
	// ErrClientGone means that the client went away or its context was ended.
	ErrClientGone = errors.New("client went away")
	// ErrRequestBody means that the client's body could not be read to its
	// end although the client is still there; the cause is wrapped.
	ErrRequestBody = errors.New("request body could not be read")
	// ErrNoDescriptor means that this process, or the machine, has no file
	// descriptor left for a connection to the worker.
	ErrNoDescriptor = errors.New("no file descriptor is left; raise the limit of open files (ulimit -n)")
	// ErrBadRequest means that the request cannot be put on the wire: a target
	// or header value with bytes that HTTP/1.1 has no place for.
	ErrBadRequest = errors.New("request cannot be forwarded")
)

// An Error says what failed and how far the request had got, which decides
// whether it may be tried elsewhere.
type Error struct {
	// Kind is one of the package's sentinels or function.ErrWorkerGone.
	Kind error
	// Err is the cause, nil for none.
	Err error
	// Delivered means that a worker may have read the whole request head, so
	// the function may have run. A unix socket tells: a peer that closed with
	// unread bytes in its queue resets the connection (unix(7)), and then
	// Delivered is false.
	Delivered bool
	// BodyRead means that reading the request's body from the client had
	// begun, so it cannot be sent a second time.
	BodyRead bool
	// Answered means that the head of an answer has gone to the client, so no
	// other answer can.
	Answered bool
}

func (e *Error) Error() string {
	if e.Err == nil {
		return "forward request: " + e.Kind.Error()
	}
	return fmt.Sprintf("forward request: %v: %v", e.Kind, e.Err)
}

// Unwrap makes both the kind and the cause visible to errors.Is and errors.As.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// Retryable reports whether the request can be sent to another worker without
// the function running twice and without losing any of the body.
func (e *Error) Retryable() bool {
	if e.Delivered || e.BodyRead || e.Answered {
		return false
	}
	return e.Kind == function.ErrWorkerGone || e.Kind == ErrClosed
}
