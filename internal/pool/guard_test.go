package pool

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
)

func onlyLinux(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("what workers use is known only on Linux")
	}
}

// tight has limits that a test reaches soon.
func tight(l *function.Limits) {
	l.MemoryMB, l.TmpMB = 64, 8
	l.CPUSoft, l.CPUHard = 300*time.Millisecond, 600*time.Millisecond
	l.MaxWorkers = 1
}

// failure asks on a lease and returns the limit that the worker died of.
func failureOf(l *Lease) (*function.LimitError, error) {
	defer l.Release()
	_, err := ask(context.Background(), l)
	if err == nil {
		return nil, errors.New("it answered")
	}
	var limit *function.LimitError
	if !errors.As(l.Suspect(), &limit) {
		return nil, fmt.Errorf("no limit is to blame for %w", err)
	}
	return limit, nil
}

func TestHardLimits(t *testing.T) {
	onlyLinux(t)
	s := newStand(t)
	for name, c := range map[string]struct{ source, reason, detail string }{
		"endless loop": {`Deno.serve(() => { for (;;); });`, ReasonCPU, "(cpu_ms)"},
		"endless loop after an await": {
			`Deno.serve(async () => { await 0; await new Promise((r) => setTimeout(r, 10)); for (;;); });`, ReasonCPU, "(cpu_ms)"},
		"endless turns": {
			`Deno.serve(async () => { for (;;) { for (const end = Date.now() + 10; Date.now() < end;); await new Promise((r) => setTimeout(r)); } });`,
			ReasonCPU, "a request used 600ms of CPU time; 600ms may be used (cpu_ms)"},
		"heap": {`Deno.serve(() => { const all = []; for (;;) all.push(new Array(1000).fill(all.length)); });`, ReasonMemory, "(memory_mb)"},
		"array buffers": {
			`const all = []; Deno.serve(async () => { for (;;) { all.push(new Uint8Array(4 << 20).fill(1)); await new Promise((r) => setTimeout(r, 5)); } });`,
			ReasonMemory, "64 may be used (memory_mb)"},
		"wasm": {
			`const m = new WebAssembly.Memory({ initial: 1, maximum: 65536 });
			 Deno.serve(async () => { for (;;) { const at = m.grow(64); new Uint8Array(m.buffer, at * 65536).fill(1); await new Promise((r) => setTimeout(r, 5)); } });`,
			ReasonMemory, "64 may be used (memory_mb)"},
		"files": {
			`const d = Deno.env.get("TMPDIR"); let n = 0; const chunk = new Uint8Array(1 << 20);
			 Deno.serve(async () => { for (;;) { await Deno.writeFile(d + "/" + n++, chunk); await new Promise((r) => setTimeout(r, 20)); } });`,
			ReasonFiles, "8 may be written (tmp_mb)"},
		"deleted files": {
			`const d = Deno.env.get("TMPDIR"); const chunk = new Uint8Array(1 << 20);
			 Deno.serve(async () => {
				const f = await Deno.open(d + "/x", { write: true, create: true });
				await Deno.remove(d + "/x");
				for (;;) { await f.write(chunk); await new Promise((r) => setTimeout(r, 20)); }
			 });`,
			ReasonFiles, "8 may be written (tmp_mb)"},
		"wall clock": {`Deno.serve(() => new Promise(() => {}));`, ReasonWallClock, "it was there for 1s, as long as it may be (timeout_s)"},
	} {
		slug := strings.ReplaceAll(name, " ", "-")
		s.write(slug, c.source, limits(tight), limits(func(l *function.Limits) {
			if c.reason == ReasonWallClock {
				l.WallClock = time.Second
			}
			if c.reason != ReasonCPU {
				l.CPUSoft, l.CPUHard = soon, soon
			}
		}))
		s.apply()
		limit, err := failureOf(s.lease(slug))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if limit.Slug != slug || limit.Reason != c.reason || !strings.Contains(limit.Detail, c.detail) {
			t.Errorf("%s: %+v", name, limit)
		}
		eventually(t, "the end of "+slug, func() bool {
			for _, e := range s.seen.allExits() {
				if e.Slug == slug && e.Reason == c.reason && e.Detail == limit.Detail {
					return true
				}
			}
			return false
		})
		s.remove(slug)
		s.apply()
	}
}

