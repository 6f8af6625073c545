package worker

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/function"
)

func TestBootErrors(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	for name, c := range map[string]struct {
		source  string
		boot    time.Duration
		stage   string
		message string   // contained
		detail  []string // contained
	}{
		"top level throws": {
			source: "const a = 1;\nfunction start() {\n  throw new RangeError(\"no luck\");\n}\nstart();\n",
			stage:  "load", message: "RangeError: no luck", detail: []string{"RangeError: no luck", "start", "MODULE:3:9", "MODULE:5:1"},
		},
		"top level rejects": {
			source: `await Promise.reject(new Error("no luck"));`,
			stage:  "load", message: "Error: no luck", detail: []string{"MODULE:1:22"},
		},
		"throws a string":      {source: `throw "no luck";`, stage: "load", message: "no luck", detail: []string{"no luck"}},
		"throws a multi-liner": {source: `throw new Error("no\nluck");`, stage: "load", message: "no", detail: []string{"luck"}},
		"throws with a cause": {
			source: `throw new Error("no luck", { cause: new Error("it rains") });`,
			stage:  "load", message: "no luck", detail: []string{"[cause]", "it rains"},
		},
		"throws what cannot be shown": {
			source: `throw new Proxy({}, { get() { throw 1; }, getPrototypeOf() { throw 1; } });`,
			stage:  "load", message: "an error that cannot be shown",
		},
		"throws after Deno.serve": {
			source: `Deno.serve(() => new Response()); throw new Error("too late");`,
			stage:  "load", message: "Error: too late", detail: []string{"MODULE:1:41"},
		},
		"syntax error":   {source: "const a = 1;\nconst b = ;\n", stage: "load", message: "SyntaxError", detail: []string{"MODULE:2:11"}},
		"missing module": {source: `import "./nothing.js";`, stage: "load", message: "Module not found", detail: []string{"nothing.js"}},
		"no export":      {source: `import { nothing } from "node:path";`, stage: "load", message: "nothing"},
		"Deno.serve without a handler": {
			source: `Deno.serve({ port: 1 });`, stage: "load", message: "Deno.serve needs a handler function", detail: []string{"MODULE:1:6"},
		},
		"never serves": {
			source: `export const a = 1;`, boot: 300 * time.Millisecond,
			stage: "serve", message: "did not begin to serve within 300ms",
		},
		"loops": {source: `for (;;);`, boot: 300 * time.Millisecond, stage: "serve", message: "did not begin to serve within 300ms"},
		"never settles": {
			source: `await new Promise(() => {});`, boot: 300 * time.Millisecond, stage: "serve", message: "did not begin to serve",
		},
		"exits":             {source: `console.log("bye"); Deno.exit(3);`, stage: "load", message: "ended with code 3 while the function was loading"},
		"exits with 0":      {source: `Deno.exit(0);`, stage: "load", message: "ended with code 0 while the function was loading"},
		"process.exit":      {source: `import process from "node:process"; process.exit(4);`, stage: "load", message: "ended with code 4"},
		"unhandled":         {source: `Promise.reject(new Error("no luck")); await new Promise((r) => setTimeout(r, 60000));`, stage: "load", message: "ended with code 1", detail: []string{"no luck", "MODULE:1:16"}},
		"throws in a timer": {source: `setTimeout(() => { throw new Error("no luck"); });`, stage: "load", message: "ended with code 1", detail: []string{"no luck"}},
		"runs out of memory": {
			source: `const all = []; for (;;) all.push(new Array(1000).fill(all.length));`, boot: 30 * time.Second,
			stage: "load", message: "ran out of memory while it was loading", detail: []string{"out of memory"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sub, err := s.tryLoad(t, c.source, func(a *Assignment) {
				if c.boot != 0 {
					a.Boot = c.boot
				}
			})
			var be *function.BootError
			if !errors.As(err, &be) {
				t.Fatalf("error %v", err)
			}
			if be.Slug != "fn" || be.Stage != c.stage || !strings.Contains(be.Message, c.message) {
				t.Errorf("%v", be)
			}
			if strings.Contains(be.Message, "\n") {
				t.Errorf("the message %q has several lines", be.Message)
			}
			for _, part := range c.detail {
				part = strings.ReplaceAll(part, "MODULE", filepath.ToSlash(filepath.Join(s.Runtime.BundleDir, "m")))
				if i := strings.Index(part, "/m:"); i >= 0 {
					part = part[i+2:] // the module's number differs
				}
				if !strings.Contains(be.Detail, part) {
					t.Errorf("the detail has no %q:\n%s", part, be.Detail)
				}
			}
			sub.Stop()
			if sub.State() != Exited {
				t.Errorf("state %s", sub.State())
			}
			if sub.Upstream() != nil {
				t.Error("a function that does not serve has a client")
			}
		})
	}
}

func TestLoadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	for name, makeContext := range map[string]func() (context.Context, context.CancelFunc){
		"deadline": func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), 200*time.Millisecond)
		},
		"cancel": func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(200*time.Millisecond, cancel)
			return ctx, cancel
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := s.start(t)
			ctx, cancel := makeContext()
			defer cancel()
			_, err := w.Load(ctx, Assignment{Slug: "fn", Module: s.module(t, `await new Promise(() => {});`), Boot: boot})
			var be *function.BootError
			if errors.As(err, &be) || !errors.Is(err, ctx.Err()) {
				t.Errorf("error %v, want that of the context", err)
			}
		})
	}
}

func TestFailureAfterServingIsLogged(t *testing.T) {
	t.Parallel()
	sub := loaded(t, `
		Deno.serve(() => new Response("ok"));
		await new Promise((r) => setTimeout(r, 50));
		throw new Error("late");`)
	if r := sub.logs.find(t, "Error: late"); r.Level != deno.LevelError || !strings.Contains(r.Text, "failed after it began to serve") {
		t.Errorf("%+v", r)
	}
	if got := sub.get(t, "/fn", ""); got != "ok" {
		t.Errorf("%q", got)
	}
}

func TestStartFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(t *testing.T, h *Host)
		ctx    func(t *testing.T) context.Context
		want   string
	}{
		"no binary":     {change: func(_ *testing.T, h *Host) { h.Runtime.Binary += "-not" }, want: "no such file"},
		"no bootstrap":  {change: func(_ *testing.T, h *Host) { h.Runtime.Bootstrap += "-not" }, want: "Module not found"},
		"no run folder": {change: func(_ *testing.T, h *Host) { h.RunDir += "-not" }, want: "no such file"},
		"too little":    {change: nil, want: "ended while starting"},
		"long run path": {change: func(t *testing.T, h *Host) {
			h.RunDir = filepath.Join(t.TempDir(), strings.Repeat("x", 100))
			os.Mkdir(h.RunDir, 0o700)
		}, want: "invalid argument"},
		"context at end": {ctx: func(t *testing.T) context.Context {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return ctx
		}, want: "context canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStand(t)
			ctx, p := t.Context(), deno.Profile{MemoryMB: 256}
			if c.change != nil {
				c.change(t, s.Host)
			}
			if c.ctx != nil {
				ctx = c.ctx(t)
			}
			if name == "too little" {
				p.MemoryMB = 0
				s.Runtime.Bootstrap = s.module(t, `throw new Error("ended while starting");`)
			}
			w, err := s.Start(ctx, p)
			if err == nil {
				w.Stop()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), "start worker: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
			if left, _ := os.ReadDir(s.RunDir); len(left) > 0 {
				t.Errorf("%v is left", left)
			}
		})
	}
}

func TestMovesOfState(t *testing.T) {
	t.Parallel()
	for from := Starting; from <= Exited; from++ {
		for to := Starting; to <= Exited; to++ {
			want := to == from+1 || (to == Stopping && from < Stopping) || (to == Exited && from < Exited)
			if got := from.legal(to); got != want {
				t.Errorf("%s to %s: %t", from, to, got)
			}
		}
	}
	if State(9).String() != "State(9)" || Retiring.String() != "retiring" {
		t.Error("names of states")
	}
}

func TestIllegalMoves(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	sub := s.load(t, `Deno.serve(() => new Response("ok"));`)
	var te *TransitionError
	if _, err := sub.Load(t.Context(), Assignment{Slug: "other"}); !errors.As(err, &te) || te.From != Ready || te.To != Loading {
		t.Errorf("a second load: %v", err)
	}
	if got := sub.get(t, "/fn", ""); got != "ok" {
		t.Errorf("%q", got)
	}
	sub.Stop()
	if _, err := sub.Load(t.Context(), Assignment{Slug: "other"}); !errors.As(err, &te) || te.From != Exited {
		t.Errorf("load after the end: %v", err)
	}
	sub.Retire(t.Context(), "early_drop")
	sub.Stop()
}
