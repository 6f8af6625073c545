package recent

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func all(string) bool { return true }

func (l *Log) say(slug, text string) {
	l.Keep(slug, false, slog.LevelInfo, time.Now(), []byte(text))
}

// read returns the lines of a query that there are now.
func read(t *testing.T, l *Log, q Query) []string {
	t.Helper()
	r := l.Read(q)
	defer r.Close()
	lines, lost := r.Next()
	if lost != 0 {
		t.Errorf("%d lines are lost at the first look", lost)
	}
	return texts(lines)
}

func texts(lines [][]byte) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = string(l)
	}
	return out
}

func TestQueries(t *testing.T) {
	l := New(DefaultLimits(), func(slug string) bool { return slug != "stranger" })
	old, now := time.Now().Add(-time.Hour), time.Now()
	l.Keep("", false, slog.LevelInfo, old, []byte("server"))
	l.Keep("a", true, slog.LevelInfo, old, []byte(`a1 "request_id":"r-1"`))
	l.Keep("b", false, slog.LevelDebug, now, []byte("b1"))
	l.Keep("a", false, slog.LevelError, now, []byte(`a2 \"request_id\":\"r-1\"`))
	l.Keep("stranger", true, slog.LevelWarn, now, []byte("404"))
	l.Keep("a", true, slog.LevelWarn, now, []byte(`a3 "request_id":"r-12"`))
	for _, c := range []struct {
		name string
		q    Query
		want string
	}{
		{"all, in order", Query{}, `server,a1 "request_id":"r-1",b1,a2 \"request_id\":\"r-1\",404,a3 "request_id":"r-12"`},
		{"one function", Query{Functions: []string{"b"}}, "b1"},
		{"the server, and strangers with it", Query{Functions: []string{""}}, "server,404"},
		{"two", Query{Functions: []string{"", "b"}}, "server,b1,404"},
		{"none", Query{Functions: []string{"c"}}, ""},
		{"since", Query{Since: now.Add(-time.Minute), Functions: []string{"a"}}, `a2 \"request_id\":\"r-1\",a3 "request_id":"r-12"`},
		{"level", Query{Level: slog.LevelWarn, Functions: []string{"a", "b"}}, `a2 \"request_id\":\"r-1\",a3 "request_id":"r-12"`},
		{"info", Query{Level: slog.LevelInfo, Functions: []string{"b"}}, ""},
		{"request, whatever functions say", Query{RequestID: "r-1"}, `a1 "request_id":"r-1"`},
		{"the last", Query{Last: 2}, `404,a3 "request_id":"r-12"`},
		{"the last of few", Query{Last: 20, Functions: []string{"b"}}, "b1"},
	} {
		if got := strings.Join(read(t, l, c.q), ","); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestLastLinesStay writes lines of all lengths into histories of several
// sizes: what is kept is always the end of what was written, unharmed, and the
// access log and the rest do not push each other out.
func TestLastLinesStay(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, limit := range []int{12 << 10, 16 << 10, 20 << 10, 64 << 10} {
		l := New(Limits{Requests: limit, Rest: limit, Total: 1 << 20}, all)
		l.say("f", "said")
		var written []string
		for i := range 1500 {
			line := fmt.Sprintf("%d %s", i, strings.Repeat("x", rnd.IntN(limit/4-40)))
			written = append(written, line)
			l.Keep("f", true, slog.LevelInfo, time.Now(), []byte(line))
			if i%97 != 0 && i != 1499 {
				continue
			}
			got := read(t, l, Query{})
			if got[0] != "said" {
				t.Fatalf("limit %d: what was said was pushed out", limit)
			}
			got = got[1:]
			if !slices.Equal(got, written[len(written)-len(got):]) {
				t.Fatalf("limit %d, after %d lines: not the last ones are kept", limit, i+1)
			}
			bytes := 0
			for _, s := range got {
				bytes += len(s) + headSize
			}
			if bytes > limit {
				t.Fatalf("limit %d: %d bytes are kept", limit, bytes)
			}
			if len(got) < len(written) && bytes < limit-limit/4-segmentSize {
				t.Fatalf("limit %d: only %d bytes are kept of more", limit, bytes)
			}
		}
		l.Keep("f", true, slog.LevelInfo, time.Now(), make([]byte, limit/4+1))
		if got := read(t, l, Query{}); got[len(got)-1] != written[len(written)-1] {
			t.Error("a line that is too long was kept")
		}
	}
}

func (l *Log) memory() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	n := 0
	for _, h := range l.histories {
		n += h.requests.size() + h.rest.size()
	}
	return n
}

func TestTotal(t *testing.T) {
	const total = 256 << 10
	l := New(Limits{Requests: 16 << 10, Rest: 16 << 10, Total: total}, all)
	l.say("", "server")
	line := strings.Repeat("x", 100)
	for i := range 3000 {
		l.say(fmt.Sprint("f", i), line)
		if i%10 == 0 {
			l.say("often", line)
		}
		if got := l.memory(); got > total || got != l.used*segmentSize {
			t.Fatalf("after %d functions: %d bytes, counted %d segments", i, got, l.used)
		}
	}
	for _, slug := range []string{"", "often", "f2999", "f2950"} {
		if len(read(t, l, Query{Functions: []string{slug}})) == 0 {
			t.Errorf("the lines of %q are gone", slug)
		}
	}
	if l.Has("f10") {
		t.Error("a history that nobody wrote to outlived those that were written to")
	}
	if n := len(l.histories); n < total/segmentSize/2 {
		t.Errorf("only %d histories are kept", n)
	}
}

func TestPrune(t *testing.T) {
	exists := map[string]bool{"here": true, "removed": true, "lately": true}
	l := New(DefaultLimits(), func(slug string) bool { return exists[slug] })
	old := time.Now().Add(-time.Hour)
	l.Keep("here", false, slog.LevelInfo, old, []byte("1"))
	l.Keep("removed", false, slog.LevelInfo, old, []byte("2"))
	l.Keep("", false, slog.LevelInfo, old, []byte("3"))
	l.say("lately", "4")
	clear(exists)
	exists["here"] = true
	l.Prune(time.Minute)
	if got := strings.Join(read(t, l, Query{}), ""); got != "134" {
		t.Errorf("kept %s, want 134", got)
	}
	if l.memory() != l.used*segmentSize {
		t.Errorf("%d segments are counted, there are %d bytes", l.used, l.memory())
	}
	l.say("removed", "5") // its worker has a last word
	if got := read(t, l, Query{Functions: []string{""}}); !slices.Equal(got, []string{"3", "5"}) {
		t.Errorf("the server's are %q", got)
	}
}

// TestShrink: a function that is quiet keeps its last lines, and none is harmed.
func TestShrink(t *testing.T) {
	l := New(Limits{Requests: 32 << 10, Rest: 32 << 10, Quiet: segmentSize, Total: 1 << 20}, all)
	old := time.Now().Add(-time.Hour)
	for i := range 300 {
		for _, slug := range []string{"", "quiet", "few"} {
			if slug != "few" || i == 299 {
				l.Keep(slug, false, slog.LevelInfo, old, fmt.Appendf(nil, "%d", i))
			}
		}
		l.say("loud", fmt.Sprint(i))
	}
	follower := l.Read(Query{Functions: []string{"quiet"}})
	defer follower.Close()
	follower.Next()
	before := map[string]int{}
	for _, slug := range []string{"", "loud"} {
		before[slug] = len(read(t, l, Query{Functions: []string{slug}}))
	}
	l.Shrink(time.Minute)
	if l.memory() != l.used*segmentSize {
		t.Errorf("%d segments are counted, there are %d bytes", l.used, l.memory())
	}
	for slug, n := range before {
		if got := len(read(t, l, Query{Functions: []string{slug}})); got != n {
			t.Errorf("%q had %d lines and has %d", slug, n, got)
		}
	}
	kept := read(t, l, Query{Functions: []string{"quiet"}})
	if n := len(kept); n < 130 || n > segmentSize/27 || kept[n-1] != "299" || kept[0] != fmt.Sprint(300-n) {
		t.Errorf("kept %q", kept)
	}
	if got := read(t, l, Query{Functions: []string{"few"}}); !slices.Equal(got, []string{"299"}) {
		t.Errorf("kept %q", got)
	}
	// It is as before when it speaks again.
	for i := 300; i < 500; i++ {
		l.say("quiet", fmt.Sprint(i))
	}
	if lines, lost := follower.Next(); len(lines) != 200 || lost != 0 {
		t.Errorf("a follower got %d lines and lost %d", len(lines), lost)
	}
	if got := read(t, l, Query{Functions: []string{"quiet"}}); len(got) < 200 || got[len(got)-1] != "499" || l.memory() != l.used*segmentSize {
		t.Errorf("%d lines, %d segments counted, %d bytes there", len(got), l.used, l.memory())
	}
}

// TestMemory: what is kept is not on Go's heap, and goes back to the system.
func TestMemory(t *testing.T) {
	limits := DefaultLimits()
	l := New(limits, all)
	line := []byte(strings.Repeat("x", 300))
	old := time.Now().Add(-time.Hour)
	before := heapInUse()
	for i := range 100 {
		for range 1000 {
			l.Keep(fmt.Sprint("f", i), false, slog.LevelInfo, old, line)
		}
	}
	full, grown := l.memory(), heapInUse()-before
	if full < limits.Total*3/4 || grown > int64(limits.Total/8) {
		t.Errorf("%d bytes of lines are kept, the heap grew by %d", full, grown)
	}
	l.Shrink(time.Minute)
	quiet := l.memory()
	if quiet > 100*limits.Quiet {
		t.Errorf("%d bytes are left of %d", quiet, full)
	}
	if runtime.GOOS == "linux" && os.Getpagesize() <= segmentSize {
		if n := len(l.arena.used); n > 0 {
			t.Errorf("%d segments that nobody uses were not given back", n)
		}
		if fresh := len(l.arena.fresh) * segmentSize; fresh < full-quiet {
			t.Errorf("%d bytes are free of %d", fresh, full-quiet)
		}
	}
	// What comes next finds room in what there is.
	l.say("f99", "again")
	if got := read(t, l, Query{Functions: []string{"f99"}, Last: 2}); len(got) != 2 || got[0] != string(line) || got[1] != "again" {
		t.Errorf("kept %q", got)
	}
}

func heapInUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestFollow(t *testing.T) {
	l := New(Limits{Requests: 4 << 10, Rest: 4 << 10, Total: 1 << 20}, all)
	l.say("f", "before")
	r := l.Read(Query{Functions: []string{"f", "later"}})
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	next := func(want []string, wantLost bool) {
		t.Helper()
		lines, lost := r.Next()
		if !slices.Equal(texts(lines), want) || (lost > 0) != wantLost {
			t.Fatalf("%q and %d lost, want %q", texts(lines), lost, want)
		}
	}
	next([]string{"before"}, false)
	next([]string{}, false)
	l.say("later", "1")
	l.say("f", "2")
	l.say("not asked for", "x")
	if err := r.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	next([]string{"1", "2"}, false)

	// More than the ring holds: what is left comes, and the number of the rest.
	for i := range 1000 {
		l.say("f", fmt.Sprintf("%0100d", i))
	}
	lines, lost := r.Next()
	if len(lines) == 0 || int(lost)+len(lines) != 1000 || texts(lines)[len(lines)-1] != fmt.Sprintf("%0100d", 999) {
		t.Errorf("%d lines, %d lost", len(lines), lost)
	}
	cancel()
	for r.Wait(ctx) == nil {
	}
}

// TestAtOnce has many write and one follow: nothing is lost silently, and each
// writer's lines stay in their order.
func TestAtOnce(t *testing.T) {
	const writers, lines = 8, 3000
	l := New(Limits{Requests: 8 << 10, Rest: 8 << 10, Total: 64 << 10}, all)
	r := l.Read(Query{Functions: []string{"shared"}})
	defer r.Close()
	r.Next() // what is gone before the first time, nobody expects
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range lines {
				l.say("shared", fmt.Sprintf("%d %d", w, i))
				l.say(fmt.Sprint("other", i%50), "x") // has histories dropped
			}
		})
	}
	over := make(chan struct{})
	go func() {
		wg.Wait()
		close(over)
	}()
	seen := 0
	last := map[int]int{}
	for ended := false; ; {
		got, lost := r.Next()
		seen += len(got) + int(lost)
		for _, line := range texts(got) {
			var w, i int
			fmt.Sscan(line, &w, &i)
			if before, ok := last[w]; ok && i <= before {
				t.Fatalf("writer %d: %d after %d", w, i, before)
			}
			last[w] = i
		}
		if ended {
			break
		}
		select {
		case <-over:
			ended = true
		default:
		}
	}
	if seen != writers*lines {
		t.Errorf("%d of %d lines are accounted for", seen, writers*lines)
	}
	if got := l.memory(); got > 64<<10 {
		t.Errorf("%d bytes", got)
	}
}

func BenchmarkKeep(b *testing.B) {
	line := []byte(strings.Repeat("x", 350))
	for _, followed := range []bool{false, true} {
		b.Run(fmt.Sprintf("followed=%t", followed), func(b *testing.B) {
			l := New(DefaultLimits(), all)
			if followed {
				r := l.Read(Query{})
				defer r.Close()
			}
			now := time.Now()
			b.ReportAllocs()
			for b.Loop() {
				l.Keep("hello-world", true, slog.LevelInfo, now, line)
			}
		})
	}
}
