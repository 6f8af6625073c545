package observe

import (
	"cmp"
	"context"
	"log/slog"
	"math"
	"strings"
	"time"
)

// A Request is what is said about one request when it is over. Fields that are
// not known are left at zero.
type Request struct {
	// Time is when it was over, zero for now.
	Time        time.Time
	RequestID   string
	ExecutionID string
	Slug        string
	Method      string
	// Path is without the query, which may hold secrets.
	Path string
	// Status is 0 where nothing was answered.
	Status   int
	Duration time.Duration
	// Queued is the part of it spent waiting for a worker.
	Queued time.Duration
	// Bytes of the answer's body.
	Bytes    int64
	ClientIP string
	// TraceID is that of the W3C trace the request belongs to.
	TraceID   string
	ErrorCode string
	// Err is why the exchange failed, as when the client went away.
	Err error
}

// Log writes the request's line. A nil log is nowhere.
func (r Request) Log(log *slog.Logger) {
	level := slog.LevelInfo
	switch {
	case r.Status >= 500:
		level = slog.LevelError
	case r.Err != nil || r.Status == 0:
		level = slog.LevelWarn
	}
	if !enabled(log, level) {
		return
	}
	if r.Time.IsZero() {
		r.Time = time.Now()
	}
	if h, ok := log.Handler().(*jsonHandler); ok && h.request(&r, level) {
		return
	}
	kept := r // only a line that needs it costs the allocation
	emit(log, r.Time, level, requestMsg, &kept)
}

const requestMsg = "request"

// A Line is one thing a function said: a call of its console, or a line of
// output past it.
type Line struct {
	// Time is when it was said, zero for now.
	Time        time.Time
	Slug        string
	ExecutionID string
	// RequestID is "" for what was said outside a request.
	RequestID string
	// Level is debug, info (also log and ""), warn (also warning) or error.
	Level string
	// Text may have several lines.
	Text string
	// Raw is set for output that did not come through the console.
	Raw bool
	// Cut is the number of bytes left off the end of Text.
	Cut int
}

// Log writes the line. A nil log is nowhere.
func (l Line) Log(log *slog.Logger) {
	level := slog.LevelInfo
	switch l.Level {
	case "debug":
		level = slog.LevelDebug
	case "warn", "warning":
		level = slog.LevelWarn
	case "error":
		level = slog.LevelError
	}
	// The level of the server's log is about the server: whoever sees a
	// function's console.log sees its console.debug.
	if !enabled(log, max(level, slog.LevelInfo)) {
		return
	}
	kept := l
	emit(log, l.Time, level, l.Text, &kept)
}

// A Kind is what happened to a worker.
type Kind string

// The kinds of events.
const (
	Boot              Kind = "boot"
	BootFailure       Kind = "boot_failure"
	UncaughtException Kind = "uncaught_exception"
	Shutdown          Kind = "shutdown"
)

// Reasons of a shutdown.
const (
	ReasonWallClock   = "wall_clock_time"
	ReasonCPU         = "cpu_time"
	ReasonMemory      = "memory"
	ReasonEarlyDrop   = "early_drop"
	ReasonTermination = "termination_requested"
	ReasonCodeChanged = "code_changed"
	ReasonTmpSize     = "tmp_size"
)

// BootTimes are the parts of a boot, one after the other.
type BootTimes struct {
	Queue  time.Duration // waiting for a place
	Bundle time.Duration // bundling, or finding that unnecessary
	Spawn  time.Duration // starting the process
	Load   time.Duration // loading and evaluating the function
	// Evaluate is the part of Load spent in the function's own modules.
	Evaluate time.Duration
}

// Total is the sum of the parts that follow each other.
func (b BootTimes) Total() time.Duration { return b.Queue + b.Bundle + b.Spawn + b.Load }

