package pool

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/worker"
)

// TestClock: what passes between two looks that are far apart has not passed.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clock
		c.look()
		born := c.now()
		for range 40 {
			time.Sleep(guardEvery)
			c.look()
		}
		if age := c.look().Sub(born); age != 40*guardEvery {
			t.Errorf("aged %s in %s", age, 40*guardEvery)
		}
		time.Sleep(time.Hour)
		if age := c.look().Sub(born); age != 40*guardEvery {
			t.Errorf("aged %s, an hour of which nobody looked", age)
		}
		if left := c.until(born.Add(10 * time.Second)); left != 8*time.Second {
			t.Errorf("%s are left, want 8 s", left)
		}
		time.Sleep(guardEvery)
		if age := c.look().Sub(born); age != 41*guardEvery {
			t.Errorf("aged %s after that", age)
		}
	})
}

type failing struct{ err error }

func (f *failing) Start(context.Context, deno.Profile) (*worker.Worker, error) { return nil, f.err }

// TestTrouble: that no process can be started is said after a few tries, and
// forgotten if nobody tries any more.
func TestTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{errors.New("no room")}
		p := &Pool{opts: Options{Starter: f}}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		_, _ = p.spawn(over, deno.Profile{}) // not the machine's fault
		for range troubleAfter - 1 {
			_, _ = p.spawn(t.Context(), deno.Profile{})
		}
		if err := p.Trouble(); err != nil {
			t.Errorf("too early: %v", err)
		}
		_, _ = p.spawn(t.Context(), deno.Profile{})
		if err := p.Trouble(); err == nil || !strings.Contains(err.Error(), "no room") {
			t.Errorf("got %v", err)
		}
		time.Sleep(troubleFor + 1)
		if err := p.Trouble(); err != nil {
			t.Errorf("for ever: %v", err)
		}
		_, _ = p.spawn(t.Context(), deno.Profile{})
		f.err = nil
		_, _ = p.spawn(t.Context(), deno.Profile{})
		if err := p.Trouble(); err != nil {
			t.Errorf("after one that started: %v", err)
		}
	})
}
