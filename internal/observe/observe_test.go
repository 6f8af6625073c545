package observe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"
	"time"

	"github.com/selvedge-dev/selvedge/internal/recent"
)

var update = flag.Bool("update", false, "write the goldens anew")

func TestMain(m *testing.M) {
	flag.Parse()
	time.Local = time.UTC // the pretty format prints local time
	os.Exit(m.Run())
}

var noon = time.Date(2026, 3, 1, 12, 4, 5, 123_000_000, time.UTC)

// at makes the time of plain messages, which slog takes from the clock, noon.
type at struct{ slog.Handler }

func (h at) Handle(ctx context.Context, rec slog.Record) error {
	rec.Time = noon
	return h.Handler.Handle(ctx, rec)
}
func (h at) WithAttrs(a []slog.Attr) slog.Handler { return at{h.Handler.WithAttrs(a)} }
func (h at) WithGroup(n string) slog.Handler      { return at{h.Handler.WithGroup(n)} }

type point struct {
	X int    `json:"x"`
	Y string `json:"y"`
}

type brokenError struct{}

func (*brokenError) Error() string { panic("no message") }

// aDay logs something of everything.
func aDay(log *slog.Logger) {
	log = slog.New(at{log.Handler()})
	log.Info("listening", "addr", "127.0.0.1:8000", "functions", 3)
	log.Debug("watching", "path", "/srv/my functions")
	log.Warn("config.toml has no such key\nit is ignored", "key", "edge_runtime.colour", "took", 1500*time.Microsecond)
	log.With("component", "pool").WithGroup("worker").With("pid", 12).Error("cannot start worker",
		"error", errors.New("fork: resource temporarily unavailable"),
		"nil", nil, "broken", (*brokenError)(nil), "at", noon, "inf", posInf, "half", 0.5, "big", 1e30, "ok", true, "n", uint64(7),
		"point", point{1, "<a>"}, slog.Group("limits", "cpu", time.Second, slog.Group("none")), slog.Group("", "inline", 1), slog.Attr{})
	log.Info("a client may say \x1b]0;anything\a", "header", "\x1b[2J\r\n\xff\u009b \u202e")

	ids := func(slug string) (e Event) {
		return Event{Time: noon, Slug: slug, ExecutionID: "e-1", RequestID: "r-1"}
	}
	boot := ids("hello-world")
	boot.Kind, boot.Cached, boot.Boot = Boot, true, BootTimes{Queue: 100 * time.Microsecond, Bundle: 900 * time.Microsecond, Spawn: 900 * time.Microsecond, Load: 2100 * time.Microsecond, Evaluate: 310 * time.Microsecond}
	boot.Log(log)
	boot.Slug, boot.RequestID, boot.Cached, boot.Boot = "slow", "", false, BootTimes{Queue: 2 * time.Millisecond, Bundle: 1234 * time.Millisecond, Spawn: 31400 * time.Microsecond, Load: 210 * time.Millisecond}
	boot.Log(log)

	Request{Time: noon, RequestID: "r-1", ExecutionID: "e-1", Slug: "hello-world", Method: "POST", Path: "/hello-world", Status: 200,
		Duration: 3420 * time.Microsecond, Queued: 1230 * time.Microsecond, Bytes: 1234, ClientIP: "203.0.113.7",
		TraceID: "0af7651916cd43dd8448eb211c80319c"}.Log(log)
	Request{Time: noon, RequestID: "r-2", Method: "GET", Path: "/nobody", Status: 404, Duration: 50 * time.Microsecond, ErrorCode: "NOT_FOUND"}.Log(log)
	Request{Time: noon, Slug: "hello-world", Method: "OPTIONS", Path: "/functions/v1/hello-world/hello-world/x", Status: 301, Duration: 123 * time.Millisecond}.Log(log)
	Request{Time: noon, Slug: "hello-world", Method: "GET", Path: "/hello-world/\x1b[31mred\n", Status: 503, Duration: 12345 * time.Millisecond, ErrorCode: "OVERLOADED"}.Log(log)
	Request{Time: noon, Slug: "chat", Method: "GET", Path: "/chat", Queued: 40 * time.Microsecond, Status: 101, Duration: 400 * time.Second}.Log(log)
	Request{Time: noon, Slug: "chat", Method: "POST", Path: "/chats", Duration: time.Second, Err: errors.New("client went away:\n\x1b[1mbye")}.Log(log)

	say := func(slug, level, text string) {
		Line{Time: noon, Slug: slug, ExecutionID: "e-1", RequestID: "r-1", Level: level, Text: text}.Log(log)
	}
	say("hello-world", "info", "Hello from Functions!")
	say("chat", "log", "{\n  name: \x1b[32m\"Ada\"\x1b[39m,\r\n  age: \x1b[33m36\x1b[39m\n}")
	say("chat", "debug", "looking\nclosely")
	say("chat", "warning", "nearly\nout")
	say("a-slug-of-more-than-twenty", "error", "first\nsecond")
	say("a-slug-of-twenty-chr", "", "")
	say("chat", "info", "\x1b[2J\x1b[H\x1b]0;title\a progress 10%\rprogress 90%\b\tdone \x9b31m \u009b31m \xff ünïcödé \u2028 \x1b[38:5:1mlast")
	Line{Time: noon, Slug: "chat", Level: "info", Text: "from stdout", Raw: true, Cut: 512}.Log(log)

	fail := ids("hello-world")
	fail.Kind, fail.Message = BootFailure, `Relative import path "zod" not prefixed with / or ./ or ../`
	fail.Detail = "  1 | import { z } from \"zod\";\n    |                   ~~~~~\n    at index.ts:1:19\n"
	fail.Log(log)
	fail.Kind, fail.Message, fail.Detail, fail.ExitCode = UncaughtException, "boom", "Error: boom\n    at handler (index.ts:3:9)\n    at \x1b[31mred\x1b[0m\x1b[K", 1
	fail.Log(log)
	fail.Message, fail.Detail, fail.Reason = "two\nlines", "", "promise"
	fail.Log(log)

	end := ids("hello-world")
	end.Kind, end.Reason, end.CPU, end.Memory = Shutdown, ReasonCodeChanged, 12340*time.Microsecond, 64<<20
	end.Log(log)
	end.Reason, end.CPU, end.Memory, end.ExitCode = ReasonMemory, 2*time.Second, 256<<20, 137
	end.Log(log)
}

