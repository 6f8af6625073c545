package bundle

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
	"github.com/selvedge-dev/selvedge/internal/function"
)

func TestFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files   files
		message []string // contained
		detail  []string // contained
	}{
		"syntax error": {
			files{"functions/fn/index.ts": "const a = 1;\n\tconst b = ;\nDeno.serve(() => new Response());\n"},
			[]string{"Syntax error: ", "(functions/fn/index.ts:2:12)"},
			[]string{"     1 | const a = 1;", ">    2 | \tconst b = ;", "       | \t          ^", "     3 | Deno.serve"},
		},
		"syntax error in _shared": {
			files{"functions/fn/index.ts": `import "../_shared/x.ts";`, "functions/_shared/x.ts": "let x: = 1;"},
			[]string{"Syntax error: ", "(functions/_shared/x.ts:1:"}, []string{">    1 | let x: = 1;"},
		},
		"syntax error in JavaScript": {
			files{"functions/fn/index.js": "function {"},
			[]string{"Syntax error: ", "(functions/fn/index.js:1:10)"}, []string{">    1 | function {"},
		},
		"missing module": {
			files{"functions/fn/index.ts": "const a = 1;\nimport { x } from './missing.ts';\nconsole.log(x);\n"},
			[]string{"Module not found", "functions/fn/missing.ts", "(functions/fn/index.ts:2:19)"},
			[]string{">    2 | import { x } from './missing.ts';", "hint: "},
		},
		"missing extension": {
			files{"functions/fn/index.ts": "import { x } from './lib/x';\nDeno.serve(() => x);\n", "functions/fn/lib/y.ts": ""},
			[]string{"functions/fn/lib/x", "(functions/fn/index.ts:1:19)"}, []string{"hint: ", "extension"},
		},
		"missing package": {
			files{"functions/fn/index.ts": `import { x } from "npm:no-such-package@1"; Deno.serve(() => x);`},
			[]string{"no-such-package"}, nil,
		},
		"missing version": {
			files{"functions/fn/index.ts": `import { x } from "npm:plain-cjs@99"; Deno.serve(() => x);`},
			[]string{"plain-cjs@99"}, []string{"hint: check the package's name and version"},
		},
		"bare specifier": {
			files{"functions/fn/index.ts": `import { x } from "plain-cjs"; Deno.serve(() => x);`},
			[]string{`"plain-cjs" not a dependency`, "(functions/fn/index.ts:1:19)"}, []string{"hint: declare it in the function's deno.json"},
		},
		"bare specifier far down": {
			files{"functions/fn/index.ts": "type A = {\n  a: string;\n};\n\nconst s = 'ü';\n\timport * as x from 'nope';\nDeno.serve(() => x);\n"},
			[]string{`"nope" not a dependency`, "(functions/fn/index.ts:6:21)"}, []string{">    6 | \timport", "       | \t                   ^"},
		},
		"no such export": {
			files{"functions/fn/index.ts": "import { nothing } from './x.ts';\nDeno.serve(() => nothing);\n", "functions/fn/x.ts": "export const x = 1;"},
			[]string{"nothing", "(functions/fn/index.ts:1:"}, nil,
		},
		"malformed deno.json": {
			files{"functions/fn/index.ts": sayHello, "functions/fn/deno.json": `{ "imports": `},
			[]string{"deno.json"}, nil,
		},
		"malformed import map": {
			files{"functions/fn/index.ts": sayHello, "functions/fn/import_map.json": `{ "imports": `},
			[]string{"mport map"}, nil,
		},
		"no network": {
			files{"functions/fn/index.ts": `import { x } from "https://127.0.0.1:9/x.ts"; Deno.serve(() => x);`},
			[]string{"https://127.0.0.1:9/x.ts", "(functions/fn/index.ts:1:19)"}, []string{"hint: "},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t, "", greeter)
			p := newProject(t, c.files)
			b := newBuilder(t, isolated(t), environ("NPM_CONFIG_REGISTRY="+r.URL, "NO_PROXY=127.0.0.1"))
			f := p.function(t, "fn")
			be := bootError(t, b, f)
			if be.Slug != "fn" || be.Stage != "bundle" || strings.Contains(be.Message, "\n") {
				t.Errorf("%+v", be)
			}
			for _, part := range c.message {
				if !strings.Contains(be.Message, part) {
					t.Errorf("the message %q has no %q", be.Message, part)
				}
			}
			for _, part := range c.detail {
				if !strings.Contains(be.Detail, part) {
					t.Errorf("the detail has no %q:\n%s", part, be.Detail)
				}
			}
			for _, never := range []string{"Stack backtrace", "<unknown>", ".build-", b.opts.DataDir} {
				if strings.Contains(be.Message+be.Detail, never) {
					t.Errorf("%q is shown: %s\n%s", never, be.Message, be.Detail)
				}
			}
			if b.Unchanged(f) {
				t.Error("a fault is remembered as a bundle")
			}
			if left, _ := os.ReadDir(BundleDir(b.opts.DataDir)); len(left) > 0 {
				t.Errorf("%v is left", left)
			}
		})
	}
}

