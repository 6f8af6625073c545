package pool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/bundle"
	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
	"github.com/selvedge-dev/selvedge/internal/function"
)

// version is a function that answers with its version, not at once.
func version(n int) string {
	return fmt.Sprintf(`Deno.serve(async () => { await new Promise((r) => setTimeout(r, 10)); return new Response("%d"); });`, n)
}

func TestApply(t *testing.T) {
	s := newStand(t)
	s.write("b", hello)
	s.write("a", hello)
	check := func(added, removed, updated string) {
		t.Helper()
		c := s.apply()
		if got := fmt.Sprint(c.Added, c.Removed, c.Updated); got != fmt.Sprintf("[%s] [%s] [%s]", added, removed, updated) {
			t.Errorf("%s", got)
		}
	}
	check("a b", "", "")
	check("", "", "")
	s.get("a")
	check("", "", "") // its worker goes on
	if !s.Exists("a") || s.Exists("c") {
		t.Error("Exists")
	}
	s.write("a", `Deno.serve(() => new Response("new"));`)
	check("", "", "a")
	if got := s.get("a"); got != "new" {
		t.Errorf("%q", got)
	}
	s.write("a", `Deno.serve(() => new Response("new"));`, func(f *function.Function) { f.VerifyJWT = true })
	check("", "", "") // the gateway's business
	if f, ok := s.Function("a"); !ok || !f.VerifyJWT {
		t.Errorf("%+v", f)
	}
	if n := s.starter.count(); n != 2 {
		t.Errorf("%d processes", n)
	}
	s.write("a", hello, func(f *function.Function) { f.Env = map[string]string{"A": "1"} })
	s.write("c", hello)
	s.remove("b")
	check("c", "b", "a")
	if _, ok := s.Function("b"); ok {
		t.Error("a removed function is there")
	}
	if st := s.Stats(); st.Functions != 2 {
		t.Errorf("%+v", st)
	}
}

// Answers come from the old or the new code while it changes, and only from
// the new code once Apply has returned. No request is lost.
func TestUpdateUnderLoad(t *testing.T) {
	s := newStand(t)
	updateUnderLoad(t, s, func(n int) { s.write("fn", version(n)); s.apply() })
}

// The same with the builder that the product has.
func TestUpdateUnderLoadWithBundles(t *testing.T) {
	data := denotest.TempDir(t)
	denotest.IsolatedPackages(t, bundle.PackageCache(data))
	builder, err := bundle.NewBuilder(bundle.Options{Deno: denotest.Binary(t), DenoVersion: "test", DataDir: data})
	if err != nil {
		t.Fatal(err)
	}
	s := newStand(t, func(o *Options) { o.Builder = builder })
	s.starter.host.Runtime.BundleDir = bundle.BundleDir(data)
	updateUnderLoad(t, s, func(n int) { s.write("fn", version(n)); s.apply() })
}

func updateUnderLoad(t *testing.T, s *stand, update func(n int)) {
	update(0)
	s.get("fn")
	var applied atomic.Int64 // the version that Apply has returned for
	var begun atomic.Int64   // the version that is on disk, or nearly
	stop := make(chan struct{})
	var answers atomic.Int64
	var wg sync.WaitGroup
	ctx := within(t, soon)
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				least := applied.Load()
				body, err := s.try(ctx, "fn")
				most := begun.Load()
				if err != nil {
					t.Error(describe(err))
					return
				}
				var got int64
				if _, err := fmt.Sscan(body, &got); err != nil || got < least || got > most {
					t.Errorf("answer %q from a request that began with version %d and ended with %d", body, least, most)
					return
				}
				answers.Add(1)
			}
		})
	}
	for n := int64(1); n <= 4; n++ {
		before := answers.Load()
		eventually(t, "requests", func() bool { return answers.Load() > before+20 || t.Failed() })
		begun.Store(n)
		update(int(n))
		applied.Store(n)
	}
	if got := s.get("fn"); got != "4" {
		t.Errorf("%q", got)
	}
	close(stop)
	wg.Wait()
	s.settled("only the new worker", func(st Stats) bool { return st.Workers == 1 && st.InFlight == 0 })
	for _, e := range s.seen.allExits() {
		if e.Reason != ReasonCodeChanged || e.InFlight != 0 {
			t.Errorf("%+v", e)
		}
	}
}

