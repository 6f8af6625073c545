package pool

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWorkers(t *testing.T) {
	s := newStand(t, func(o *Options) { o.Prestart = 1 })
	expect := func(want ...string) {
		t.Helper()
		var got []string
		eventually(t, strings.Join(want, "; "), func() bool {
			got = nil
			for _, w := range s.Workers() {
				got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %d/%d %s", w.Slug, w.State, w.InFlight, w.Requests, w.Reason)))
			}
			slices.Sort(got)
			return slices.Equal(got, want)
		})
	}
	expect("prestarted 0/0")
	s.serve("fn", hello)
	s.serve("never", `await new Promise((r) => setTimeout(r, 60_000));`)
	lease := s.lease("fn")
	expect("fn serving 1/1", "prestarted 0/0")
	s.Warm("never")
	expect("fn serving 1/1", "never starting 0/0", "prestarted 0/0")
	eventually(t, "the process of the one that loads is listed", func() bool {
		return slices.ContainsFunc(s.Workers(), func(w WorkerInfo) bool {
			return w.Slug == "never" && w.Process != nil && w.Process.PID() > 1
		})
	})
	for _, w := range s.Workers() {
		if age := time.Since(w.Started); age < 0 || age > time.Hour {
			t.Errorf("%s %s is %s old", w.Slug, w.State, age)
		}
	}
	s.remove("never")
	s.serve("fn", hello+"\n")
	expect("fn retiring 1/1 code_changed", "prestarted 0/0")
	for _, w := range s.Workers() {
		if w.Process == nil || w.Process.PID() < 2 || time.Since(w.Started) > time.Hour {
			t.Errorf("%+v has no process", w)
		}
		if w.Slug == "fn" && len(w.Version) != 12 {
			t.Errorf("the version is %q", w.Version)
		}
	}
	lease.Release()
	expect("prestarted 0/0")
}
