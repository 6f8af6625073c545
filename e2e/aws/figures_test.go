package aws

import (
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
)

// What a deploy may take beside what AWS takes, and how much more is borne on
// a machine that has other things to do.
const (
	mostFromNothing = 20 * time.Second
	mostForOne      = 5 * time.Second
	slack           = 3
)

// TestFigures measures whole commands. The emulator's time is that of its
// answers and of what goes on in it meanwhile, which a command waits for.
func TestFigures(t *testing.T) {
	a := newAccount(t) // alone: not in parallel
	p := newProject(a)
	f := newFront(t)
	data := "SELVEDGE_DATA_DIR=" + denotest.TempDir(t) // as on a new machine, but for Deno
	measure := func(what string, most time.Duration) {
		r := a.command(p.dir, []string{data}, "deploy", "--yes", "--json", "--url", f.URL)
		if r.code != 0 {
			t.Fatalf("%s", r)
		}
		whole := r.to.Sub(r.from)
		theirs := a.busy(r.from, r.to)
		own := whole - theirs
		t.Logf("figures: %s: %.2f s, and %.2f s of the emulator", what, own.Seconds(), theirs.Seconds())
		if own > most*slack {
			t.Errorf("%s took %s, and should %s", what, own, most)
		}
	}
	measure("nothing to live", mostFromNothing)
	p.become(t, "second")
	measure("update of one function", mostForOne)
	measure("nothing changed", mostForOne)
}
