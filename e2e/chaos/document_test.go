package chaos

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/docpart"
)

// A row is one line of docs/reliability.md.
type row struct{ Name, Figures, Must string }

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
	if !t.Failed() {
		keep(row{name, figures, must})
	}
}

// keep has a row take the place of the one with its name. The lock is held.
func keep(r row) {
	if i := slices.IndexFunc(rows, func(o row) bool { return o.Name == r.Name }); i >= 0 {
		rows[i] = r
	} else {
		rows = append(rows, r)
	}
}

// Rows of a run can be kept in a file, so that one test that another program on
// the machine has disturbed can be run again by itself.
func loadRows(path string) error {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &rows)
	}
	return err
}

func saveRows(path string) error {
	raw, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, raw, 0o644)
}

// writeDocument replaces the generated part.
func writeDocument(path string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\nMeasured on %s with %d CPUs, %s/%s, %s.\n\n| test | must hold | measured |\n|---|---|---|\n",
		time.Now().UTC().Format("2006-01-02"), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, scaled("scaled down", "at full length"))
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", r.Name, r.Must, r.Figures)
	}
	b.WriteString("\n")
	return docpart.Part{File: path, Name: "chaos", Command: "make chaos"}.Replace(b.String())
}
