package pool

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/worker"
)

const hello = `Deno.serve(() => new Response("hello"));`

// many calls a function n times at once and returns the answers.
func (s *stand) many(n int, slug string) (bodies []string, errs []error) {
	ctx := within(s.t, soon)
	bodies, errs = make([]string, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { bodies[i], errs[i] = s.try(ctx, slug) })
	}
	wg.Wait()
	return bodies, errs
}

func TestOneStartIsSharedByAllCallers(t *testing.T) {
	s := newStand(t)
	s.serve("fn", hello)
	bodies, errs := s.many(100, "fn")
	for i := range bodies {
		if bodies[i] != "hello" || errs[i] != nil {
			t.Fatalf("%q, %v", bodies[i], errs[i])
		}
	}
	if n := s.starter.count(); n != 1 {
		t.Errorf("%d processes were started", n)
	}
	boots := s.seen.allBoots()
	if len(boots) != 1 {
		t.Fatalf("%d boots", len(boots))
	}
	if b := boots[0]; b.Slug != "fn" || b.ExecutionID != s.starter.all()[0].ID || b.Spawn <= 0 || b.Load <= 0 || b.Total < b.Spawn+b.Load {
		t.Errorf("%+v", b)
	}
	if st := s.Stats(); st != (Stats{Functions: 1, Workers: 1}) {
		t.Errorf("%+v", st)
	}
}

func TestStormStartsNoMoreThanMaxWorkers(t *testing.T) {
	for name, change := range map[string]func(*function.Function){
		"per_request": policy(function.PerRequest),
		"room for one": limits(func(l *function.Limits) {
			l.MaxConcurrency = 1
		}),
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t)
			s.serve("fn", `let now = 0, most = 0;
				Deno.serve(async () => {
					most = Math.max(most, ++now);
					await new Promise((r) => setTimeout(r, 5));
					now--;
					return new Response(String(most));
				});`, change, limits(func(l *function.Limits) { l.MaxWorkers = 3 }))
			bodies, errs := s.many(100, "fn")
			for i := range bodies {
				if bodies[i] != "1" || errs[i] != nil {
					t.Fatalf("%q at once in one worker, %v", bodies[i], errs[i])
				}
			}
			if n := s.starter.count(); n > 3 {
				t.Errorf("%d processes were started", n)
			}
		})
	}
}

func TestScaleOutByConcurrency(t *testing.T) {
	s := newStand(t)
	s.serve("fn", hello, limits(func(l *function.Limits) { l.MaxConcurrency, l.MaxWorkers = 2, 3 }))
	var leases []*Lease
	for i := range 6 {
		leases = append(leases, s.lease("fn"))
		if want := i/2 + 1; s.starter.count() != want {
			t.Errorf("%d processes for %d requests, want %d", s.starter.count(), i+1, want)
		}
	}
	seventh := make(chan *Lease)
	go func() {
		l, err := s.Acquire(context.Background(), "fn")
		if err != nil {
			t.Error(err)
		}
		seventh <- l
	}()
	s.settled("a waiting request", func(st Stats) bool { return st.Queued == 1 })
	if st := s.Stats(); st != (Stats{Functions: 1, Workers: 3, InFlight: 6, Queued: 1}) {
		t.Errorf("%+v", st)
	}
	leases[3].Release()
	l := receive(t, seventh)
	if l.ExecutionID() != leases[3].ExecutionID() {
		t.Error("the waiting request did not get the worker that had room")
	}
	l.Release()
	for i, l := range leases {
		if i != 3 {
			l.Release()
		}
	}
	// The least busy worker is used, and always the same of those that rest, so
	// that the others can go.
	first := s.lease("fn")
	second := s.lease("fn")
	if first.ExecutionID() == second.ExecutionID() {
		t.Error("a resting worker is passed over")
	}
	first.Release()
	again := s.lease("fn")
	if again.ExecutionID() != first.ExecutionID() {
		t.Error("another worker than before was taken without need")
	}
	again.Release()
	second.Release()
}

