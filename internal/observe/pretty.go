package observe

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	prettyTime = "15:04:05.000"
	timeWidth  = len(prettyTime) + len(gap)
	gap        = "  "
)

// Colours, as sequences of ECMA-48.
const (
	sgrReset  = "\x1b[0m"
	sgrDim    = "\x1b[2m"
	sgrRed    = "\x1b[31m"
	sgrGreen  = "\x1b[32m"
	sgrYellow = "\x1b[33m"
	sgrCyan   = "\x1b[36m"
)

// slugColors are the colours of slugs. Red and yellow mean something else.
var slugColors = [...]string{
	sgrCyan, "\x1b[35m", "\x1b[34m", sgrGreen, "\x1b[96m", "\x1b[95m", "\x1b[94m", "\x1b[92m",
}

// columns widen to what was seen, so that a page of lines is aligned without
// looking ahead.
type columns struct {
	slug, method atomic.Int32
}

const (
	maxSlugColumn   = 20
	minMethodColumn = 4
	maxMethodColumn = 7 // OPTIONS
)

// widen returns the column's width for a value of the given one. Values beyond
// the limit stick out instead of moving the others.
func widen(column *atomic.Int32, width, limit int) int {
	for {
		now := column.Load()
		if width > limit || int(now) >= width {
			return int(now)
		}
		if column.CompareAndSwap(now, int32(width)) {
			return width
		}
	}
}

// A prettyHandler writes lines for people.
type prettyHandler struct {
	out     *sink
	level   slog.Level
	color   bool
	columns *columns
	keep    *jsonHandler // of what is kept, nil for none

	suffix string // what WithAttrs gave, printed
	prefix string // of keys: the names of the open groups
}

