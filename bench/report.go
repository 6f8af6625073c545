package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// A Row is one line of the table.
type Row struct {
	Experiment string
	Name       string
	// What says in words what is measured.
	What string
	// Unit is that of Value, Floor and Aim: ratio, ms, µs, MB (10⁶ bytes), kB
	// (10³ bytes) or allocs.
	Unit string
	// Of is the unit of the samples where Unit is ratio, "" for ms.
	Of string `json:",omitempty"`
	// Value is a median, or a ratio of two; Min and Max are over single
	// samples, or pairs of them.
	Value, Min, Max float64
	// Less is better: above Floor the run fails, up to Aim all is well. Both
	// are 0 for a row that is there for information.
	Floor, Aim float64
	// More turns that round: more is better.
	More    bool `json:",omitempty"`
	Verdict Verdict
	// Ours and Peer are the samples, Peer only where there is one.
	Ours, Peer Series   `json:",omitempty"`
	Notes      []string `json:",omitempty"`
	// Skipped is why there is no value.
	Skipped string `json:",omitempty"`
	// Others is the share of the processors that other programs used
	// meanwhile.
	Others float64
}

// A Verdict is what a value means.
type Verdict string

// The verdicts.
const (
	AimMet      Verdict = "aim"
	FloorMet    Verdict = "floor"
	FloorMissed Verdict = "MISSED"
	Information Verdict = "info"
	NotMeasured Verdict = "skipped"
)

// compare makes the row the ratio of two medians whose samples were taken in
// turns.
func (r *Row) compare(ours, peer Series) {
	pairs := ours.over(peer)
	r.Ours, r.Peer = ours, peer
	r.Value, r.Min, r.Max = ours.median()/peer.median(), pairs.min(), pairs.max()
}

// difference makes the row that of two medians whose samples were taken in
// turns.
func (r *Row) difference(ours, peer Series) {
	pairs := ours.minus(peer)
	r.Ours, r.Peer = ours, peer
	r.Value, r.Min, r.Max = ours.median()-peer.median(), pairs.min(), pairs.max()
}

// compareWithMedian is compare for samples that do not come in pairs.
func (r *Row) compareWithMedian(ours, peer Series) {
	ratios := ours.by(peer.median())
	r.Ours, r.Peer = ours, peer
	r.Value, r.Min, r.Max = ratios.median(), ratios.min(), ratios.max()
}

// absolute makes the row the median of the samples.
func (r *Row) absolute(ours Series) {
	r.Ours = ours
	r.Value, r.Min, r.Max = ours.median(), ours.min(), ours.max()
}

// judge compares the value with what is wanted. A value that is none misses.
func (r *Row) judge() Verdict {
	switch {
	case r.Skipped != "":
		return NotMeasured
	case math.IsNaN(r.Value) || math.IsInf(r.Value, 0):
		return FloorMissed
	case r.Floor == 0:
		return Information
	case r.reaches(r.Aim):
		return AimMet
	case r.reaches(r.Floor):
		return FloorMet
	default:
		return FloorMissed
	}
}

func (r *Row) reaches(limit float64) bool {
	if r.More {
		return r.Value >= limit
	}
	return r.Value <= limit
}

func (r *Row) value() string {
	if r.Skipped != "" {
		return "-"
	}
	unit := " " + r.Unit
	if r.Unit == "ratio" {
		unit = "×"
	}
	return fmt.Sprintf("%s%s (%s–%s)", number(r.Value), unit, number(r.Min), number(r.Max))
}

func (r *Row) limit(v float64) string {
	if r.Floor == 0 {
		return "-"
	}
	sign := "≤"
	if r.More {
		sign = "≥"
	}
	if r.Unit == "ratio" {
		return fmt.Sprintf("%s %g×", sign, v)
	}
	return fmt.Sprintf("%s %g %s", sign, v, r.Unit)
}

// number has three digits that mean something.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	default:
		return fmt.Sprintf("%.3f", v)
	}
}

func (s Series) text(unit string) string {
	if len(s) == 0 {
		return "-"
	}
	return fmt.Sprintf("%s %s (%s–%s, n=%d)", number(s.median()), unit, number(s.min()), number(s.max()), len(s))
}

// A Report is one run.
type Report struct {
	Environment Environment
	Rows        []Row
	root        string
}