func TestScaleOutUnderCPULoad(t *testing.T) {
	// The load is kept up until a second worker comes, or for a while.
	load := func(s *stand, source string, until func() bool) {
		s.serve("fn", source, limits(func(l *function.Limits) { l.MaxWorkers = 2 }))
		s.get("fn")
		ctx := within(t, soon)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for !until() {
					if _, err := s.try(ctx, "fn"); err != nil {
						t.Error(describe(err))
						return
					}
				}
			})
		}
		wg.Wait()
	}
	t.Run("busy", func(t *testing.T) {
		s := newStand(t)
		end := time.Now().Add(soon)
		load(s, `Deno.serve(() => {
			for (const end = performance.now() + 20; performance.now() < end;);
			return new Response();
		});`, func() bool { return s.Stats().Workers == 2 || time.Now().After(end) })
		if n := s.Stats().Workers; n != 2 {
			s.needsCPU(s.starter.all()[0])
			t.Errorf("%d workers", n)
		}
	})
	t.Run("busy only while it loads", func(t *testing.T) {
		s := newStand(t)
		s.serve("fn", `
			for (const end = performance.now() + 500; performance.now() < end;);
			Deno.serve(async () => {
				await new Promise((r) => setTimeout(r, 300));
				return new Response();
			});`, limits(func(l *function.Limits) { l.MaxWorkers = 2 }))
		var all []chan struct{}
		for range 3 {
			done := make(chan struct{})
			all = append(all, done)
			go func() {
				defer close(done)
				if _, err := s.try(within(t, soon), "fn"); err != nil {
					t.Error(describe(err))
				}
			}()
		}
		for _, done := range all {
			<-done
		}
		if n := s.starter.count(); n != 1 {
			t.Errorf("%d processes for requests that only wait", n)
		}
	})
	t.Run("long requests far apart", func(t *testing.T) {
		s := newStand(t)
		s.serve("fn", `Deno.serve(() => {
			for (const end = performance.now() + 5000; performance.now() < end;);
			return new Response();
		});`, limits(func(l *function.Limits) { l.MaxWorkers = 2 }))
		first := asked(s.lease("fn"))
		time.Sleep(10*busyWindow + 50*time.Millisecond) // nobody asks for so long that no share can be told
		second := asked(s.lease("fn"))
		// Where the machine gave the worker too little of late, the next looks
		// tell.
		for end := time.Now().Add(3 * time.Second); s.starter.count() != 2; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				s.needsCPU(s.starter.all()[0])
				t.Errorf("%+v", s.Stats())
				break
			}
		}
		s.starter.all()[0].Stop()
		receive(t, first)
		receive(t, second)
	})
	t.Run("waiting", func(t *testing.T) {
		s := newStand(t)
		end := time.Now().Add(400 * time.Millisecond)
		load(s, `Deno.serve(async () => {
			await new Promise((r) => setTimeout(r, 20));
			return new Response();
		});`, func() bool { return time.Now().After(end) })
		if n := s.starter.count(); n != 1 {
			t.Errorf("%d processes for requests that only wait", n)
		}
	})
}

// needsCPU skips a test whose only worker did not get the processor it asked
// for: on such a machine a second one would be of no use.
func (s *stand) needsCPU(w *worker.Worker) {
	s.t.Helper()
	used, _ := w.CPU()
	if share := float64(used) / float64(time.Since(w.Started)); share < busyShare+0.1 {
		s.t.Skipf("the machine is busy with something else: the worker got %.0f%% of a core", 100*share)
	}
}

// Functions that hang while they load must not keep others from starting.
func TestSlowLoadsHoldUpNobody(t *testing.T) {
	s := newStand(t)
	s.starts.share = 50 * time.Millisecond
	n := 2*runtime.NumCPU() + 1
	for i := range n {
		s.write(fmt.Sprint("hangs", i), `await new Promise(() => {});`)
	}
	s.serve("fn", hello)
	for i := range n {
		s.Warm(fmt.Sprint("hangs", i))
	}
	eventually(t, "the processes", func() bool { return s.starter.count() >= n-1 })
	began := time.Now()
	if got := s.get("fn"); got != "hello" {
		t.Errorf("%q", got)
	}
	if took := time.Since(began); took > soon/2 { // which they have to load
		t.Errorf("the start took %s", took)
	}
}

