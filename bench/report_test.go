package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSeries(t *testing.T) {
	for _, c := range []struct {
		in                     Series
		median, smallest, most float64
	}{
		{Series{3}, 3, 3, 3},
		{Series{9, 1, 2}, 2, 1, 9},
		{Series{4, 1, 3, 2}, 2.5, 1, 4},
	} {
		if m, lo, hi := c.in.median(), c.in.min(), c.in.max(); m != c.median || lo != c.smallest || hi != c.most {
			t.Errorf("%v: median %v, min %v, max %v", c.in, m, lo, hi)
		}
	}
	if m := (Series)(nil).median(); !math.IsNaN(m) {
		t.Errorf("the median of nothing is %v", m)
	}
	if got := (Series{1, 2, 3}).over(Series{2, 2}); len(got) != 2 || got[0] != 0.5 || got[1] != 1 {
		t.Errorf("over = %v", got)
	}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		row  Row
		want Verdict
	}{
		{Row{Value: 0.1, Floor: 0.25, Aim: 0.12}, AimMet},
		{Row{Value: 0.12, Floor: 0.25, Aim: 0.12}, AimMet},
		{Row{Value: 0.2, Floor: 0.25, Aim: 0.12}, FloorMet},
		{Row{Value: 0.26, Floor: 0.25, Aim: 0.12}, FloorMissed},
		{Row{Value: math.NaN(), Floor: 0.25, Aim: 0.12}, FloorMissed},
		{Row{Value: math.NaN()}, FloorMissed},
		{Row{Value: 3}, Information},
		{Row{Value: 0.95, Floor: 0.6, Aim: 0.9, More: true}, AimMet},
		{Row{Value: 0.6, Floor: 0.6, Aim: 0.9, More: true}, FloorMet},
		{Row{Value: 0.59, Floor: 0.6, Aim: 0.9, More: true}, FloorMissed},
		{Row{Value: math.NaN(), Floor: 0.6, Aim: 0.9, More: true}, FloorMissed},
		{Row{Floor: 1, Aim: 1, Skipped: "no /proc"}, NotMeasured},
	} {
		if got := c.row.judge(); got != c.want {
			t.Errorf("%+v: %s, want %s", c.row, got, c.want)
		}
	}
}

func TestLimits(t *testing.T) {
	for unit, want := range map[string]string{"ratio": "≤ 20×", "ms": "≤ 20 ms"} {
		row := Row{Unit: unit, Floor: 20}
		if got := row.limit(row.Floor); got != want {
			t.Errorf("%s: %q, want %q", unit, got, want)
		}
	}
	more := Row{Unit: "ratio", Floor: 0.6, More: true}
	if got := more.limit(more.Floor); got != "≥ 0.6×" {
		t.Errorf("more is better: %q", got)
	}
}

func TestWriteDocument(t *testing.T) {
	file := filepath.Join(t.TempDir(), "performance.md")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	row := Row{Name: "cold", What: "a start", Unit: "ratio", Floor: 1, Aim: 0.5}
	row.compare(Series{1, 2, 3}, Series{10, 10, 10})
	r := &Report{Rows: []Row{row}}

	const begin, end = "<!-- bench: begin; made by `go run ./bench -write` -->\n", "<!-- bench: end -->\n"
	write("no markers")
	if err := r.writeDocument(file); err == nil {
		t.Error("a document without markers was accepted")
	}
	write("before\n" + begin + "stale\n" + end + "after\n")
	for range 2 { // the second time replaces what the first has written
		if err := r.writeDocument(file); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := string(raw)
	if !strings.HasPrefix(got, "before\n"+begin) || !strings.HasSuffix(got, end+"after\n") || strings.Contains(got, "stale") {
		t.Errorf("the document is now:\n%s", got)
	}
	line := "| cold | 0.200× (0.100–0.300) | ≤ 1× | ≤ 0.5× | aim | 2.00 ms (1.00–3.00, n=3) | 10.0 ms (10.0–10.0, n=3) |\n"
	if strings.Count(got, line) != 1 {
		t.Errorf("the line %q is not there once:\n%s", line, got)
	}
}

func TestWriteNeedsAllRows(t *testing.T) {
	r := &Report{Rows: []Row{{Name: "gateway-nginx", Skipped: "install nginx"}, {Name: "cold"}}, root: t.TempDir()}
	err := r.store(options{write: true})
	if err == nil || !strings.Contains(err.Error(), "not measured: gateway-nginx") {
		t.Errorf("a table without a row was written: %v", err)
	}
}

func TestParse(t *testing.T) {
	for args, ok := range map[string]bool{
		"":                       true,
		"-only cold-hello":       true,
		"-only cold-hello,burst": false,
		"-write":                 true,
		"-write -quick":          false,
		"-write -only thousand":  false,
		"cold-hello":             false,
	} {
		var silent strings.Builder
		if _, err := parse(strings.Fields(args), &silent); (err == nil) != ok {
			t.Errorf("%q: %v", args, err)
		}
	}
}