// A request that does not end does not hurt those beside it more than it must:
// it is stopped after its own CPU time, however many wait with it.
func TestLoopBesideOthers(t *testing.T) {
	onlyLinux(t)
	s := newStand(t)
	s.serve("fn", `let n = 0; Deno.serve(async () => {
		if (n++ === 20) { await new Promise((r) => setTimeout(r, 50)); for (;;); }
		await new Promise((r) => setTimeout(r, 60000));
		return new Response();
	});`, limits(tight))
	var wg sync.WaitGroup
	for range 21 {
		l := s.lease("fn")
		wg.Go(func() {
			if limit, err := failureOf(l); err != nil || limit.Reason != ReasonCPU {
				t.Errorf("%+v, %v", limit, err)
			}
		})
	}
	wg.Wait()
	e := s.exit(0)
	if e.InFlight == 0 || e.CPU > 5*time.Second || !strings.Contains(e.Detail, byLoop) {
		t.Errorf("%+v", e)
	}
}

// Requests that each use less than the limit are never stopped, however many
// of them the worker has at once.
func TestManyDearRequests(t *testing.T) {
	onlyLinux(t)
	s := newStand(t)
	s.serve("fn", `
		const burn = (ms) => { for (const end = Date.now() + ms; Date.now() < end;); };
		Deno.serve(async () => { burn(40); await new Promise((r) => setTimeout(r)); burn(40); return new Response("done"); });`,
		limits(tight))
	var wg sync.WaitGroup
	for range 30 {
		l := s.lease("fn")
		wg.Go(func() {
			if body, err := ask(within(t, soon), l); err != nil || body != "done" {
				t.Errorf("%q, %v, %v", body, err, l.Suspect())
			}
			l.Release()
		})
	}
	wg.Wait()
	for _, e := range s.seen.allExits() {
		t.Errorf("%+v", e)
	}
}

func TestSoftLimits(t *testing.T) {
	onlyLinux(t)
	s := newStand(t)
	const slowly = `await new Promise((r) => setTimeout(r, 2500)); return new Response("done");`
	for name, c := range map[string]struct{ source, reason, unload string }{
		"cpu":        {`Deno.serve(async () => { for (let i = 0; i < 150; i++) { for (const end = Date.now() + 10; Date.now() < end;); await new Promise((r) => setTimeout(r)); } ` + slowly + ` });`, ReasonCPU, "cpu"},
		"loop":       {`Deno.serve(async () => { for (const end = Date.now() + 1500; Date.now() < end;); ` + slowly + ` });`, ReasonCPU, "cpu"},
		"memory":     {`const all = []; Deno.serve(async () => { all.push(new Uint8Array(56 << 20).fill(1)); ` + slowly + ` });`, ReasonMemory, "memory"},
		"files":      {`Deno.serve(async () => { await Deno.writeFile(Deno.env.get("TMPDIR") + "/x", new Uint8Array(7 << 20)); ` + slowly + ` });`, ReasonFiles, "termination"},
		"wall clock": {`Deno.serve(async () => { ` + slowly + ` });`, ReasonWallClock, "wall_clock"},
	} {
		slug := strings.ReplaceAll(name, " ", "-")
		s.write(slug, `addEventListener("beforeunload", (e) => console.log("unload", "`+slug+`", e.detail.reason));`+c.source, limits(tight), limits(func(l *function.Limits) {
			l.CPUHard = soon
			if c.reason != ReasonCPU {
				l.CPUSoft = soon
			}
			if c.reason == ReasonWallClock {
				l.WallClock = 4 * time.Second
			}
		}))
		s.apply()
		first := s.lease(slug)
		boots := len(s.seen.allBoots())
		answer := asked(first)
		// A request that comes later goes to the worker that replaced it, while
		// the first one still runs.
		eventually(t, "the replacement for "+name, func() bool { return len(s.seen.allBoots()) > boots })
		eventually(t, "a lease on the replacement for "+name, func() bool {
			l := s.lease(slug)
			defer l.Release()
			return l.ExecutionID() != first.ExecutionID()
		})
		select {
		case got := <-answer:
			if name != "loop" {
				t.Errorf("%s: the request ended before its worker was replaced: %s", name, got)
			}
		default:
			if got := receive(t, answer); got != "done" {
				t.Errorf("%s: %s", name, got)
			}
		}
		eventually(t, "the end of "+slug, func() bool {
			for _, e := range s.seen.allExits() {
				if e.Slug == slug && e.Reason == c.reason && e.ExecutionID == first.ExecutionID() && e.InFlight == 0 {
					return true
				}
			}
			return false
		})
		if !s.seen.logged("unload " + slug + " " + c.unload) {
			t.Errorf("%s: beforeunload is not told %s", name, c.unload)
		}
		s.remove(slug)
		s.apply()
	}
}

