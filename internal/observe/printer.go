package observe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"time"
)

// A Printer writes lines of a JSON log as the pretty format has them.
type Printer struct {
	w    io.Writer
	line bytes.Buffer
	to   *prettyHandler
}

// NewPrinter returns a printer to w, in colour or without.
func NewPrinter(w io.Writer, color bool) *Printer {
	p := &Printer{w: w}
	p.to = &prettyHandler{out: &sink{w: &p.line}, level: slog.LevelDebug, color: color, columns: &columns{}}
	return p
}

// Print writes a line. One that is not of a log is written as text.
func (p *Printer) Print(line []byte) error {
	rec, err := parse(line)
	if err != nil {
		rec = slog.NewRecord(time.Time{}, slog.LevelInfo, string(bytes.TrimRight(line, "\r\n")), 0)
	}
	p.line.Reset()
	_ = p.to.Handle(context.Background(), rec) // a buffer has no errors
	_, err = p.w.Write(p.line.Bytes())
	return err
}

// A logged has the keys of all events.
type logged struct {
	Time        time.Time  `json:"time"`
	Level       slog.Level `json:"level"`
	Event       string     `json:"event"`
	Msg         string     `json:"msg"`
	Slug        string     `json:"slug"`
	ExecutionID string     `json:"execution_id"`
	RequestID   string     `json:"request_id"`

	Method   string  `json:"method"`
	Path     string  `json:"path"`
	Status   int     `json:"status"`
	Duration float64 `json:"duration_ms"`
	Bytes    int64   `json:"bytes"`
	Error    string  `json:"error"`

	Raw bool `json:"raw"`
	Cut int  `json:"cut_bytes"`

	Queue    float64 `json:"queue_ms"`
	Bundle   float64 `json:"bundle_ms"`
	Spawn    float64 `json:"spawn_ms"`
	Load     float64 `json:"load_ms"`
	Evaluate float64 `json:"evaluate_ms"`
	Cached   bool    `json:"bundle_cached"`

	Reason   string  `json:"reason"`
	Detail   string  `json:"detail"`
	ExitCode int     `json:"exit_code"`
	CPU      float64 `json:"cpu_time_used"`
	Memory   int64   `json:"memory_used"`
}

// parse is the reverse of the JSON handler.
func parse(line []byte) (slog.Record, error) {
	var head struct {
		Time  time.Time  `json:"time"`
		Level slog.Level `json:"level"`
		Event string     `json:"event"`
		Msg   string     `json:"msg"`
	}
	if err := json.Unmarshal(line, &head); err != nil {
		return slog.Record{}, err
	}
	rec := slog.NewRecord(head.Time, head.Level, head.Msg, 0)
	switch kind := Kind(head.Event); kind {
	case "request", "log", Boot, BootFailure, UncaughtException, Shutdown:
		var l logged
		if err := json.Unmarshal(line, &l); err != nil {
			return slog.Record{}, err
		}
		rec.AddAttrs(slog.Any("", l.entry()))
	default:
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.UseNumber()
		attrs, err := members(dec)
		if err != nil {
			return slog.Record{}, err
		}
		for _, a := range attrs {
			switch a.Key {
			case "time", "level", "event", "msg":
			default:
				rec.AddAttrs(a)
			}
		}
	}
	return rec, nil
}

func (l *logged) entry() entry {
	switch kind := Kind(l.Event); kind {
	case "request":
		r := &Request{Slug: l.Slug, Method: l.Method, Path: l.Path, Status: l.Status, Duration: ms(l.Duration), Bytes: l.Bytes}
		if l.Error != "" {
			r.Err = errors.New(l.Error)
		}
		return r
	case "log":
		return &Line{Slug: l.Slug, Text: l.Msg, Raw: l.Raw, Cut: l.Cut}
	default:
		e := &Event{
			Kind: kind, Slug: l.Slug, Cached: l.Cached,
			Boot:   BootTimes{Queue: ms(l.Queue), Bundle: ms(l.Bundle), Spawn: ms(l.Spawn), Load: ms(l.Load)},
			Reason: l.Reason, Detail: l.Detail, ExitCode: l.ExitCode, CPU: ms(l.CPU), Memory: l.Memory,
		}
		if l.Msg != e.message() { // else it is the kind's own, which needs not be said
			e.Message = l.Msg
		}
		return e
	}
}

func ms(n float64) time.Duration { return time.Duration(n * float64(time.Millisecond)) }

// members reads an object's, in their order.
func members(dec *json.Decoder) ([]slog.Attr, error) {
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.Join(errors.New("not an object"), err)
	}
	var attrs []slog.Attr
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, err
		}
		name, _ := key.(string)
		var text string
		switch {
		case raw[0] == '{':
			inner := json.NewDecoder(bytes.NewReader(raw))
			group, err := members(inner)
			if err != nil {
				return nil, err
			}
			attrs = append(attrs, slog.Attr{Key: name, Value: slog.GroupValue(group...)})
		case raw[0] == '"' && json.Unmarshal(raw, &text) == nil:
			attrs = append(attrs, slog.String(name, text))
		default:
			attrs = append(attrs, slog.String(name, string(raw)))
		}
	}
	_, err := dec.Token()
	return attrs, err
}
