//go:build linux && !race

package sockio

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestProcessorsAreGivenUpUnderLoad(t *testing.T) {
	for _, c := range []struct {
		name  string
		pause time.Duration // between two exchanges
		want  int           // of ten times yieldEvery
	}{
		{"without a pause", 0, 10},
		{"20,000 a second", 50 * time.Microsecond, 10},
		{"10,000 a second", 100 * time.Microsecond, 0},
		{"100 a second", 10 * time.Millisecond, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			shared := courtesy{epoch: time.Now().Add(-time.Hour)}
			shared.last.Store(int64(time.Hour))
			given := 0
			for range 10 * yieldEvery {
				time.Sleep(c.pause)
				if shared.due() {
					given++
				}
			}
			if given != c.want {
				t.Errorf("%s: given up %d times, want %d", c.name, given, c.want)
			}
		})
	}
}
