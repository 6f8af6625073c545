package observe

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
)

// kept collects lines.
type kept struct {
	slugs, lines []string
	requests     []bool
	levels       []slog.Level
}

func (k *kept) Keep(slug string, request bool, level slog.Level, _ time.Time, line []byte) {
	k.slugs = append(k.slugs, slug)
	k.lines = append(k.lines, string(line))
	k.requests = append(k.requests, request)
	k.levels = append(k.levels, level)
}

// TestKeep says the same to a log for machines and one for people: both keep
// what the first one writes.
func TestKeep(t *testing.T) {
	say := func(log *slog.Logger) {
		log = log.With("a", 1).WithGroup("g")
		log.Warn("careful", "b", 2)
		log.Debug("not written")
		Request{Time: noon, Slug: "f", Method: "GET", Path: "/f", Status: 200}.Log(log)
		Line{Time: noon, Slug: "f", Level: "debug", Text: "two\nlines"}.Log(log)
		Event{Time: noon, Slug: "h", Kind: BootFailure, Message: "no"}.Log(log)
	}
	var written strings.Builder
	var machines, people kept
	say(New(Options{Out: &written, Format: FormatJSON, Keep: &machines}))
	say(New(Options{Out: io.Discard, Format: FormatPretty, Keep: &people}))
	if strings.Join(machines.lines, "\n")+"\n" != written.String() {
		t.Errorf("kept\n%s\nwritten\n%s", strings.Join(machines.lines, "\n"), written.String())
	}
	timeless := func(k kept) []string { // but for the server's message, whose time is now
		_, rest, _ := strings.Cut(k.lines[0], `"level"`)
		return append([]string{rest}, k.lines[1:]...)
	}
	if !slices.Equal(timeless(machines), timeless(people)) {
		t.Errorf("for people %q\nfor machines %q", people.lines, machines.lines)
	}
	for _, k := range []kept{machines, people} {
		if !slices.Equal(k.slugs, []string{"", "f", "f", "h"}) || !slices.Equal(k.requests, []bool{false, true, false, false}) ||
			!slices.Equal(k.levels, []slog.Level{slog.LevelWarn, slog.LevelInfo, slog.LevelDebug, slog.LevelError}) {
			t.Errorf("%q %v %v", k.slugs, k.requests, k.levels)
		}
	}
}

func TestKeepLongLines(t *testing.T) {
	for name, text := range map[string]string{
		"plain": strings.Repeat("x", 64<<10), "escaped": strings.Repeat("\x00", 64<<10), "wide": strings.Repeat("ü", 40<<10),
	} {
		t.Run(name, func(t *testing.T) {
			var k kept
			log := New(Options{Out: io.Discard, Format: FormatJSON, Keep: &k})
			Line{Slug: "f", Text: text, Cut: 7}.Log(log)
			Event{Slug: "f", Kind: BootFailure, Message: text, Detail: text}.Log(log)
			Request{Slug: "f", Path: text}.Log(log)
			log.With("k", text).Error(text, "err", errors.New(text))
			if len(k.lines) != 4 {
				t.Fatalf("%d lines are kept", len(k.lines))
			}
			for _, line := range k.lines {
				if !json.Valid([]byte(line)) || len(line) > maxKept || len(line) < maxKept/16 {
					t.Errorf("%d bytes: %.100q", len(line), line)
				}
			}
			var l struct {
				Msg string `json:"msg"`
				Cut int    `json:"cut_bytes"`
			}
			if err := json.Unmarshal([]byte(k.lines[0]), &l); err != nil || !strings.HasPrefix(text, l.Msg) || len(l.Msg)+l.Cut != len(text)+7 {
				t.Errorf("%d bytes and %d cut of %d, %v", len(l.Msg), l.Cut, len(text), err)
			}
		})
	}
}