func TestUpdateLetsRequestsFinish(t *testing.T) {
	s := newStand(t)
	s.serve("fn", slow)
	answer := asked(s.lease("fn"))
	s.serve("fn", hello)
	if got := s.get("fn"); got != "hello" {
		t.Errorf("%q", got)
	}
	if got := receive(t, answer); got != "slow" {
		t.Errorf("%q", got)
	}
	if e := s.exit(0); e.Reason != ReasonCodeChanged || e.InFlight != 0 {
		t.Errorf("%+v", e)
	}
}

// Requests that wait for a start get the new code when it changes, and the
// old start is ended.
func TestUpdateWhileStarting(t *testing.T) {
	for name, source := range map[string]string{
		"loading":  `await new Promise(() => {});`,
		"looping":  `for (;;);`,
		"building": `// build waits`,
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t)
			ended := make(chan struct{})
			s.builder.setHook(func(ctx context.Context, f *function.Function) error {
				if read(f.Entrypoint) == `// build waits` {
					<-ctx.Done()
					close(ended)
					return context.Cause(ctx)
				}
				return nil
			})
			s.serve("fn", source)
			answers := make(chan string, 10)
			for range cap(answers) {
				go func() {
					body, err := s.try(within(t, soon), "fn")
					answers <- fmt.Sprint(body, err)
				}()
			}
			s.settled("ten waiting requests", func(st Stats) bool { return st.Queued == cap(answers) })
			if name != "building" {
				eventually(t, "a process", func() bool { return s.starter.count() == 1 })
			}
			began := time.Now()
			s.serve("fn", hello)
			for range cap(answers) {
				if got := receive(t, answers); got != "hello<nil>" {
					t.Error(got)
				}
			}
			if took := time.Since(began); took > soon/2 { // which the old one had to load
				t.Errorf("the new code took %s", took)
			}
			if name == "building" {
				receive(t, ended)
			}
			s.settled("one worker", func(st Stats) bool { return st.Workers == 1 && st.Starting == 0 })
			eventually(t, "the end of the old start", func() bool { return len(s.starter.alive()) == 1 })
			if n := len(s.seen.allFailures()); n > 0 {
				t.Errorf("%d failures of a start that nobody wanted", n)
			}
		})
	}
}

// Builds at the same time share a result, so a build that began before a
// change must be over when the next one begins.
func TestBuildsOfTwoVersionsDoNotOverlap(t *testing.T) {
	s := newStand(t)
	var running, overlaps atomic.Int64
	began := make(chan struct{}, 10)
	s.builder.setHook(func(ctx context.Context, f *function.Function) error {
		if running.Add(1) > 1 {
			overlaps.Add(1)
		}
		defer running.Add(-1)
		began <- struct{}{}
		if strings.HasPrefix(read(f.Entrypoint), "//") {
			<-ctx.Done()
			time.Sleep(30 * time.Millisecond) // a bundler that takes its time to end
		}
		return ctx.Err()
	})
	s.serve("fn", "// 0")
	answer := make(chan string, 1)
	go func() { answer <- s.get("fn") }()
	receive(t, began)
	for n := range 3 {
		s.serve("fn", fmt.Sprintf("// %d", n+1))
	}
	s.serve("fn", hello)
	if got := receive(t, answer); got != "hello" {
		t.Errorf("%q", got)
	}
	if n := overlaps.Load(); n > 0 {
		t.Errorf("%d builds began while another version's ran", n)
	}
}

