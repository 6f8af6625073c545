package observe

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// jsonTime is RFC 3339 with milliseconds, of a time in UTC.
const jsonTime = "2006-01-02T15:04:05.000Z"

// A jsonHandler writes one JSON object a record. slog's own would do, but for
// the time's format and at several times the allocations.
type jsonHandler struct {
	out   *sink // nil where lines are only kept
	level slog.Level
	keep  Keeper // nil for none

	// pre is what WithAttrs gave, encoded, each with a comma before it. opened
	// of the groups it opens are still open at its end.
	pre    []byte
	opened int
	// pending are the groups without attributes so far. They are opened with
	// their first.
	pending []string
}

func (h *jsonHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

func (h *jsonHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	pre, some := h.appendPending(slices.Clip(h.pre), func(b []byte) []byte {
		for _, a := range attrs {
			b = appendAttr(b, a)
		}
		return b
	})
	if !some {
		return h
	}
	c.pre, c.opened, c.pending = pre, h.opened+len(h.pending), nil
	return &c
}

func (h *jsonHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	c := *h
	c.pending = append(slices.Clip(h.pending), name)
	return &c
}

func (h *jsonHandler) Handle(_ context.Context, rec slog.Record) error {
	s := getScratch()
	defer s.free()

	e := entryOf(rec)
	h.render(s, rec, e)
	if h.keep != nil {
		h.keepLine(s.b, rec, e)
	}
	switch _, isRequest := e.(*Request); {
	case h.out == nil:
	case isRequest:
		h.out.later(s.b)
	default:
		h.out.write(s.b)
	}
	return nil
}

// request does what Handle does with the record of a request, and reports
// whether it did: a line that is too long to be kept whole is Handle's. There
// are as many of these lines as requests, and a Record costs as much as the
// line.
func (h *jsonHandler) request(r *Request, level slog.Level) bool {
	s := getScratch()
	defer s.free()

	b := appendStart(s.b[:0], r.Time, level, r.event(), requestMsg)
	b = append(r.appendJSON(b), h.pre...)
	for range h.opened {
		b = append(b, '}')
	}
	s.b = append(b, "}\n"...)
	if h.keep != nil {
		if len(s.b) > maxKept {
			return false
		}
		h.keep.Keep(r.Slug, true, level, r.Time, s.b[:len(s.b)-1])
	}
	if h.out != nil {
		h.out.later(s.b)
	}
	return true
}

// appendStart appends what all lines begin with.
func appendStart(b []byte, at time.Time, level slog.Level, event, msg string) []byte {
	b = append(b, '{')
	if !at.IsZero() {
		b = append(b, `"time":"`...)
		b = appendTime(b, at)
		b = append(b, `",`...)
	}
	b = append(b, `"level":"`...)
	b = append(b, level.String()...)
	b = append(b, `","event":`...)
	b = appendString(b, event)
	b = append(b, `,"msg":`...)
	return appendString(b, msg)
}

// render puts the record's line into s.b.
func (h *jsonHandler) render(s *scratch, rec slog.Record, e entry) {
	event := "server"
	if e != nil {
		event = e.event()
	}
	b := appendStart(s.b[:0], rec.Time, rec.Level, event, rec.Message)
	opened := h.opened
	if e != nil {
		// Before what WithAttrs gave: an entry is in no group.
		s.attrs = e.attrs(s.attrs[:0])
		for _, a := range s.attrs {
			b = appendAttr(b, a)
		}
		b = append(b, h.pre...)
	} else {
		var some bool
		b = append(b, h.pre...)
		b, some = h.appendPending(b, func(b []byte) []byte {
			rec.Attrs(func(a slog.Attr) bool {
				b = appendAttr(b, a)
				return true
			})
			return b
		})
		if some {
			opened += len(h.pending)
		}
	}
	for range opened {
		b = append(b, '}')
	}
	s.b = append(b, "}\n"...)
}

// appendPending opens the pending groups for what add appends, and tells
// whether that was anything.
func (h *jsonHandler) appendPending(b []byte, add func([]byte) []byte) ([]byte, bool) {
	start := len(b)
	for _, name := range h.pending {
		b = openGroup(b, name)
	}
	inside := len(b)
	b = add(b)
	if len(b) == inside {
		return b[:start], false
	}
	return b, true
}

func openGroup(b []byte, name string) []byte {
	b = appendKey(b, name)
	return append(b, '{')
}

// appendKey appends a key after a comma, unless it is an object's first.
func appendKey(b []byte, key string) []byte {
	if len(b) == 0 || b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = appendString(b, key)
	return append(b, ':')
}

func appendAttr(b []byte, a slog.Attr) []byte {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		start := len(b)
		if a.Key != "" {
			b = openGroup(b, a.Key)
		}
		inside := len(b)
		for _, member := range v.Group() {
			b = appendAttr(b, member)
		}
		if len(b) == inside {
			return b[:start]
		}
		if a.Key != "" {
			b = append(b, '}')
		}
		return b
	}
	if a.Equal(slog.Attr{}) {
		return b
	}
	b = appendKey(b, a.Key)
	switch v.Kind() {
	case slog.KindString:
		return appendString(b, v.String())
	case slog.KindInt64:
		return strconv.AppendInt(b, v.Int64(), 10)
	case slog.KindUint64:
		return strconv.AppendUint(b, v.Uint64(), 10)
	case slog.KindFloat64:
		return appendFloat(b, v.Float64())
	case slog.KindBool:
		return strconv.AppendBool(b, v.Bool())
	case slog.KindDuration:
		return appendFloat(b, milliseconds(v.Duration()))
	case slog.KindTime:
		b = append(b, '"')
		b = appendTime(b, v.Time())
		return append(b, '"')
	default:
		return appendAny(b, v.Any())
	}
}