func TestBackgroundIsLimited(t *testing.T) {
	onlyLinux(t)
	s := newStand(t)
	s.serve("fn", `Deno.serve(() => {
		EdgeRuntime.waitUntil((async () => { for (;;) { for (const end = Date.now() + 10; Date.now() < end;); await new Promise((r) => setTimeout(r)); } })());
		return new Response("later");
	});`, limits(tight))
	if got := s.get("fn"); got != "later" {
		t.Fatal(got)
	}
	if e := s.exit(0); e.Reason != ReasonCPU || !strings.Contains(e.Detail, byBackground) {
		t.Errorf("%+v", e)
	}
}

// A worker that serves all the time is replaced over and over without anybody
// noticing, and WebSockets and waitUntil have until the wall clock's end.
func TestWallClockLosesNothing(t *testing.T) {
	s := newStand(t)
	s.serve("fn", `
		Deno.serve(async () => {
			EdgeRuntime.waitUntil(new Promise((r) => setTimeout(() => { console.log("task done"); r(); }, 300)));
			await new Promise((r) => setTimeout(r, 50));
			return new Response("done");
		});`, limits(func(l *function.Limits) { l.WallClock, l.MaxWorkers = 2*time.Second, 1 }))
	var wg sync.WaitGroup
	end := time.Now().Add(4 * time.Second)
	for range 4 {
		wg.Go(func() {
			for time.Now().Before(end) {
				if got, err := s.try(context.Background(), "fn"); err != nil || got != "done" {
					t.Errorf("%q, %v", got, err)
					return
				}
			}
		})
	}
	wg.Wait()
	exits := 0
	for _, e := range s.seen.allExits() {
		if e.Reason != ReasonWallClock || e.InFlight != 0 || e.Detail != "" {
			t.Errorf("%+v", e)
		}
		exits++
	}
	if exits < 2 {
		t.Errorf("%d workers were replaced in four lives", exits)
	}
}

// What counts is what a function holds, not what it has dropped.
func TestGarbageIsNotMemory(t *testing.T) {
	onlyLinux(t)
	s := newStand(t)
	s.serve("fn", `Deno.serve(() => { for (let i = 0; i < 3; i++) new Uint8Array(1 << 20).fill(1); return new Response("done"); });`,
		limits(tight), limits(func(l *function.Limits) { l.CPUSoft, l.CPUHard = soon, soon }))
	for range 500 { // 1.5 GB in all
		if got := s.get("fn"); got != "done" {
			t.Fatal(got)
		}
	}
	if n := len(s.seen.allBoots()); n != 1 {
		t.Errorf("%d workers were started, exits: %+v", n, s.seen.allExits())
	}
}

func TestLevels(t *testing.T) {
	const mb = 1 << 20
	now := time.Unix(1000, 0)
	at := func(ms int) time.Time { return now.Add(time.Duration(ms) * time.Millisecond) }
	var l level
	for _, step := range []struct {
		at                              int
		mb                              int64
		collect, soft, hard, collecting bool
	}{
		{0, 10, false, false, false, false},
		{50, 49, false, false, false, false},
		{100, 55, true, false, false, true},
		{150, 85, false, false, false, true}, // it was asked just now
		{400, 85, true, false, false, true},  // and again
		{450, 60, false, false, false, true}, // it helped
		{500, 85, false, false, false, true},
		{700, 85, true, false, false, true},
		{1500, 86, false, true, false, false}, // for a second, and it is no garbage
		{1550, 101, true, true, true, true},   // that may be
		{1600, 151, false, true, true, false}, // too much to wait
		{1850, 101, false, true, true, false},
		{1900, 20, false, false, false, false},
	} {
		l.bytes = step.mb * mb
		l.cpu, l.looks = l.cpu+collectCPU, collectLooks // it runs, and is looked at
		collect := l.collect(100*mb, at(step.at))
		soft, hard := l.over(100*mb, at(step.at))
		collecting := l.collecting(100*mb, at(step.at))
		if collect != step.collect || soft != step.soft || hard != step.hard || collecting != step.collecting {
			t.Errorf("%+v: collect %t, soft %t, hard %t, collecting %t", step, collect, soft, hard, collecting)
		}
	}
}

