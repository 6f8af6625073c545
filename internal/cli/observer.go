package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/gateway"
	"github.com/selvedge-dev/selvedge/internal/metrics"
	"github.com/selvedge-dev/selvedge/internal/observe"
	"github.com/selvedge-dev/selvedge/internal/pool"
)

// An observer writes what happens in the pool and the gateway to the log, and
// counts it.
type observer struct {
	log     *slog.Logger
	metrics *metrics.Metrics // nil for no counting
}

func (o observer) Log(slug, executionID string, r deno.Record) {
	observe.Line{
		Slug: slug, ExecutionID: executionID, RequestID: r.RequestID,
		Level: levelNames[r.Level], Text: r.Text, Raw: r.Raw, Cut: r.Cut,
	}.Log(o.log)
}

var levelNames = map[deno.Level]string{
	deno.LevelDebug: "debug", deno.LevelInfo: "info", deno.LevelWarn: "warn", deno.LevelError: "error",
}

func (o observer) Boot(b pool.Boot) {
	o.metrics.Boot(metrics.Boot{
		Slug: b.Slug, Queue: b.Queue, Bundle: b.Bundle, Spawn: b.Spawn, Load: b.Load, Total: b.Total, Cached: b.Cached,
	})
	observe.Event{
		Kind: observe.Boot, Slug: b.Slug, ExecutionID: b.ExecutionID, Cached: b.Cached,
		Boot: observe.BootTimes{Queue: b.Queue, Bundle: b.Bundle, Spawn: b.Spawn, Load: b.Load, Evaluate: b.Evaluate},
	}.Log(o.log)
}

func (o observer) BootFailure(slug string, err error, nextTry time.Duration) {
	event := observe.Event{Kind: observe.BootFailure, Slug: slug, Message: err.Error()}
	var fault *function.BootError
	if errors.As(err, &fault) {
		event.Reason, event.Message, event.Detail = fault.Stage, fault.Message, fault.Detail
	}
	o.metrics.BootFailure(slug, event.Reason)
	if nextTry > 0 {
		event.Message += fmt.Sprintf(" (it keeps failing: next try in %s at the earliest)", nextTry)
	}
	event.Log(o.log)
}

func (o observer) Exit(e pool.Exit) {
	o.metrics.Exit(e.Slug, e.Reason, e.CPU)
	event := observe.Event{
		Slug: e.Slug, ExecutionID: e.ExecutionID, ExitCode: e.Code, CPU: e.CPU, Memory: e.MaxRSS,
	}
	if e.Reason != "" {
		event.Kind, event.Reason = observe.Shutdown, e.Reason
		if e.Asked {
			event.ExitCode = 0 // of the signal it was sent, which says nothing
		}
		if e.Detail != "" {
			event.Message = "worker stopped: " + e.Detail
			if e.InFlight > 0 {
				event.Message += fmt.Sprintf("; %d requests in flight failed with it", e.InFlight)
			}
		}
		event.Log(o.log)
		return
	}
	event.Kind, event.Reason = observe.UncaughtException, "exit"
	event.Message = fmt.Sprintf("the worker ended by itself with code %d", e.Code)
	if e.InFlight > 0 {
		event.Message += fmt.Sprintf(", %d requests in flight failed with it", e.InFlight)
	}
	event.Detail = strings.TrimSpace(e.Tail)
	event.Log(o.log)
}

func (o observer) Request(r gateway.Record) {
	o.metrics.Request(metrics.Request{
		Slug: r.Slug, Method: r.Method, Status: r.Status, Duration: r.Duration,
		Dispatched: r.ExecutionID != "" || r.Queued > 0, Queued: r.Queued,
		Bytes: r.Bytes, Retried: r.Retried, Rejected: rejection(r), Cut: string(r.Cut),
	})
	observe.Request{
		Time:      r.Time.Add(r.Duration), // to ask for it again costs more
		RequestID: r.RequestID, ExecutionID: r.ExecutionID, Slug: r.Slug, Method: r.Method, Path: r.Path,
		Status: r.Status, Duration: r.Duration, Queued: r.Queued, Bytes: r.Bytes, ClientIP: r.ClientIP,
		TraceID: r.TraceID, ErrorCode: string(r.Code), Err: r.Err,
	}.Log(o.log)
}

// rejection is why the platform answered in the function's place, "" where it
// did not.
func rejection(r gateway.Record) string {
	switch r.Code {
	case gateway.CodeFunctionError:
		return ""
	case function.CodeOverloaded:
		if over, ok := errors.AsType[*function.OverloadError](r.Err); ok {
			return string(over.Reason)
		}
		if errors.Is(r.Err, function.ErrClosed) {
			return "shutdown"
		}
	}
	return string(r.Code)
}