// An Environment is what the figures hold for.
type Environment struct {
	Date                  string
	OS, Arch, Kernel, CPU string
	CPUs                  int
	Selvedge, Deno        string
	Peers                 string
}

// environment asks the machine and the programs who they are.
func (l *lab) environment(ctx context.Context) Environment {
	first := func(name string, args ...string) string {
		out, err := output(ctx, "", name, args...)
		if err != nil {
			return "unknown"
		}
		line, _, _ := strings.Cut(out, "\n")
		return line
	}
	e := Environment{
		Date: time.Now().UTC().Format(time.DateOnly),
		OS:   runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(),
		// Without what a distribution or a host adds to the version.
		Kernel:   cmp.Or(regexp.MustCompile(`^[\d.]*\d`).FindString(first("uname", "-r")), "unknown"),
		CPU:      cpuModel(),
		Selvedge: first(l.selvedge, "version"),
		Deno:     first(l.deno, "--version"),
		Peers:    peerVersions(ctx),
	}
	return e
}

// peerVersions names the programs compared with and measured by, as far as they
// are installed.
func peerVersions(ctx context.Context) string {
	all := []string{"@valtown/deno-http-worker " + valtownVersion, "workerd " + workerdVersion}
	for _, p := range []struct{ name, program, flag string }{{"Node", "node", "--version"}, {"nginx", "nginx", "-v"}, {"wrk", "wrk", "-v"}} {
		// Some of them say it on stderr, and wrk calls it a failure.
		out, _ := exec.CommandContext(ctx, p.program, p.flag).CombinedOutput()
		if version := regexp.MustCompile(`\d[\w.+-]*`).Find(out); version != nil {
			all = append(all, p.name+" "+string(version))
		}
	}
	return strings.Join(all, ", ")
}

func cpuModel() string {
	raw, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	m := regexp.MustCompile(`(?m)^model name\s*: (.*)$`).FindSubmatch(raw)
	if m == nil {
		return ""
	}
	return " (" + strings.TrimSpace(string(m[1])) + ")"
}

// print writes the table for people.
func (r *Report) print(w io.Writer) {
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "MEASURE\tVALUE (MIN–MAX)\tFLOOR\tAIM\tVERDICT\tOURS\tPEER")
	for i := range r.Rows {
		row := &r.Rows[i]
		row.Verdict = row.judge()
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", row.Name, row.value(), row.limit(row.Floor), row.limit(row.Aim), row.Verdict,
			row.Ours.text(row.sampleUnit()), row.Peer.text(row.sampleUnit()))
	}
	_ = t.Flush()
	fmt.Fprintln(w)
	for _, note := range r.notes() {
		fmt.Fprintln(w, note)
	}
	e := r.Environment
	fmt.Fprintf(w, "\n%s, %s/%s, kernel %s, %d CPUs%s; %s; %s; %s\n", e.Date, e.OS, e.Arch, e.Kernel, e.CPUs, e.CPU, e.Selvedge, e.Deno, e.Peers)
}

// sampleUnit is the unit of the samples: ratios are of times unless the row
// says otherwise.
func (r *Row) sampleUnit() string {
	if r.Unit == "ratio" {
		return cmp.Or(r.Of, "ms")
	}
	return r.Unit
}

// notes are the rows' remarks, each with the row's name.
func (r *Report) notes() []string {
	var notes []string
	for _, row := range r.Rows {
		for _, note := range row.Notes {
			notes = append(notes, row.Name+": "+note)
		}
		if row.Skipped != "" {
			notes = append(notes, row.Name+": not measured: "+row.Skipped)
		}
		if row.Others > quiet {
			notes = append(notes, fmt.Sprintf("%s: noisy: other programs used %.0f %% of the processors", row.Name, 100*row.Others))
		}
	}
	return notes
}

func (r *Report) missed() []string {
	var names []string
	for _, row := range r.Rows {
		if row.judge() == FloorMissed {
			names = append(names, row.Name)
		}
	}
	return names
}

// absent are the rows that were not measured.
func (r *Report) absent() []string {
	var names []string
	for _, row := range r.Rows {
		if row.judge() == NotMeasured {
			names = append(names, row.Name)
		}
	}
	return names
}

func (r *Report) writeJSON(file string) error {
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	raw = append(raw, '\n')
	if file == "-" {
		_, err = os.Stdout.Write(raw)
		return err
	}
	return os.WriteFile(file, raw, 0o644)
}
