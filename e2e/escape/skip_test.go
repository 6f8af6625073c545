package escape

import (
	"fmt"
	"slices"
	"sync"
	"testing"
)

var (
	skippedMu sync.Mutex
	skipped   = map[string]int{} // by reason
)

// skip leaves an attempt out and remembers why: a package that passes says
// nothing else of it.
func skip(t *testing.T, why string) {
	t.Helper()
	skippedMu.Lock()
	skipped[why]++
	skippedMu.Unlock()
	t.Skip(why)
}

// skips says what was left out, a line for each reason.
func skips() []string {
	skippedMu.Lock()
	defer skippedMu.Unlock()
	var lines []string
	for why, n := range skipped {
		lines = append(lines, fmt.Sprintf("skipped: %d escape attempts: %s", n, why))
	}
	slices.Sort(lines)
	return lines
}