// A worker that the machine does not let run cannot collect its garbage, and one
// that is seldom looked at may have done so.
func TestGarbageOfAWorkerThatDoesNotRun(t *testing.T) {
	const limit = 100
	asked := time.Unix(1000, 0)
	for _, c := range []struct {
		after, cpu time.Duration
		looks      int
		bytes      int64
		collecting bool
	}{
		{collectFor - 1, collectCPU, collectLooks, 120, true},
		{collectFor, collectCPU, collectLooks, 120, false},
		{collectFor, collectCPU - 1, collectLooks, 120, true},
		{collectFor, collectCPU, collectLooks - 1, 120, true},
		{collectMost, 0, 0, 120, false},
		{collectFor, 0, 0, 150, false}, // far over
	} {
		l := level{bytes: 120, cpu: time.Second}
		if !l.collect(limit, asked) {
			t.Fatal("it is not asked")
		}
		l.bytes, l.cpu, l.looks = c.bytes, l.cpu+c.cpu, c.looks
		if got := l.collecting(limit, asked.Add(c.after)); got != c.collecting {
			t.Errorf("%+v: %t", c, got)
		}
	}
}

func TestBackToZeroAcrossReplacements(t *testing.T) {
	s := newStand(t)
	s.serve("fn", hello, idle(4*time.Second), limits(func(l *function.Limits) { l.WallClock = 3 * time.Second }))
	s.get("fn")
	s.settled("no worker", func(st Stats) bool { return st.Workers+st.Starting == 0 && len(s.seen.allBoots()) > 1 })
	if n := len(s.seen.allBoots()); n > 6 {
		t.Errorf("%d workers were started", n)
	}
}

func TestLoadIsGuarded(t *testing.T) {
	onlyLinux(t)
	s := newStand(t)
	s.serve("fn", `const all = []; for (;;) { all.push(new Uint8Array(4 << 20).fill(1)); await new Promise((r) => setTimeout(r, 5)); }`, limits(tight))
	_, err := s.Acquire(within(t, soon), "fn")
	var boot *function.BootError
	if !errors.As(err, &boot) || !strings.Contains(boot.Message, "while it was loading it used") {
		t.Errorf("%v", err)
	}
}

// A function whose worker has reached a limit gives way to others from then on.
func TestWhoReachesALimitGivesWay(t *testing.T) {
	onlyLinux(t)
	s := newStand(t)
	s.serve("loop", `Deno.serve(() => { for (;;); });`, limits(tight))
	s.serve("fn", `Deno.serve(() => new Response("fn"));`, limits(tight))
	nice := func(l *Lease) int {
		t.Helper()
		n, err := syscall.Getpriority(syscall.PRIO_PROCESS, l.m.w.PID())
		if err != nil {
			t.Fatal(err)
		}
		return 20 - n // the call counts from the other end
	}
	first := s.lease("loop")
	if n := nice(first); n != 0 {
		t.Errorf("nice %d before anything happened", n)
	}
	if _, err := failureOf(first); err != nil {
		t.Fatal(err)
	}
	next, other := s.lease("loop"), s.lease("fn")
	defer next.Release()
	defer other.Release()
	// It was started before, when the first one came near its limit, and may
	// become slower at the same time as it gets its first request.
	for deadline := time.Now().Add(soon); nice(next) == 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if n := nice(next); n <= 0 {
		t.Errorf("nice %d after a worker has reached a limit", n)
	}
	if n := nice(other); n != 0 {
		t.Errorf("nice %d of another function", n)
	}
	g := next.m.g
	g.mu.Lock()
	g.blamed = g.blamed.Add(-blamedFor)
	g.mu.Unlock()
	if g.toBlame() {
		t.Error("it gives way for good")
	}
}