// A worker started between an edit and Apply runs the new code already, and
// makes its bundle the one that is up to date. The others do not run it.
func TestUpdateAfterAStartOnTheNewCode(t *testing.T) {
	t.Run("that is up", func(t *testing.T) {
		s := newStand(t)
		s.serve("fn", version(1), policy(function.PerRequest))
		old := s.lease("fn")
		s.write("fn", version(2), policy(function.PerRequest))
		fresh := s.lease("fn")
		if got, err := ask(within(t, soon), fresh); got != "2" || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
		fresh.Release()
		old.Release()
		if !s.builder.Unchanged(s.set[0]) {
			t.Fatal("nothing is tested")
		}
		if change := s.apply(); !slices.Equal(change.Updated, []string{"fn"}) {
			t.Errorf("%+v", change)
		}
		bodies, errs := s.many(4, "fn")
		if err := errors.Join(errs...); err != nil || !slices.Equal(bodies, []string{"2", "2", "2", "2"}) {
			t.Errorf("%q, %v", bodies, err)
		}
		if change := s.apply(); len(change.Updated) > 0 {
			t.Errorf("a second look: %+v", change)
		}
	})
	t.Run("while one on the old code comes up", func(t *testing.T) {
		s := newStand(t)
		s.serve("fn", `await new Promise((r) => setTimeout(r, 300)); `+version(1), policy(function.PerRequest),
			limits(func(l *function.Limits) { l.MaxWorkers = 2 }))
		answer := make(chan string, 1)
		go func() { answer <- s.get("fn") }()
		eventually(t, "a process", func() bool { return s.starter.count() == 1 })
		s.write("fn", version(2), policy(function.PerRequest), limits(func(l *function.Limits) { l.MaxWorkers = 2 }))
		// Somebody else makes the bundle.
		if _, err := s.builder.Build(t.Context(), s.set[0]); err != nil {
			t.Fatal(err)
		}
		s.apply()
		if got := receive(t, answer); got != "2" {
			t.Errorf("%q from a request that began before", got)
		}
		if got := s.get("fn"); got != "2" {
			t.Errorf("%q", got)
		}
	})
}

func TestEagerStarts(t *testing.T) {
	s := newStand(t, func(o *Options) { o.Eager = true })
	s.write("used", hello)
	s.write("fails", `throw 1;`)
	s.serve("unused", hello)
	s.get("used")
	if _, err := s.try(within(t, soon), "fails"); err == nil {
		t.Error("no error")
	}
	for _, slug := range []string{"used", "unused", "fails"} {
		s.write(slug, version(1))
	}
	s.apply()
	s.settled("two workers", func(st Stats) bool { return st.Workers == 2 && st.Starting == 0 })
	for _, b := range s.seen.allBoots() {
		if b.Slug == "unused" {
			t.Error("a function that nobody called was started")
		}
	}
}

func TestRemovedFunction(t *testing.T) {
	s := newStand(t)
	s.serve("fn", slow, policy(function.PerRequest), limits(func(l *function.Limits) { l.MaxWorkers = 1 }))
	answer := asked(s.lease("fn"))
	failed := make(chan error, 5)
	for range cap(failed) {
		go func() {
			_, err := s.Acquire(within(t, soon), "fn")
			failed <- err
		}()
	}
	s.settled("waiting requests", func(st Stats) bool { return st.Queued == cap(failed) })
	s.remove("fn")
	s.apply()
	for range cap(failed) {
		if err := receive(t, failed); !errors.Is(err, function.ErrNotFound) {
			t.Errorf("%v", err)
		}
	}
	if _, err := s.Acquire(within(t, soon), "fn"); !errors.Is(err, function.ErrNotFound) || s.Exists("fn") {
		t.Errorf("%v", err)
	}
	if st := s.Stats(); st.Workers != 1 || st.InFlight != 1 || st.Functions != 0 {
		t.Errorf("%+v", st)
	}
	if got := receive(t, answer); got != "slow" {
		t.Errorf("%q", got)
	}
	if e := s.exit(0); e.Reason != ReasonCodeChanged || e.InFlight != 0 {
		t.Errorf("%+v", e)
	}
	eventually(t, "nothing left of it", func() bool { return len(s.all()) == 0 })
	// It may come back.
	if change := func() Change { s.write("fn", hello); return s.apply() }(); !slices.Equal(change.Added, []string{"fn"}) {
		t.Errorf("%+v", change)
	}
	if got := s.get("fn"); got != "hello" {
		t.Errorf("%q", got)
	}
}