func TestFaultThenRepair(t *testing.T) {
	t.Parallel()
	p := newProject(t, files{"functions/fn/index.ts": "const = 1"})
	b := newBuilder(t)
	f := p.function(t, "fn")
	bootError(t, b, f)
	files{"functions/fn/index.ts": sayHello}.write(t, p.dir)
	build(t, b, f)
	files{"functions/fn/index.ts": "const = 2"}.write(t, p.dir)
	bootError(t, b, f)
	files{"functions/fn/index.ts": sayHello}.write(t, p.dir)
	if made := build(t, b, f); !made.Cached {
		t.Error("what it was before the fault is built again")
	}
}

func TestContextEndsABuild(t *testing.T) {
	t.Parallel()
	p := newProject(t, files{"functions/fn/index.ts": sayHello})
	b := newBuilder(t)
	f := p.function(t, "fn")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Build(ctx, f); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := b.Build(bounded(t, 5*time.Millisecond), f); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	eventually(t, "the bundler's end", func() bool { return len(denotest.Processes(t, b.opts.DataDir)) == 0 })
	build(t, b, f)
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestUnusableFolders(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewBuilder(Options{DataDir: filepath.Join(file, "data")}); err == nil || !strings.Contains(err.Error(), "--data-dir") {
		t.Errorf("%v", err)
	}

	p := newProject(t, files{"functions/fn/index.ts": sayHello})
	f := p.function(t, "fn")
	t.Run("bundles is no folder any more", func(t *testing.T) {
		t.Parallel()
		b := newBuilder(t)
		if err := os.Remove(BundleDir(b.opts.DataDir)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(BundleDir(b.opts.DataDir), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := b.Build(t.Context(), f)
		if err == nil || !strings.Contains(err.Error(), "--data-dir") || !strings.Contains(err.Error(), b.opts.DataDir) {
			t.Errorf("%v", err)
		}
	})
	t.Run("read-only", func(t *testing.T) {
		t.Parallel()
		if os.Geteuid() == 0 {
			t.Skip("root writes everywhere")
		}
		b := newBuilder(t)
		if err := os.Chmod(BundleDir(b.opts.DataDir), 0o555); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Chmod(BundleDir(b.opts.DataDir), 0o755) })
		_, err := b.Build(t.Context(), f)
		if err == nil || !strings.Contains(err.Error(), "--data-dir") {
			t.Errorf("%v", err)
		}
	})
	t.Run("no such binary", func(t *testing.T) {
		t.Parallel()
		b := newBuilder(t, func(o *Options) { o.Deno += "-not" })
		_, err := b.Build(t.Context(), f)
		var be *function.BootError
		if err == nil || errors.As(err, &be) || !strings.Contains(err.Error(), "selvedge doctor") {
			t.Errorf("%v", err)
		}
	})
	t.Run("entrypoint outside", func(t *testing.T) {
		t.Parallel()
		b := newBuilder(t)
		g := *f
		g.Entrypoint = file
		if _, err := b.Build(t.Context(), &g); err == nil || !strings.Contains(err.Error(), "outside") {
			t.Errorf("%v", err)
		}
	})
}