func TestGoldens(t *testing.T) {
	yes, no := true, false
	tests := map[string]Options{
		"pretty.txt":       {Format: FormatPretty, Color: &no, Level: slog.LevelDebug},
		"pretty-color.txt": {Format: FormatPretty, Color: &yes, Level: slog.LevelDebug},
		"json.txt":         {Format: FormatJSON, Color: &yes, Level: slog.LevelDebug},
	}
	for name, opts := range tests {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			opts.Out = &got
			aDay(New(opts))
			path := filepath.Join("testdata", name)
			if *update {
				if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("got:\n%s\nwant:\n%s\nIf the new one is right: go test ./internal/observe -update", got.Bytes(), want)
			}
		})
	}
}

// TestPrinter makes the pretty format of the JSON one.
func TestPrinter(t *testing.T) {
	for name, color := range map[string]bool{"pretty.txt": false, "pretty-color.txt": true} {
		lines, err := os.ReadFile(filepath.Join("testdata", "json.txt"))
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		p := NewPrinter(&got, color)
		for line := range bytes.Lines(lines) {
			if err := p.Print(line); err != nil {
				t.Fatal(err)
			}
		}
		gotLines, wantLines := strings.Split(got.String(), "\n"), strings.Split(string(want), "\n")
		if len(gotLines) != len(wantLines) {
			t.Fatalf("%s: %d lines, want %d:\n%s", name, len(gotLines), len(wantLines), got.String())
		}
		for i, line := range gotLines {
			// Attributes of the server have lost their types, and invalid
			// bytes their values.
			if strings.Contains(line, "took") || strings.Contains(line, "component") || strings.Contains(line, "header") || strings.Contains(line, "31m") && strings.Contains(line, "progress") {
				continue
			}
			if line != wantLines[i] {
				t.Errorf("%s:\n%q, want\n%q", name, line, wantLines[i])
			}
		}
	}
	var got bytes.Buffer
	p := NewPrinter(&got, false)
	for _, line := range []string{
		"no JSON \x1b[2J\n", "", "{", "[1]", `{"event":"boot","queue_ms":"a text"}`, `{"time":7}`,
		`{"time":"2026-03-01T12:04:05.123Z","level":"WARN","event":"lost","msg":"3 lines are lost","lines":3,"list":[1,{"a":2}],"n":{"m":{"o":"p q"}}}` + "\n",
	} {
		if err := p.Print([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{
		`              no JSON \x1b[2J` + "\n", "              {\n", "              [1]\n",
		`12:04:05.123  WARN 3 lines are lost  lines=3  list="[1,{\"a\":2}]"  n.m.o="p q"` + "\n",
	} {
		if !strings.Contains(got.String(), want) {
			t.Errorf("%q is not in\n%s", want, got.String())
		}
	}
}

var posInf = func() float64 { var zero float64; return 1 / zero }()

func TestJSONLinesAreObjects(t *testing.T) {
	var out bytes.Buffer
	aDay(New(Options{Out: &out, Format: FormatJSON}))
	for line := range bytes.Lines(out.Bytes()) {
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		for _, key := range []string{"time", "level", "event", "msg"} {
			if _, ok := m[key].(string); !ok {
				t.Errorf("no %s in %s", key, line)
			}
		}
		for _, r := range string(line[:len(line)-1]) {
			if r < ' ' || r >= 0x7f && r <= 0x9f {
				t.Errorf("%q is not escaped in %s", r, line)
			}
		}
	}
}

func TestJSONHandlerConforms(t *testing.T) {
	var out bytes.Buffer
	log := New(Options{Out: &out, Format: FormatJSON})
	err := slogtest.TestHandler(log.Handler(), func() (all []map[string]any) {
		for line := range bytes.Lines(out.Bytes()) {
			var m map[string]any
			if err := json.Unmarshal(line, &m); err != nil {
				t.Fatalf("%v in %s", err, line)
			}
			all = append(all, m)
		}
		return all
	})
	if err != nil {
		t.Error(err)
	}
}

// An entry keeps its keys at the top level, whatever the logger was made for.
func TestEntriesOfDerivedLoggers(t *testing.T) {
	var out bytes.Buffer
	log := New(Options{Out: &out, Format: FormatJSON}).With("component", "gateway").WithGroup("g").With("x", 1).WithGroup("h")
	Line{Time: noon, Slug: "a", Text: "b"}.Log(log)
	want := `{"time":"2026-03-01T12:04:05.123Z","level":"INFO","event":"log","msg":"b","slug":"a","component":"gateway","g":{"x":1}}` + "\n"
	if out.String() != want {
		t.Errorf("got %s want %s", out.String(), want)
	}
}

func TestOtherHandlersGetTheSameKeys(t *testing.T) {
	var ours, theirs bytes.Buffer
	for _, log := range []*slog.Logger{
		New(Options{Out: &ours, Format: FormatJSON}),
		slog.New(slog.NewJSONHandler(&theirs, nil)),
	} {
		Request{Time: noon, Slug: "a", Method: "GET", Path: "/a", Status: 200, Duration: time.Second}.Log(log)
		Line{Time: noon, Slug: "a", Text: "x"}.Log(log)
		Event{Time: noon, Slug: "a", Kind: Shutdown}.Log(log)
	}
	parse := func(b []byte) (all []map[string]any) {
		for line := range bytes.Lines(b) {
			var m map[string]any
			if err := json.Unmarshal(line, &m); err != nil {
				t.Fatal(err)
			}
			delete(m, "time") // formatted differently
			all = append(all, m)
		}
		return all
	}
	a, b := parse(ours.Bytes()), parse(theirs.Bytes())
	for i := range a {
		x, _ := json.Marshal(a[i])
		y, _ := json.Marshal(b[i])
		if !bytes.Equal(x, y) {
			t.Errorf("ours %s, slog's %s", x, y)
		}
	}
}

func TestLevels(t *testing.T) {
	all := func(log *slog.Logger) {
		log.Info("server")
		Request{Status: 200}.Log(log)
		Line{Level: "debug", Text: "debug"}.Log(log)
		Event{Kind: Boot}.Log(log)
		Line{Level: "warn", Text: "warn"}.Log(log)
		Request{Status: 500}.Log(log)
		Event{Kind: BootFailure}.Log(log)
	}
	for level, want := range map[slog.Level]int{slog.LevelDebug: 7, slog.LevelInfo: 7, slog.LevelWarn: 3, slog.LevelError: 2, slog.LevelError + 1: 0} {
		for _, format := range []string{FormatJSON, FormatPretty} {
			var out bytes.Buffer
			all(New(Options{Out: &out, Format: format, Level: level}))
			if got := bytes.Count(out.Bytes(), []byte("\n")); got != want {
				t.Errorf("%s at %s: %d lines, want %d:\n%s", format, level, got, want, out.Bytes())
			}
		}
	}
}

func TestFormatAndColorOfWhatIsNoTerminal(t *testing.T) {
	tests := map[string]struct {
		format  string
		environ map[string]string
		json    bool
		color   bool
	}{
		"auto":                      {"auto", nil, true, false},
		"empty":                     {"", nil, true, false},
		"auto, colours forced":      {"auto", map[string]string{"FORCE_COLOR": "1"}, true, false},
		"pretty":                    {"pretty", nil, false, false},
		"pretty, colours forced":    {"pretty", map[string]string{"FORCE_COLOR": "1"}, false, true},
		"pretty, forced, not to be": {"pretty", map[string]string{"FORCE_COLOR": "0"}, false, false},
		"pretty, both":              {"pretty", map[string]string{"FORCE_COLOR": "1", "NO_COLOR": "1"}, false, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("NO_COLOR", tt.environ["NO_COLOR"])
			t.Setenv("FORCE_COLOR", tt.environ["FORCE_COLOR"])
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			log := New(Options{Out: w, Format: tt.format})
			Line{Slug: "a", Level: "warn", Text: "\x1b[31mred"}.Log(log)
			w.Close()
			got, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if isJSON := got[0] == '{'; isJSON != tt.json {
				t.Errorf("JSON %t, want %t: %q", isJSON, tt.json, got)
			}
			if color := bytes.Contains(got, []byte("\x1b[")); color != tt.color {
				t.Errorf("colours %t, want %t: %q", color, tt.color, got)
			}
		})
	}
}

// writes keeps what each call of Write got.
type writes struct {
	mu  sync.Mutex
	all []string
}

func (w *writes) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, string(p))
	return len(p), nil
}