func TestRemovedWhileStarting(t *testing.T) {
	s := newStand(t)
	s.serve("fn", `await new Promise(() => {});`)
	failed := make(chan error, 1)
	go func() {
		_, err := s.Acquire(within(t, soon), "fn")
		failed <- err
	}()
	eventually(t, "a process", func() bool { return s.starter.count() == 1 })
	s.remove("fn")
	s.apply()
	if err := receive(t, failed); !errors.Is(err, function.ErrNotFound) {
		t.Errorf("%v", err)
	}
	eventually(t, "its end", func() bool { return len(s.starter.alive()) == 0 })
}

// A function that cannot be run is answered with what is wrong with it.
func TestProblemFunction(t *testing.T) {
	root := denotest.TempDir(t)
	write := func(slug, file, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(root, slug), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, slug, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := newStand(t)
	discover := func() Change {
		t.Helper()
		set, err := function.Discover(function.Options{Root: root, Overrides: map[string]function.Override{"fn": {}, "broken": {}}})
		if err != nil {
			t.Fatal(err)
		}
		change, err := s.Apply(set)
		if err != nil {
			t.Fatal(err)
		}
		return change
	}
	write("fn", "index.js", slow)
	write("broken", "readme.md", "there is no index file")
	write("health", "index.js", hello)
	write("bad slug", "index.js", hello)
	discover()
	if s.Exists("health") || s.Exists("bad slug") || !s.Exists("broken") {
		t.Error("which functions exist")
	}
	var boot *function.BootError
	if _, err := s.Acquire(within(t, soon), "broken"); !errors.As(err, &boot) || boot.Slug != "broken" || boot.Stage != "configuration" || !strings.Contains(boot.Message, "index") {
		t.Errorf("%v", err)
	}
	if _, ok := s.Function("broken"); ok {
		t.Error("a function that cannot be run was returned")
	}
	s.Warm("broken")

	// One that breaks finishes what it has.
	answer := asked(s.lease("fn"))
	if err := os.Remove(filepath.Join(root, "fn", "index.js")); err != nil {
		t.Fatal(err)
	}
	write("broken", "index.js", hello)
	discover()
	if _, err := s.Acquire(within(t, soon), "fn"); !errors.As(err, &boot) {
		t.Errorf("%v", err)
	}
	if got := receive(t, answer); got != "slow" {
		t.Errorf("%q", got)
	}
	s.settled("no worker", func(st Stats) bool { return st.Workers == 0 })
	if got := s.get("broken"); got != "hello" {
		t.Errorf("%q of the repaired function", got)
	}
	// It waits for a worker when it breaks.
	write("fn", "index.js", `await new Promise(() => {});`)
	discover()
	failed := make(chan error, 1)
	go func() {
		_, err := s.Acquire(within(t, soon), "fn")
		failed <- err
	}()
	s.settled("a waiting request", func(st Stats) bool { return st.Queued == 1 })
	if err := os.Remove(filepath.Join(root, "fn", "index.js")); err != nil {
		t.Fatal(err)
	}
	discover()
	if err := receive(t, failed); !errors.As(err, &boot) || boot.Stage != "configuration" {
		t.Errorf("%v", err)
	}
}