// An Event is something that happened in a worker's life.
type Event struct {
	// Time is when it happened, zero for now.
	Time time.Time
	Kind Kind
	Slug string
	// ExecutionID is the worker's, "" where there is none yet.
	ExecutionID string
	// RequestID is the request it happened in, "" for none.
	RequestID string

	// Boot and Cached are of a Boot. Cached is set when the bundle was there
	// already.
	Boot   BootTimes
	Cached bool

	// Reason is one of the Reason constants for a Shutdown, and what kind of
	// failure for the others, "" where nothing is known.
	Reason string
	// Message is the error's message. A Boot and a Shutdown need none.
	Message string
	// Detail has more lines: an excerpt of the source, or a stack.
	Detail string

	// ExitCode is the process's, 128 plus the signal for one that was killed.
	ExitCode int
	// CPU is the processor time that was used.
	CPU time.Duration
	// Memory is the most that was used, in bytes.
	Memory int64
}

// Log writes the event. A nil log is nowhere.
func (e Event) Log(log *slog.Logger) {
	level := e.level()
	if !enabled(log, level) {
		return
	}
	kept := e
	emit(log, e.Time, level, e.message(), &kept)
}

func (e *Event) level() slog.Level {
	switch e.Kind {
	case BootFailure, UncaughtException:
		return slog.LevelError
	case Shutdown:
		if e.Reason == ReasonCPU || e.Reason == ReasonMemory || e.Reason == ReasonTmpSize {
			return slog.LevelWarn
		}
	}
	return slog.LevelInfo
}

func (e *Event) message() string {
	if e.Message != "" {
		return e.Message
	}
	switch e.Kind {
	case Boot:
		return "function ready"
	case BootFailure:
		return "function failed to start"
	case UncaughtException:
		return "uncaught exception"
	case Shutdown:
		return "worker stopped"
	}
	return string(e.Kind)
}

// An entry is a line that is more than a message: *Request, *Line or *Event.
// It travels through slog as the value of a record's only attribute. That one
// has no key, which makes other handlers inline its attributes.
type entry interface {
	slog.LogValuer
	// event is the value of the key of that name.
	event() string
	// function is the slug, "" for none.
	function() string
	// short is a copy whose texts have at most limit bytes, with the message.
	short(msg string, limit int) (string, entry)
	// attrs adds what JSON has after msg.
	attrs(to []slog.Attr) []slog.Attr
	// pretty adds the text after the time, with its end of line.
	pretty(p *printer)
}

func enabled(log *slog.Logger, level slog.Level) bool {
	return log != nil && log.Handler().Enabled(context.Background(), level)
}

func emit(log *slog.Logger, at time.Time, level slog.Level, msg string, e entry) {
	if at.IsZero() {
		at = time.Now()
	}
	rec := slog.NewRecord(at, level, msg, 0)
	rec.AddAttrs(slog.Any("", e))
	// A handler's error is for handlers that wrap it; as with slog's own
	// methods there is nobody else to tell.
	_ = log.Handler().Handle(context.Background(), rec)
}

// entryOf returns what emit put into rec, nil for a message of the server.
func entryOf(rec slog.Record) entry {
	if rec.NumAttrs() != 1 {
		return nil
	}
	var e entry
	rec.Attrs(func(a slog.Attr) bool {
		if a.Key == "" && a.Value.Kind() == slog.KindLogValuer {
			e, _ = a.Value.Any().(entry)
		}
		return false
	})
	return e
}

// LogValue is for other handlers.
func (r *Request) LogValue() slog.Value { return groupOf(r) }

func (r *Request) event() string { return "request" }

func (r *Request) function() string { return r.Slug }

