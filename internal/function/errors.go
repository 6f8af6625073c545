package function

import (
	"errors"
	"fmt"
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
	// ErrOverloaded means that the function's queue is full or its deadline
	// passed while waiting for a worker.
	ErrOverloaded = errors.New("too many requests are waiting for this function")
	// ErrWorkerGone means that the worker ended before it answered.
	ErrWorkerGone = errors.New("worker ended before it answered")
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