// Packages may need files that only the source can name.
func TestFallbackToTheSource(t *testing.T) {
	s := newStand(t)
	s.builder.packages = true
	s.serve("fn", `if (!globalThis.unbundled) throw new Error("no such file"); `+hello)
	s.serve("broken", `throw new Error("no luck");`)
	if got := s.get("fn"); got != "hello" {
		t.Errorf("%q", got)
	}
	if boots := s.seen.allBoots(); len(boots) != 1 || !boots[0].Unbundled {
		t.Errorf("%+v", boots)
	}
	// One that fails either way is told how it fails as a bundle.
	if _, err := s.try(within(t, soon), "broken"); err == nil || !strings.Contains(err.Error(), "no luck") {
		t.Errorf("%v", err)
	}
	if s.builder.unbundled != 2 {
		t.Errorf("%d bundles were made of source", s.builder.unbundled)
	}
}

func TestWarm(t *testing.T) {
	s := newStand(t)
	s.serve("fn", hello)
	s.Warm("nothing")
	for range 3 {
		s.Warm("fn")
	}
	s.settled("a worker", func(st Stats) bool { return st.Workers == 1 })
	s.Warm("fn")
	if st := s.Stats(); st.Starting != 0 || s.starter.count() != 1 {
		t.Errorf("%+v, %d processes", st, s.starter.count())
	}
}

func TestStartFaultsAreBootErrors(t *testing.T) {
	s := newStand(t)
	s.starter.setFail(errors.New("no processes left"))
	s.serve("fn", hello)
	var boot *function.BootError
	if _, err := s.Acquire(within(t, soon), "fn"); !errors.As(err, &boot) || boot.Stage != "load" || boot.Message != "no processes left" {
		t.Errorf("%v", err)
	}
	s.starter.setFail(nil)
	if got := s.get("fn"); got != "hello" {
		t.Errorf("%q", got)
	}
}

// An observer may ask the pool, even call a function.
func TestObserverMayUseThePool(t *testing.T) {
	s := newStand(t)
	s.serve("fn", hello)
	s.serve("broken", `throw 1;`)
	s.seen.onEvent = func() {
		s.Stats()
		s.Function("fn")
		s.Warm("nothing")
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		for _, slug := range []string{"fn", "broken"} {
			if l, err := s.Acquire(ctx, slug); err == nil {
				l.Release()
			}
		}
	}
	s.get("fn")
	if _, err := s.try(within(t, soon), "broken"); err == nil {
		t.Error("no error")
	}
	s.starter.all()[0].Stop()
	s.exit(0)
}

func TestInspectedFunctionHasOneWorker(t *testing.T) {
	s := newStand(t, func(o *Options) {
		o.Inspect, o.InspectAddr, o.Eager = "fn", "127.0.0.1:0", true
		o.Prestart = 1
	})
	s.serve("fn", hello, policy(function.PerRequest))
	l := s.lease("fn")
	old := l.ExecutionID()
	s.write("fn", `Deno.serve(() => new Response("new"));`, policy(function.PerRequest))
	s.apply()
	time.Sleep(50 * time.Millisecond)
	if st := s.Stats(); st.Workers != 1 || st.Starting != 0 {
		t.Errorf("%+v while the old worker holds the port", st)
	}
	l.Release()
	s.settled("the new worker", func(st Stats) bool { return st.Workers == 1 && st.InFlight == 0 && st.Starting == 0 && s.exited(old) })
	if got := s.get("fn"); got != "new" {
		t.Errorf("%q", got)
	}
	for _, w := range s.starter.alive() {
		if (w.Profile.Inspect != "") == (w.ID != s.seen.allBoots()[1].ExecutionID) {
			t.Errorf("%+v", w.Profile)
		}
	}
}

// exited reports whether the worker's end was observed.
func (s *stand) exited(id string) bool {
	return slices.ContainsFunc(s.seen.allExits(), func(e Exit) bool { return e.ExecutionID == id })
}

func TestStacksNameTheUsersFiles(t *testing.T) {
	s := newStand(t)
	s.write("fn", "function start() { throw new Error('no luck'); }\nstart();")
	s.Pool.opts.Hide = []string{s.starter.host.Runtime.Bootstrap}
	s.apply()
	_, err := s.try(within(t, soon), "fn")
	var boot *function.BootError
	if !errors.As(err, &boot) {
		t.Fatal(err)
	}
	if strings.Contains(boot.Detail, filepath.ToSlash(s.builder.dir)) || !strings.Contains(boot.Detail, "at start (index.js:1:26)") {
		t.Errorf("%s", boot.Detail)
	}
}
