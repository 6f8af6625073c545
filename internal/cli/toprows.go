package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/selvedge-dev/selvedge/internal/admin"
)

// A topRow is a worker and what it did since the last look.
type topRow struct {
	admin.Worker
	share, rate float64 // of a core; requests a second
}

// update takes in what there is now.
func (w *topWatch) update(now time.Time, workers []admin.Worker) {
	passed := now.Sub(w.at).Seconds()
	seen := make(map[string]admin.Worker, len(workers))
	w.rows = w.rows[:0]
	for _, one := range workers {
		row := topRow{Worker: one}
		if before, ok := w.seen[one.ExecutionID]; ok && one.PID != 0 && passed > 0 {
			row.share = (one.CPUSeconds - before.CPUSeconds) / passed
			row.rate = float64(one.Requests-before.Requests) / passed
		}
		if one.PID != 0 {
			seen[one.ExecutionID] = one
		}
		w.rows = append(w.rows, row)
	}
	w.at, w.seen = now, seen
}

// picture is the table; a width and height of 0 are without bounds. In a
// terminal each line ends with what makes it replace the one before.
func (w *topWatch) picture(width, height int) string {
	slices.SortStableFunc(w.rows, func(a, b topRow) int {
		byCPU, byMemory := cmp.Compare(b.share, a.share), cmp.Compare(b.MemoryBytes, a.MemoryBytes)
		if w.byMemory {
			return cmp.Or(byMemory, byCPU)
		}
		return cmp.Or(byCPU, byMemory)
	})
	var cpu, rate float64
	var memory int64
	inFlight := 0
	var table strings.Builder
	t := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "FUNCTION\tSTATE\tPID\tCPU\tMEMORY\tREQ/S\tACTIVE\tREQUESTS\tAGE")
	for _, r := range w.rows {
		cpu, rate, memory, inFlight = cpu+r.share, rate+r.rate, memory+r.MemoryBytes, inFlight+r.InFlight
		fmt.Fprintln(t, strings.Join([]string{
			orDash(plain(r.Function)), stateOf(r.Worker), orDash(number(r.PID)), percent(r.share), orDash(megabytes(r.MemoryBytes)),
			strconv.FormatFloat(r.rate, 'f', 1, 64), strconv.Itoa(r.InFlight), strconv.Itoa(r.Requests), age(r.Worker),
		}, "\t"))
	}
	t.Flush() // to a builder, which has no errors
	about := w.about()
	head := fmt.Sprintf("%s  %d workers  CPU %s  memory %s  %.1f requests/s  %d active",
		about, len(w.rows), percent(cpu), cmp.Or(megabytes(memory), "0 MB"), rate, inFlight)
	lines := append([]string{head, ""}, strings.Split(strings.TrimRight(table.String(), "\n"), "\n")...)
	if width == 0 {
		return strings.Join(lines, "\n") + "\n"
	}
	order := "CPU"
	if w.byMemory {
		order = "memory"
	}
	lines[1] = "By " + order + "; press c for CPU, m for memory, q to end"
	if height > 3 && len(lines) > height-1 {
		more := len(lines) - (height - 2)
		lines = append(lines[:height-2], fmt.Sprintf("… and %d more", more))
	}
	var b strings.Builder
	for i, line := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(cutLine(line, width))
		b.WriteString("\x1b[K") // erases what is left of the line before
	}
	b.WriteString("\r\n")
	return b.String()
}

func (w *topWatch) about() string {
	if w.server == nil {
		return ""
	}
	return fmt.Sprintf("%s (pid %d)", plain(w.server.About.URL), w.server.About.PID)
}

func percent(share float64) string { return strconv.FormatFloat(100*max(share, 0), 'f', 1, 64) + "%" }

func cutLine(line string, width int) string {
	if utf8.RuneCountInString(line) <= width {
		return line
	}
	return string([]rune(line)[:max(width-1, 0)]) + "…"
}
