package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/selvedge-dev/selvedge/internal/recent"
)

// maxNamed bounds the functions that an error lists.
const maxNamed = 20

// logs answers with lines of the log, and goes on where it is to follow.
func (p *Private) logs(w http.ResponseWriter, r *http.Request, stopping context.Context) {
	q, follow, err := parseLogQuery(r.URL.Query(), time.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if missing := p.missing(q.Functions); missing != "" {
		http.Error(w, missing, http.StatusNotFound)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(stopping, cancel)()
	reader := p.Logs.Read(q)
	defer reader.Close()
	w.Header().Set("Content-Type", jsonLines)
	out := http.NewResponseController(w)
	for last := !follow; ; {
		lines, lost := reader.Next()
		if lost > 0 {
			lines = slices.Insert(lines, 0, lostLine(lost, time.Now()))
		}
		for _, line := range lines {
			if _, err := w.Write(append(line, '\n')); err != nil {
				return // the client has gone
			}
		}
		if last || out.Flush() != nil {
			return
		}
		// Whoever follows also hears the last words of a server that stops.
		last = reader.Wait(ctx) != nil
	}
}

// missing says which of the functions there is not.
func (p *Private) missing(slugs []string) string {
	var names []string
	for _, f := range p.Functions() {
		names = append(names, f.Function)
	}
	for _, slug := range slugs {
		if slug == "" || slices.Contains(names, slug) || p.Logs.Has(slug) {
			continue
		}
		more := ""
		if len(names) > maxNamed {
			more = fmt.Sprintf(" and %d more", len(names)-maxNamed)
			names = names[:maxNamed]
		}
		if len(names) == 0 {
			return fmt.Sprintf("there is no function %q; the server has none", slug)
		}
		return fmt.Sprintf("there is no function %q; there are %s%s", slug, strings.Join(names, ", "), more)
	}
	return ""
}

// lostLine stands for lines that a reader was too slow for.
func lostLine(n uint64, now time.Time) []byte {
	line, _ := json.Marshal(struct { // of texts and a number: there is no error
		Time  string `json:"time"`
		Level string `json:"level"`
		Event string `json:"event"`
		Msg   string `json:"msg"`
		Lines uint64 `json:"lines"`
	}{
		now.UTC().Format("2006-01-02T15:04:05.000Z"), "WARN", "lost",
		"lines were written faster than they were read, and are lost here", n,
	})
	return line
}

// A LogQuery asks for lines of the log; the zero value asks for all there are.
type LogQuery struct {
	// Functions are slugs; none stands for all of them and the server itself.
	Functions []string
	// Since is a duration such as 5m, or a time of RFC 3339.
	Since string
	// Level is the least level, such as warn.
	Level     string
	RequestID string
	// Last is how many of the lines there are at most, 0 for all.
	Last int
	// Follow goes on with those to come.
	Follow bool
}

func (q LogQuery) values() url.Values {
	v := url.Values{"function": q.Functions}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	set("since", q.Since)
	set("level", q.Level)
	set("request_id", q.RequestID)
	if q.Last > 0 {
		set("last", strconv.Itoa(q.Last))
	}
	if q.Follow {
		set("follow", "1")
	}
	return v
}

// parseLogQuery reads what values wrote, or a person.
func parseLogQuery(v url.Values, now time.Time) (q recent.Query, follow bool, err error) {
	q.Functions = v["function"]
	if since := v.Get("since"); since != "" {
		if q.Since, err = parseSince(since, now); err != nil {
			return q, false, err
		}
	}
	if text := v.Get("level"); text != "" {
		level, err := parseLevel(text)
		if err != nil {
			return q, false, err
		}
		q.Level = level
	}
	q.RequestID = v.Get("request_id")
	if strings.ContainsFunc(q.RequestID, func(r rune) bool { return r <= ' ' || r == '"' || r == '\\' || r > '~' }) {
		return q, false, fmt.Errorf("request_id %q: use an answer's sb-request-id", q.RequestID)
	}
	if last := v.Get("last"); last != "" {
		if q.Last, err = strconv.Atoi(last); err != nil || q.Last < 1 {
			return q, false, fmt.Errorf("last %q: use a number above 0", last)
		}
	}
	follow, err = isSet(v, "follow")
	return q, follow, err
}

func parseSince(s string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("since %q: use a duration such as 30s, 5m or 2h, or a time such as 2026-01-31T12:00:00Z", s)
}

func parseLevel(s string) (slog.Level, error) {
	switch strings.ToLower(s) {
	case "debug":
		return slog.LevelDebug, nil
	case "info", "log":
		return slog.LevelInfo, nil
	case "warn", "warning":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("level %q: use debug, info, warn or error", s)
}

// isSet reads a value that is 1 or true where it is set.
func isSet(v url.Values, name string) (bool, error) {
	switch text := v.Get(name); {
	case !v.Has(name), text == "0", text == "false":
		return false, nil
	case text == "", text == "1", text == "true":
		return true, nil
	default:
		return false, fmt.Errorf("%s %q: use 1 or 0", name, text)
	}
}
