package pool

import (
	"errors"
	"fmt"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
)

// How long a function that keeps failing to start is left alone: not after the
// first two failures, which may be chance, then twice as long each time.
const (
	backoffAfter = 3
	backoffFirst = time.Second
	backoffMost  = 30 * time.Second
)

// A backoff remembers failed starts in a row.
type backoff struct {
	fails int
	err   error
	until time.Time
}

// failed notes a failure and returns how long no further start is tried. seen
// is what fails was when the start began: of several at once one counts.
func (b *backoff) failed(err error, now time.Time, seen int) time.Duration {
	b.err = err
	if seen != b.fails {
		return max(0, b.until.Sub(now))
	}
	b.fails++
	if b.fails < backoffAfter {
		return 0
	}
	wait := backoffFirst
	for range min(b.fails-backoffAfter, 10) {
		wait = min(2*wait, backoffMost)
	}
	b.until = now.Add(wait)
	return wait
}

func (b *backoff) succeeded() { *b = backoff{} }

// refuse returns the last failure while no start is to be tried.
func (b *backoff) refuse(now time.Time) error {
	if !now.Before(b.until) {
		return nil
	}
	var boot *function.BootError
	if errors.As(b.err, &boot) {
		again := *boot
		again.Message += fmt.Sprintf(" (failed %d times in a row; next try in %s)", b.fails, max(time.Second, b.until.Sub(now).Round(time.Second)))
		return &again
	}
	return b.err
}