func TestConcurrentRecordsStayWhole(t *testing.T) {
	for _, format := range []string{FormatJSON, FormatPretty} {
		t.Run(format, func(t *testing.T) {
			out := &writes{}
			log := New(Options{Out: out, Format: format})
			text := strings.Repeat("x", 5000)
			var wg sync.WaitGroup
			for _, slug := range []string{"a", "bb", "ccc", "dddd"} {
				wg.Go(func() {
					own := log.With("own", slug)
					for range 200 {
						Request{Slug: slug, Method: "GET", Path: "/" + slug, Status: 200}.Log(own)
						Line{Slug: slug, Text: text + slug + "\n" + text}.Log(log)
						Event{Slug: slug, Kind: Shutdown, Reason: ReasonEarlyDrop}.Log(log)
						own.Info(text, "slug", slug)
					}
				})
			}
			wg.Wait()
			Flush(log)
			if format == FormatPretty {
				if len(out.all) != 4*4*200 {
					t.Fatalf("%d writes", len(out.all))
				}
				for _, record := range out.all {
					if !strings.HasSuffix(record, "\n") {
						t.Fatalf("not a record: %q", record)
					}
				}
				return
			}
			records := slices.Collect(strings.Lines(strings.Join(out.all, "")))
			if len(records) != 4*4*200 {
				t.Fatalf("%d records", len(records))
			}
			for _, record := range records {
				if !json.Valid([]byte(record)) {
					t.Fatalf("not a record: %q", record)
				}
			}
		})
	}
}