func (h *prettyHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

func (h *prettyHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	p := printer{color: h.color}
	for _, a := range attrs {
		p.attr(h.prefix, a)
	}
	c := *h
	c.suffix += string(p.b)
	if h.keep != nil {
		c.keep = h.keep.WithAttrs(attrs).(*jsonHandler)
	}
	return &c
}

func (h *prettyHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	c := *h
	c.prefix += name + "."
	if h.keep != nil {
		c.keep = h.keep.WithGroup(name).(*jsonHandler)
	}
	return &c
}

func (h *prettyHandler) Handle(ctx context.Context, rec slog.Record) error {
	if h.keep != nil {
		_ = h.keep.Handle(ctx, rec) // it has no errors
	}
	s := getScratch()
	defer s.free()
	p := printer{b: s.b, color: h.color, columns: h.columns, level: rec.Level}

	if rec.Time.IsZero() {
		p.indent(timeWidth)
	} else {
		p.open(sgrDim)
		p.b = rec.Time.Local().AppendFormat(p.b, prettyTime)
		p.close()
		p.write(gap)
	}
	if e := entryOf(rec); e != nil {
		e.pretty(&p)
	} else {
		p.mark()
		p.lines(rec.Message, func() { p.indent(timeWidth) })
		p.write(h.suffix)
		rec.Attrs(func(a slog.Attr) bool {
			p.attr(h.prefix, a)
			return true
		})
	}
	s.b = append(p.b, '\n')
	h.out.write(s.b)
	return nil
}

func (r *Request) pretty(p *printer) {
	width := widen(&p.columns.method, max(len(r.Method), minMethodColumn), maxMethodColumn)
	p.clean(r.Method)
	p.indent(width - len(r.Method))
	p.write(gap)

	switch {
	case r.Status == 0:
		p.paint(sgrDim, "---")
	case r.Status >= 500:
		p.paint(sgrRed, strconv.Itoa(r.Status))
	case r.Status >= 400:
		p.paint(sgrYellow, strconv.Itoa(r.Status))
	case r.Status >= 300 || r.Status < 200:
		p.paint(sgrCyan, strconv.Itoa(r.Status))
	default:
		p.paint(sgrGreen, strconv.Itoa(r.Status))
	}
	p.write(gap)

	took := duration(r.Duration, "")
	p.indent(len("99.9ms") - len(took))
	p.write(took)
	p.write(gap)

	before, after := aroundSlug(r.Path, r.Slug)
	p.clean(before)
	p.slug(r.Path[len(before) : len(r.Path)-len(after)])
	p.clean(after)
	if r.Err != nil {
		p.write(gap)
		p.paint(sgrRed, errorText(r.Err))
	}
}

// aroundSlug returns what is in path before and after the segment that is the
// slug, the whole path and "" where there is none.
func aroundSlug(path, slug string) (before, after string) {
	for start := 0; slug != ""; {
		i := strings.Index(path[start:], "/"+slug)
		if i < 0 {
			break
		}
		start += i + 1
		after = path[start+len(slug):]
		if after == "" || after[0] == '/' {
			return path[:start], after
		}
	}
	return path, ""
}

func (l *Line) pretty(p *printer) {
	length := utf8.RuneCountInString(l.Slug)
	width := widen(&p.columns.slug, length, maxSlugColumn)
	p.slug(l.Slug)
	p.indent(width - length)
	p.paint(sgrDim, " | ")
	marked := p.mark()
	p.lines(l.Text, func() {
		p.indent(timeWidth + max(width, length))
		p.paint(sgrDim, " | ")
		p.indent(marked)
	})
	if l.Cut > 0 {
		p.paint(sgrDim, fmt.Sprintf(" … %d bytes cut", l.Cut))
	}
}

func (e *Event) pretty(p *printer) {
	p.slug(e.Slug)
	color, text, detail := sgrDim, "", strings.TrimRight(e.Detail, "\r\n")
	switch e.Kind {
	case Boot:
		text = "ready in " + duration(e.Boot.Total(), " ") + " (" + e.bootParts() + ")"
	case BootFailure, UncaughtException:
		color = sgrRed
		text = "uncaught exception"
		if e.Kind == BootFailure {
			text = "failed to start"
		}
		message := e.Message
		// A stack starts with the message, and says more of it: its class.
		if first, rest, _ := strings.Cut(detail, "\n"); message != "" && strings.HasSuffix(strings.TrimRight(first, "\r"), message) {
			message, detail = first, rest
		}
		if message != "" {
			text += ": " + message
		}
	case Shutdown:
		if e.level() >= slog.LevelWarn {
			color = sgrYellow
		}
		text = "stopped"
		if e.Reason != "" {
			text += ": " + strings.ReplaceAll(e.Reason, "_", " ")
		}
		if e.Message != "" {
			text += ": " + e.Message
		}
		text += fmt.Sprintf(" (cpu %s, memory %.1f MB", duration(e.CPU, " "), megabytes(e.Memory))
		if e.ExitCode != 0 {
			text += fmt.Sprintf(", exit code %d", e.ExitCode)
		}
		text += ")"
	default:
		text = e.message()
	}
	if e.Slug != "" {
		p.write(" ")
	}
	p.open(color)
	block := func() {
		p.close()
		p.indent(timeWidth + 2)
		p.open(color)
	}
	p.lines(text, block)
	p.close()
	if detail != "" {
		nextLine := func() { p.indent(timeWidth + 2) }
		p.write("\n")
		nextLine()
		p.lines(detail, nextLine)
	}
}

// bootParts tells where the time of a boot went. What took no time worth
// speaking of is left out.
func (e *Event) bootParts() string {
	var parts []string
	add := func(name string, took, least time.Duration) {
		if took >= least {
			parts = append(parts, name+" "+duration(took, " "))
		}
	}
	add("queue", e.Boot.Queue, time.Millisecond)
	if e.Cached {
		parts = append(parts, "bundle cached")
	} else {
		add("bundle", e.Boot.Bundle, 0)
	}
	add("spawn", e.Boot.Spawn, time.Millisecond)
	add("load", e.Boot.Load, 0)
	return strings.Join(parts, ", ")
}

// duration prints three or four digits of d, with sep before the unit.
func duration(d time.Duration, sep string) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms < 99.95:
		return strconv.FormatFloat(ms, 'f', 1, 64) + sep + "ms"
	case ms < 999.5:
		return strconv.FormatFloat(ms, 'f', 0, 64) + sep + "ms"
	case ms < 99_995:
		return strconv.FormatFloat(ms/1000, 'f', 2, 64) + sep + "s"
	}
	return strconv.FormatFloat(ms/1000, 'f', 1, 64) + sep + "s"
}

