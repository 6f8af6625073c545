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
	"github.com/selvedge-dev/selvedge/internal/observe"
	"github.com/selvedge-dev/selvedge/internal/pool"
)

// An observer writes what happens in the pool and the gateway to the log.
type observer struct{ log *slog.Logger }

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
	observe.Event{
		Kind: observe.Boot, Slug: b.Slug, ExecutionID: b.ExecutionID, Cached: b.Cached,
		Boot: observe.BootTimes{Queue: b.Queue, Bundle: b.Bundle, Spawn: b.Spawn, Load: b.Load},
	}.Log(o.log)
}

func (o observer) BootFailure(slug string, err error, nextTry time.Duration) {
	event := observe.Event{Kind: observe.BootFailure, Slug: slug, Message: err.Error()}
	var fault *function.BootError
	if errors.As(err, &fault) {
		event.Reason, event.Message, event.Detail = fault.Stage, fault.Message, fault.Detail
	}
	if nextTry > 0 {
		event.Message += fmt.Sprintf(" (it keeps failing: next try in %s at the earliest)", nextTry)
	}
	event.Log(o.log)
}

func (o observer) Exit(e pool.Exit) {
	event := observe.Event{
		Slug: e.Slug, ExecutionID: e.ExecutionID, ExitCode: e.Code, CPU: e.CPU, Memory: e.MaxRSS,
	}
	if e.Reason != "" {
		event.Kind, event.Reason = observe.Shutdown, e.Reason
		if e.Asked {
			event.ExitCode = 0 // of the signal it was sent, which says nothing
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
	observe.Request{
		RequestID: r.RequestID, ExecutionID: r.ExecutionID, Slug: r.Slug, Method: r.Method, Path: r.Path,
		Status: r.Status, Duration: r.Duration, Queued: r.Queued, Bytes: r.Bytes, ClientIP: r.ClientIP,
		TraceID: r.TraceID, ErrorCode: string(r.Code), Err: r.Err,
	}.Log(o.log)
}