type brokenWriter struct{ n int }

func (w *brokenWriter) Write(p []byte) (int, error) {
	w.n++
	if w.n == 1 {
		return len(p) - 1, nil
	}
	return 0, io.ErrClosedPipe
}

func TestFailedWritesAreCounted(t *testing.T) {
	for _, format := range []string{FormatJSON, FormatPretty} {
		log := New(Options{Out: &brokenWriter{}, Format: format})
		log.Info("one")
		Line{Text: "two"}.Log(log.With("a", 1))
		if got := WriteErrors(log); got != 2 {
			t.Errorf("%s: %d errors, want 2", format, got)
		}
	}
	if WriteErrors(nil) != 0 || WriteErrors(slog.Default()) != 0 {
		t.Error("errors of logs that have none")
	}
}

func TestNowhere(t *testing.T) {
	Request{}.Log(nil)
	Line{}.Log(nil)
	Event{}.Log(nil)
	aDay(New(Options{}))
}

var request = Request{
	Time: noon, RequestID: "0195a7c8-7c4e-7000-8000-000000000001", ExecutionID: "0195a7c8-7c4e-7000-8000-000000000002",
	Slug: "hello-world", Method: "POST", Path: "/functions/v1/hello-world", Status: 200,
	Duration: 3420 * time.Microsecond, Bytes: 1234, ClientIP: "203.0.113.7",
}

func TestAllocationsOfARequest(t *testing.T) {
	log := New(Options{Out: io.Discard, Format: FormatJSON})
	if got := testing.AllocsPerRun(200, func() { request.Log(log) }); got > 0 {
		t.Errorf("%v allocations for a line", got)
	}
	quiet := New(Options{Out: io.Discard, Format: FormatJSON, Level: slog.LevelWarn})
	if got := testing.AllocsPerRun(200, func() { request.Log(quiet) }); got > 0 {
		t.Errorf("%v allocations for a line that is not written", got)
	}
}

func BenchmarkRequest(b *testing.B) {
	for _, format := range []string{FormatJSON, FormatPretty} {
		b.Run(format, func(b *testing.B) {
			log := New(Options{Out: io.Discard, Format: format})
			b.ReportAllocs()
			for b.Loop() {
				request.Log(log)
			}
		})
	}
	b.Run("kept", func(b *testing.B) {
		log := New(Options{Out: io.Discard, Format: FormatJSON, Keep: recent.New(recent.DefaultLimits(), func(string) bool { return true })})
		b.ReportAllocs()
		for b.Loop() {
			request.Log(log)
		}
	})
}
