package pool

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/bundle"
	"github.com/selvedge-dev/selvedge/internal/function"
)

func TestBackoff(t *testing.T) {
	now := time.Unix(1000, 0)
	var b backoff
	for i, want := range []time.Duration{0, 0, 1, 2, 4, 8, 16, 30, 30, 30} {
		want *= time.Second
		if got := b.failed(errors.New("no luck"), now, b.fails); got != want {
			t.Errorf("failure %d: next try in %s, want %s", i+1, got, want)
		}
		if refused := b.refuse(now) != nil; refused != (want > 0) {
			t.Errorf("failure %d: refused %t", i+1, refused)
		}
		if want > 0 && (b.refuse(now.Add(want-1)) == nil || b.refuse(now.Add(want)) != nil) {
			t.Errorf("failure %d: it does not end after %s", i+1, want)
		}
		now = now.Add(want)
	}
	for range 100 {
		if got := b.failed(errors.New("no luck"), now, b.fails); got != backoffMost {
			t.Fatalf("next try in %s", got)
		}
	}
	b.succeeded()
	if b != (backoff{}) || b.refuse(now) != nil {
		t.Errorf("after a success: %+v", b)
	}
}

func TestBackoffCountsStartsAtOnceAsOne(t *testing.T) {
	now := time.Unix(1000, 0)
	var b backoff
	for range 4 { // began together
		if got := b.failed(errors.New("no luck"), now, 0); got != 0 {
			t.Errorf("next try in %s", got)
		}
	}
	if b.fails != 1 {
		t.Errorf("%d failures in a row", b.fails)
	}
	b.failed(errors.New("no luck"), now, 1)
	b.failed(errors.New("no luck"), now, 2)
	if got := b.failed(errors.New("late"), now.Add(300*time.Millisecond), 2); got != 700*time.Millisecond || b.fails != 3 {
		t.Errorf("next try in %s after %d failures", got, b.fails)
	}
}

func TestBackoffRefusal(t *testing.T) {
	now := time.Unix(1000, 0)
	first := &function.BootError{Slug: "fn", Stage: "load", Message: "no luck", Detail: "at line 1"}
	b := backoff{fails: 4, err: first, until: now.Add(1700 * time.Millisecond)}
	var boot *function.BootError
	if err := b.refuse(now); !errors.As(err, &boot) {
		t.Fatalf("%v", err)
	}
	if boot.Message != "no luck (failed 4 times in a row; next try in 2s)" || boot.Detail != first.Detail || boot.Stage != "load" {
		t.Errorf("%+v", boot)
	}
	if first.Message != "no luck" {
		t.Error("the remembered error was changed")
	}
	if err := b.refuse(b.until.Add(-1)); !strings.Contains(err.Error(), "next try in 1s") {
		t.Errorf("%v", err)
	}
}

func TestCPUMeter(t *testing.T) {
	type step struct {
		after, used time.Duration
		want        float64
	}
	const ms = time.Millisecond
	for name, steps := range map[string][]step{
		"the first look measures nothing":       {{0, 900 * ms, 0}},
		"half a core":                           {{0, 0, 0}, {200 * ms, 100 * ms, 0.5}},
		"not more often than the window":        {{0, 0, 0}, {100 * ms, 80 * ms, 0.8}, {99 * ms, 0, 0.8}, {1 * ms, 0, 0}},
		"more than a core, with helper threads": {{0, 0, 0}, {100 * ms, 250 * ms, 2.5}},
		"after a second nothing can be said":    {{0, 0, 0}, {1000 * ms, 1000 * ms, 0}, {100 * ms, 90 * ms, 0.9}},
	} {
		t.Run(name, func(t *testing.T) {
			var c cpuMeter
			now, used := time.Unix(1000, 0), time.Duration(0)
			for i, s := range steps {
				now, used = now.Add(s.after), used+s.used
				if got := c.sample(now, used); got != s.want {
					t.Errorf("step %d: share %v, want %v", i, got, s.want)
				}
			}
		})
	}
}

func TestCleaner(t *testing.T) {
	const dir = "/data/bundles/abc"
	for name, c := range map[string]struct{ dir, in, want string }{
		"plain text":      {dir, "hello", "hello"},
		"text with at":    {dir, "look at this (ext:core)", "look at this (ext:core)"},
		"a path in text":  {dir, "see file://" + dir + "/functions/fn/index.ts", "see functions/fn/index.ts"},
		"another's path":  {dir, "see file:///data/bundles/xyz/index.ts", "see file:///data/bundles/xyz/index.ts"},
		"no common start": {dir, "see file://" + dir + "d/index.ts", "see file://" + dir + "d/index.ts"},
		"a stack": {dir, strings.Join([]string{
			"Error: no luck",
			"    at start (file://" + dir + "/functions/fn/index.ts:3:9)",
			"    at async file://" + dir + "/functions/fn/index.ts:5:1",
			"    at dispatch (file:///data/runtime/bootstrap.js:140:22)",
			"    at ext:runtime/00_serve.ts:461:9",
			"    at eventLoopTick (ext:core/01_core.js:218:9)",
			"  [cause]: Error: it rains",
			"    at rain (file://" + dir + "/functions/_shared/sky.ts:1:1)",
		}, "\n"), strings.Join([]string{
			"Error: no luck",
			"    at start (functions/fn/index.ts:3:9)",
			"    at async functions/fn/index.ts:5:1",
			"  [cause]: Error: it rains",
			"    at rain (functions/_shared/sky.ts:1:1)",
		}, "\n")},
		"a folder with a space": {
			"/my data/abc",
			"Error\n    at a (file:///my%20data/abc/fn/index.ts:1:1)\n    at b (file:///my%20data/runtime/boot.js:1:1)",
			"Error\n    at a (fn/index.ts:1:1)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := &Pool{opts: Options{Hide: []string{"/data/runtime/bootstrap.js", "/my data/runtime/boot.js"}}}
			if got := p.cleaner(&bundle.Bundle{Dir: c.dir})(c.in); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestSameRun(t *testing.T) {
	base := func() *function.Function {
		return &function.Function{
			Slug: "fn", Entrypoint: "/fn/index.ts", Static: []string{"/fn/a"}, VerifyJWT: true,
			Env: map[string]string{"A": "1"}, EnvSource: map[string]string{"A": ".env"},
			Limits: function.Defaults(), Policy: function.PerWorker,
		}
	}
	for name, c := range map[string]struct {
		change func(*function.Function)
		same   bool
	}{
		"nothing":                   {func(*function.Function) {}, true},
		"who may call it":           {func(f *function.Function) { f.VerifyJWT = false }, true},
		"where a variable is from":  {func(f *function.Function) { f.EnvSource = nil }, true},
		"a variable":                {func(f *function.Function) { f.Env["A"] = "2" }, false},
		"one more variable":         {func(f *function.Function) { f.Env["B"] = "" }, false},
		"the entrypoint":            {func(f *function.Function) { f.Entrypoint = "/fn/main.ts" }, false},
		"the static files":          {func(f *function.Function) { f.Static = nil }, false},
		"a limit":                   {func(f *function.Function) { f.Limits.MemoryMB++ }, false},
		"the policy":                {func(f *function.Function) { f.Policy = function.OneShot }, false},
		"what resolves its imports": {func(f *function.Function) { f.Imports.DenoConfig = "/deno.json" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			other := base()
			c.change(other)
			if got := sameRun(base(), other); got != c.same {
				t.Errorf("same: %t", got)
			}
		})
	}
}
