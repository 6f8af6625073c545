package chaos

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/docpart"
)

// A row is one line of docs/reliability.md.
type row struct{ name, figures, must string }

var (
	rowsMu sync.Mutex
	rows   []row
)

// note keeps the figures of a test, and logs them.
func note(t *testing.T, name, must, format string, args ...any) {
	t.Helper()
	figures := fmt.Sprintf(format, args...)
	t.Logf("%s: %s", name, figures)
	rowsMu.Lock()
	defer rowsMu.Unlock()
	rows = append(rows, row{name, figures, must})
}

// writeDocument replaces the generated part.
func writeDocument(path string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\nMeasured on %s with %d CPUs, %s/%s, %s.\n\n| test | must hold | measured |\n|---|---|---|\n",
		time.Now().UTC().Format("2006-01-02"), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, scaled("scaled down", "at full length"))
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", r.name, r.must, r.figures)
	}
	b.WriteString("\n")
	return docpart.Part{File: path, Name: "chaos", Command: "make chaos"}.Replace(b.String())
}