func appendFloat(b []byte, x float64) []byte {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return appendString(b, strconv.FormatFloat(x, 'g', -1, 64)) // JSON has no such numbers
	}
	if abs := math.Abs(x); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		return strconv.AppendFloat(b, x, 'e', -1, 64)
	}
	return strconv.AppendFloat(b, x, 'f', -1, 64)
}

func appendAny(b []byte, x any) (out []byte) {
	start := len(b)
	defer func() {
		if r := recover(); r != nil {
			out = appendString(b[:start], fmt.Sprintf("a %T that cannot be shown", x))
		}
	}()
	if err, isErr := x.(error); isErr {
		if _, hasJSON := x.(json.Marshaler); !hasJSON {
			return appendString(b, errorText(err))
		}
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(x); err != nil {
		return appendString(b, fmt.Sprintf("a %T that cannot be shown: %v", x, err))
	}
	return append(b, bytes.TrimRight(buf.Bytes(), "\n")...)
}

// verbatim are the bytes that stand for themselves in a JSON string.
var verbatim = func() (t [256]bool) {
	for c := byte(' '); c < 0x7f; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

const hexDigits = "0123456789abcdef"

// appendString appends a JSON string. It escapes more than it must: control
// characters beyond ASCII act on a terminal as well, and the separators U+2028
// and U+2029 end a line for some readers.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if verbatim[c] {
			i++
			continue
		}
		size := 1
		r := rune(c)
		if c >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(s[i:])
			if !(r == utf8.RuneError && size == 1) && r > 0x9f && r != '\u2028' && r != '\u2029' {
				i += size
				continue
			}
		}
		b = append(b, s[start:i]...)
		i += size
		start = i
		switch r {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		case utf8.RuneError:
			b = utf8.AppendRune(b, utf8.RuneError)
		default:
			b = append(b, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
		}
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// appendTime appends a time in the format jsonTime.
func appendTime(b []byte, t time.Time) []byte {
	sec := lastSecond.Load()
	if unix := t.Unix(); sec == nil || sec.unix != unix {
		sec = &second{unix: unix}
		sec.text = t.UTC().AppendFormat(sec.room[:0], "2006-01-02T15:04:05.")
		lastSecond.Store(sec)
	}
	ms := t.Nanosecond() / 1e6
	b = append(b, sec.text...)
	return append(b, byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z')
}

// A second is its text, which many lines have in common.
type second struct {
	unix int64
	text []byte
	room [24]byte
}

var lastSecond atomic.Pointer[second]

// appendJSON appends what attrs returns, without the values in between: every
// request has such a line. A test holds the two together.
func (r *Request) appendJSON(b []byte) []byte {
	field := func(key, value string) {
		if value != "" {
			b = append(b, key...)
			b = appendString(b, value)
		}
	}
	field(`,"slug":`, r.Slug)
	field(`,"execution_id":`, r.ExecutionID)
	field(`,"request_id":`, r.RequestID)
	b = append(b, `,"method":`...)
	b = appendString(b, r.Method)
	b = append(b, `,"path":`...)
	b = appendString(b, r.Path)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(r.Status), 10)
	b = append(b, `,"duration_ms":`...)
	b = appendTenths(b, r.Duration)
	if r.Queued >= 50*time.Microsecond {
		b = append(b, `,"queue_ms":`...)
		b = appendTenths(b, r.Queued)
	}
	b = append(b, `,"bytes":`...)
	b = strconv.AppendInt(b, r.Bytes, 10)
	field(`,"client_ip":`, r.ClientIP)
	field(`,"trace_id":`, r.TraceID)
	field(`,"error_code":`, r.ErrorCode)
	if r.Err != nil {
		b = append(b, `,"error":`...)
		b = appendString(b, errorText(r.Err))
	}
	return b
}

// appendTenths appends milliseconds with one digit after the point, if it is
// not 0.
func appendTenths(b []byte, d time.Duration) []byte {
	n := (int64(d) + int64(50*time.Microsecond)) / int64(100*time.Microsecond)
	b = strconv.AppendInt(b, n/10, 10)
	if n%10 != 0 {
		b = append(b, '.', byte('0'+n%10))
	}
	return b
}