func (r *Request) attrs(to []slog.Attr) []slog.Attr {
	to = appendIDs(to, r.Slug, r.ExecutionID, r.RequestID)
	to = append(to,
		slog.String("method", r.Method),
		slog.String("path", r.Path),
		slog.Int("status", r.Status),
		slog.Float64("duration_ms", milliseconds(r.Duration)),
	)
	if queued := milliseconds(r.Queued); queued > 0 {
		to = append(to, slog.Float64("queue_ms", queued))
	}
	to = append(to, slog.Int64("bytes", r.Bytes))
	to = appendText(to, "client_ip", r.ClientIP)
	to = appendText(to, "trace_id", r.TraceID)
	to = appendText(to, "error_code", r.ErrorCode)
	if r.Err != nil {
		to = append(to, slog.String("error", errorText(r.Err)))
	}
	return to
}

// LogValue is for other handlers.
func (l *Line) LogValue() slog.Value { return groupOf(l) }

func (l *Line) event() string { return "log" }

func (l *Line) function() string { return l.Slug }

func (l *Line) attrs(to []slog.Attr) []slog.Attr {
	to = appendIDs(to, l.Slug, l.ExecutionID, l.RequestID)
	if l.Raw {
		to = append(to, slog.Bool("raw", true))
	}
	if l.Cut > 0 {
		to = append(to, slog.Int("cut_bytes", l.Cut))
	}
	return to
}

// LogValue is for other handlers.
func (e *Event) LogValue() slog.Value { return groupOf(e) }

func (e *Event) event() string { return string(e.Kind) }

func (e *Event) function() string { return e.Slug }

func (e *Event) attrs(to []slog.Attr) []slog.Attr {
	to = appendIDs(to, e.Slug, e.ExecutionID, e.RequestID)
	if e.Kind == Boot {
		return append(to,
			slog.Float64("boot_time_ms", milliseconds(e.Boot.Total())),
			slog.Float64("queue_ms", milliseconds(e.Boot.Queue)),
			slog.Float64("bundle_ms", milliseconds(e.Boot.Bundle)),
			slog.Float64("spawn_ms", milliseconds(e.Boot.Spawn)),
			slog.Float64("load_ms", milliseconds(e.Boot.Load)),
			slog.Float64("evaluate_ms", milliseconds(e.Boot.Evaluate)),
			slog.Bool("bundle_cached", e.Cached),
		)
	}
	over := e.Kind == Shutdown
	if over || e.Reason != "" {
		to = append(to, slog.String("reason", e.Reason))
	}
	to = appendText(to, "detail", strings.TrimRight(e.Detail, "\r\n"))
	if over || e.ExitCode != 0 {
		to = append(to, slog.Int("exit_code", e.ExitCode))
	}
	if over || e.CPU != 0 {
		to = append(to, slog.Float64("cpu_time_used", milliseconds(e.CPU)))
	}
	if over || e.Memory != 0 {
		to = append(to, slog.Int64("memory_used", e.Memory))
	}
	return to
}

func groupOf(e entry) slog.Value {
	return slog.GroupValue(e.attrs([]slog.Attr{slog.String("event", e.event())})...)
}

func appendIDs(to []slog.Attr, slug, execution, request string) []slog.Attr {
	to = appendText(to, "slug", slug)
	to = appendText(to, "execution_id", execution)
	return appendText(to, "request_id", request)
}

func appendText(to []slog.Attr, key, value string) []slog.Attr {
	if value == "" {
		return to
	}
	return append(to, slog.String(key, value))
}

// milliseconds rounds to 0.1.
func milliseconds(d time.Duration) float64 {
	return tenths(float64(d) / float64(time.Millisecond))
}

// megabytes rounds to 0.1 of 2^20 bytes.
func megabytes(n int64) float64 { return tenths(float64(n) / (1 << 20)) }

func tenths(x float64) float64 { return math.Round(x*10) / 10 }

// errorText survives errors that are nil pointers, which slog's own handlers
// do as well: a log must not be what brings a server down.
func errorText(err error) (text string) {
	defer func() {
		if recover() != nil {
			text = "an error that cannot be shown"
		}
	}()
	return cmp.Or(err.Error(), "an error without a message")
}
