package worker

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/cgroup"
)

// fakeGroups write down what is done with them.
type fakeGroups struct {
	mu   sync.Mutex
	did  []any
	fail error
	oom  bool
}

func (g *fakeGroups) note(what any) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.did = append(g.did, what)
	return g.fail
}

func (g *fakeGroups) Make(l cgroup.Limits) (Group, error) { return g, g.note(l) }
func (g *fakeGroups) Add(pid int) error {
	time.Sleep(20 * time.Millisecond) // as the kernel
	return g.note(pid)
}
func (g *fakeGroups) Limit(l cgroup.Limits) error { return g.note(l) }
func (g *fakeGroups) OutOfMemory() bool           { return g.oom }
func (g *fakeGroups) Remove() error               { return g.note("removed") }

func TestWorkersHaveGroups(t *testing.T) {
	t.Parallel()
	s, groups := newStand(t), &fakeGroups{}
	s.Groups = groups
	w := s.load(t, `Deno.serve(() => new Response(""));`, func(a *Assignment) { a.TmpMB = 10 })
	pid := w.PID()
	w.Stop()
	if want := []any{groupLimits(256, 256), pid, groupLimits(256, 10), "removed"}; !slices.Equal(groups.did, want) {
		t.Errorf("%v, not %v", groups.did, want)
	}
	if w.Exit().OutOfMemory {
		t.Error("it says that it was out of memory")
	}
}

func TestWorkerThatTheKernelEnds(t *testing.T) {
	t.Parallel()
	s, groups := newStand(t), &fakeGroups{oom: true}
	s.Groups = groups
	w := s.load(t, `Deno.serve(() => new Response(""));`)
	w.kill()
	if exit := w.ended(t); !exit.OutOfMemory || exit.Code != 137 {
		t.Errorf("%+v", exit)
	}
}

func TestWorkersWithoutGroups(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.Groups = &fakeGroups{fail: errors.New("no room")}
	var said []string
	s.Warn = func(line string) { said = append(said, line) }
	for range 2 {
		w := s.load(t, `Deno.serve(() => new Response("served"));`)
		if got := w.get(t, "/", ""); got != "served" {
			t.Error(got)
		}
		w.Stop()
	}
	if len(said) != 1 || !strings.Contains(said[0], "has no control group: no room") {
		t.Errorf("it is said %q", said)
	}
}

// TestRealGroups needs what cgroup.TestReal does.
func TestRealGroups(t *testing.T) {
	tree, err := cgroup.Open()
	if err != nil {
		t.Skip("there are no control groups to be had here: ", err)
	}
	defer tree.Close()
	s := newStand(t)
	s.Groups = realGroups{tree}
	w := s.load(t, `const kept = [];
		Deno.serve(() => { for (;;) kept.push(new Uint8Array(16 << 20).fill(1)); });`, func(a *Assignment) { a.TmpMB = 1 })
	go func() { _, _ = w.try(httptest.NewRequest(http.MethodGet, "/", nil)) }()
	if exit := w.ended(t); !exit.OutOfMemory {
		t.Errorf("%+v", exit)
	}
	t.Logf("it had %d MB, of %d", w.Exit().MaxRSS>>20, groupLimits(256, 1).Memory>>20)
}

type realGroups struct{ *cgroup.Tree }

func (g realGroups) Make(l cgroup.Limits) (Group, error) { return g.Tree.Make(l) }
