package chaos

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
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

const (
	generatedBegin = "<!-- chaos: begin; made by `make chaos` -->\n"
	generatedEnd   = "<!-- chaos: end -->\n"
)

// writeDocument replaces the generated part.
func writeDocument(path string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(old, []byte(generatedBegin))
	_, after, closed := bytes.Cut(rest, []byte(generatedEnd))
	if !ok || !closed {
		return fmt.Errorf("%s has no generated part: it must have the lines %q and %q", path, generatedBegin, generatedEnd)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nMeasured on %s with %d CPUs, %s/%s, %s.\n\n| test | must hold | measured |\n|---|---|---|\n",
		time.Now().UTC().Format("2006-01-02"), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, scaled("scaled down", "at full length"))
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", r.name, r.must, r.figures)
	}
	b.WriteString("\n")
	return os.WriteFile(path, bytes.Join([][]byte{before, []byte(generatedBegin), []byte(b.String()), []byte(generatedEnd), after}, nil), 0o644)
}
