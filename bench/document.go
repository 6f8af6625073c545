package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

// The generated part of the document is between these lines.
const (
	generatedBegin = "<!-- bench: begin; made by `go run ./bench -write` -->\n"
	generatedEnd   = "<!-- bench: end -->\n"
)

// writeDocument replaces the generated part of a document.
func (r *Report) writeDocument(file string) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(old, []byte(generatedBegin))
	_, after, closed := bytes.Cut(rest, []byte(generatedEnd))
	if !ok || !closed {
		return fmt.Errorf("%s has no generated part: it must have the lines %q and %q", file, generatedBegin, generatedEnd)
	}
	made := bytes.Join([][]byte{before, []byte(generatedBegin), []byte(r.markdown()), []byte(generatedEnd), after}, nil)
	return os.WriteFile(file, made, 0o644)
}

// markdown is the generated part.
func (r *Report) markdown() string {
	var b strings.Builder
	e := r.Environment
	fmt.Fprintf(&b, "\nMeasured on %s on %s/%s, kernel %s, %d CPUs%s, with `go run ./bench -write`.\n", e.Date, e.OS, e.Arch, e.Kernel, e.CPUs, e.CPU)
	fmt.Fprintf(&b, "%s; %s; %s.\n\n", e.Selvedge, e.Deno, e.Peers)
	b.WriteString("| measure | value (min–max) | floor | aim | verdict | Selvedge, median (min–max) | peer, median (min–max) |\n")
	b.WriteString("|---|---|---|---|---|---|---|\n")
	for i := range r.Rows {
		row := &r.Rows[i]
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", row.Name, row.value(), row.limit(row.Floor), row.limit(row.Aim), row.judge(),
			row.Ours.text(row.sampleUnit()), row.Peer.text(row.sampleUnit()))
	}
	b.WriteString("\n")
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "- **%s**: %s.\n", row.Name, row.What)
	}
	if notes := r.notes(); len(notes) > 0 {
		b.WriteString("\nRemarks of the run:\n\n")
		for _, note := range notes {
			fmt.Fprintf(&b, "- %s\n", note)
		}
	}
	b.WriteString("\n")
	return b.String()
}
