package observe

import (
	"log/slog"
	"time"
	"unicode/utf8"
)

// A Keeper keeps lines for those who ask later.
type Keeper interface {
	// Keep is given a line of the log, without its end of line, which it must
	// copy. slug is the function's, "" for a message of the server; request
	// marks the access log. It is called at the same time by many and must not
	// wait for anything.
	Keep(slug string, request bool, level slog.Level, at time.Time, line []byte)
}

// maxKept is the longest line that is kept whole. Texts of a longer one are
// cut.
const maxKept = 16 << 10

// keepOnly is what renders lines for the keeper where people read the log.
func keepOnly(opts Options) *jsonHandler {
	if opts.Keep == nil {
		return nil
	}
	return &jsonHandler{level: opts.Level, keep: opts.Keep}
}

// keepLine hands over the line of rec.
func (h *jsonHandler) keepLine(line []byte, rec slog.Record, e entry) {
	slug := ""
	if e != nil {
		slug = e.function()
	}
	_, isRequest := e.(*Request)
	if len(line) <= maxKept {
		h.keep.Keep(slug, isRequest, rec.Level, rec.Time, line[:len(line)-1])
		return
	}
	s := getScratch()
	defer s.free()
	// Escaped, a text can be six times as long.
	for limit := maxKept / 2; limit >= maxKept/16; limit /= 2 {
		cut := slog.NewRecord(rec.Time, rec.Level, "", 0)
		if e != nil {
			var some entry
			cut.Message, some = e.short(rec.Message, limit)
			h.render(s, cut, some)
		} else {
			cut.Message = shorten(rec.Message, limit) // its attributes are left out
			(&jsonHandler{}).render(s, cut, nil)
		}
		if len(s.b) <= maxKept {
			h.keep.Keep(slug, isRequest, rec.Level, rec.Time, s.b[:len(s.b)-1])
			return
		}
	}
}

func (r *Request) short(msg string, limit int) (string, entry) {
	c := *r
	c.Path = shorten(r.Path, limit)
	c.Method = shorten(r.Method, limit)
	return msg, &c
}

func (l *Line) short(_ string, limit int) (string, entry) {
	c := *l
	c.Text = cutText(l.Text, limit)
	c.Cut += len(l.Text) - len(c.Text)
	return c.Text, &c
}

func (e *Event) short(msg string, limit int) (string, entry) {
	c := *e
	c.Detail = shorten(e.Detail, limit/2)
	return shorten(msg, limit/2), &c
}

// shorten cuts a text, and shows it.
func shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return cutText(s, limit) + "…"
}

// cutText cuts a text between two characters.
func cutText(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
