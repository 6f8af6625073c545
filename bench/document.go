package main

import (
	"fmt"
	"strings"

	"github.com/selvedge-dev/selvedge/internal/docpart"
)

// writeDocument replaces the generated part of a document.
func (r *Report) writeDocument(file string) error {
	return docpart.Part{File: file, Name: "bench", Command: "go run ./bench -write"}.Replace(r.markdown())
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