// A printer puts a record's line together. What it is given by others goes
// through clean, paint, slug or lines; write is for its own text.
type printer struct {
	b       []byte
	color   bool
	columns *columns
	level   slog.Level
}

func (p *printer) write(s string) { p.b = append(p.b, s...) }

func (p *printer) indent(n int) {
	for range n {
		p.b = append(p.b, ' ')
	}
}

// open starts a colour, which lasts until close.
func (p *printer) open(color string) {
	if p.color {
		p.write(color)
	}
}

func (p *printer) close() { p.open(sgrReset) }

// clean prints what is one line and should have no colours of its own.
func (p *printer) clean(s string) { p.b = appendClean(p.b, s, showColors) }

func (p *printer) paint(color, s string) {
	p.open(color)
	p.clean(s)
	p.close()
}

// slug prints a slug in its colour, which is always the same one.
func (p *printer) slug(s string) {
	if s == "" {
		return
	}
	h := fnv.New32a()
	h.Write([]byte(s))
	p.paint(slugColors[h.Sum32()%uint32(len(slugColors))], s)
}

// mark prints the level if it is not the usual one, and returns the width of
// what it printed.
func (p *printer) mark() int {
	name, color := "WARN", sgrYellow
	switch {
	case p.level >= slog.LevelError:
		name, color = "ERROR", sgrRed
	case p.level >= slog.LevelWarn:
	case p.level >= slog.LevelInfo:
		return 0
	default:
		name, color = "DEBUG", sgrDim
	}
	p.paint(color, name)
	p.write(" ")
	return len(name) + 1
}

// lines prints text that may have several lines and colours. next prints what
// stands before each line but the first. A colour lasts to the end of its
// line; what colours several lines (chalk, say) starts anew on each anyway.
func (p *printer) lines(s string, next func()) {
	colors := dropColors
	if p.color {
		colors = keepColors
	}
	for {
		line, rest, more := strings.Cut(s, "\n")
		p.b = appendClean(p.b, strings.TrimSuffix(line, "\r"), colors)
		if !more {
			return
		}
		s = rest
		p.write("\n")
		next()
	}
}

func (p *printer) attr(prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, member := range v.Group() {
			p.attr(prefix, member)
		}
		return
	}
	if a.Equal(slog.Attr{}) {
		return
	}
	p.write(gap)
	p.open(sgrDim)
	p.word(prefix + a.Key)
	p.write("=")
	p.close()
	p.word(valueText(v))
}

func valueText(v slog.Value) string {
	switch v.Kind() {
	case slog.KindString:
		return v.String()
	case slog.KindDuration:
		return v.Duration().String()
	case slog.KindTime:
		return v.Time().Local().Format("2006-01-02T15:04:05.000Z07:00")
	case slog.KindAny:
		if err, isErr := v.Any().(error); isErr {
			return errorText(err)
		}
		return fmt.Sprintf("%+v", v.Any())
	}
	return v.String()
}

// word prints s, in quotes unless it is plain.
func (p *printer) word(s string) {
	isPlain := s != "" && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r == ' ' || r == '"' || r == '=' || !unicode.IsPrint(r)
	})
	if isPlain {
		p.write(s)
		return
	}
	p.b = strconv.AppendQuote(p.b, s)
}
