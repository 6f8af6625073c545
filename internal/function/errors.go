package function

import (
	"errors"
	"fmt"
	"time"
)

// Code is a platform error code, the value of the sb-error-code header.
type Code string

// The platform's error codes.
const (
	CodeNotFound      Code = "NOT_FOUND"
	CodeBootError     Code = "BOOT_ERROR"
	CodeWorkerError   Code = "WORKER_ERROR"
	CodeIdleTimeout   Code = "IDLE_TIMEOUT"
	CodeResourceLimit Code = "WORKER_RESOURCE_LIMIT"
	CodeTooLarge      Code = "REQUEST_TOO_LARGE"
	CodeOverloaded    Code = "OVERLOADED"
)

// Errors of a call, before or instead of the function's own answer.
var (
	// ErrNotFound means that no function has the slug.
	ErrNotFound = errors.New("function not found")
	// ErrOverloaded means that a request was not taken in because there are too
	// many. The error is an *OverloadError, which says of what.
	ErrOverloaded = errors.New("too many requests")
	// ErrWorkerGone means that the worker ended before it answered.
	ErrWorkerGone = errors.New("worker ended before it answered")
	// ErrLimit means that the worker was stopped because of one of its limits.
	// The error is a *LimitError.
	ErrLimit = errors.New("worker was stopped for reaching a limit")
	// ErrClosed means that the server is shutting down.
	ErrClosed = errors.New("server is shutting down")
)

// A BootError says why a function could not be started: its source did not
// build, its top level threw, or it never began to serve.
type BootError struct {
	Slug string
	// Stage is "bundle", "load" or "serve".
	Stage string
	// Message is one line for a person.
	Message string
	// Detail is the excerpt or stack trace, "" for none. It names the user's
	// files and is shown to clients only in development.
	Detail string
	// Err is the cause, if there is one in Go.
	Err error
}

func (e *BootError) Error() string {
	return fmt.Sprintf("start function %s: %s: %s", e.Slug, e.Stage, e.Message)
}

func (e *BootError) Unwrap() error { return e.Err }

// An Overload says of what there is too much.
type Overload string

// The reasons for which a request is not taken in.
const (
	// QueueFull: as many requests wait for the function as may.
	QueueFull Overload = "queue_full"
	// QueueTimeout: no worker had room in the time that a request may wait.
	QueueTimeout Overload = "queue_timeout"
	// RateLimited: the caller called the function more often than it may.
	RateLimited Overload = "rate_limit"
	// TooManyOpen: the server has as many requests open as it may.
	TooManyOpen Overload = "open_requests"
)

// An OverloadError is an ErrOverloaded.
type OverloadError struct {
	Reason Overload
	// RetryAfter is when a further try may be worth it.
	RetryAfter time.Duration
}

func (e *OverloadError) Error() string {
	switch e.Reason {
	case QueueFull:
		return "too many requests are waiting for this function"
	case QueueTimeout:
		return "no worker of this function had room in time"
	case RateLimited:
		return "the caller's rate limit for this function is used up"
	case TooManyOpen:
		return "too many requests are open"
	}
	return ErrOverloaded.Error()
}

// Is makes every OverloadError an ErrOverloaded.
func (e *OverloadError) Is(target error) bool { return target == ErrOverloaded }

// A LimitError is an ErrLimit.
type LimitError struct {
	Slug string
	// Reason is the reason of the worker's shutdown, such as "memory".
	Reason string
	// Detail says which limit it was and how to change it, for whoever runs the
	// function.
	Detail string
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("a worker of %s was stopped: %s", e.Slug, e.Detail)
}

// Is makes every LimitError an ErrLimit.
func (e *LimitError) Is(target error) bool { return target == ErrLimit }
