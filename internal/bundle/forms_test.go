package bundle

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
	"github.com/selvedge-dev/selvedge/internal/function"
)

// wasm exports add(i32, i32) and was written by hand.
const wasm = "\x00asm\x01\x00\x00\x00\x01\x07\x01\x60\x02\x7f\x7f\x01\x7f\x03\x02\x01\x00\x07\x07\x01\x03add\x00\x00\x0a\x09\x01\x07\x00\x20\x00\x20\x01\x6a\x0b"

const sayHello = `Deno.serve(() => new Response("hello"));`

func TestForms(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files  files
		want   string
		inputs []string // beside functions/fn/index.ts
	}{
		"hello":      {files: files{"functions/fn/index.ts": "const name: string = 'hello';\nDeno.serve(() => new Response(name));"}, want: "hello"},
		"javascript": {files: files{"functions/fn/index.js": sayHello}, want: "hello"},
		"mjs":        {files: files{"functions/fn/index.mjs": `export default { fetch: () => new Response("hello") };`}, want: "hello"},
		"tsx": {
			files: files{"functions/fn/index.tsx": `/** @jsx h */
				const h = (tag: string, props: unknown, ...kids: string[]) => "<" + tag + ">" + kids.join("") + "</" + tag + ">";
				Deno.serve(() => new Response(<b>{"hello"}</b> as unknown as string));`},
			want: "<b>hello</b>",
		},
		"jsx by deno.json": {
			files: files{
				"functions/fn/deno.json": `{ "compilerOptions": { "jsx": "react", "jsxFactory": "h" } }`,
				"functions/fn/index.tsx": `const h = (tag: string, p: unknown, ...kids: string[]) => tag + kids.join(""); Deno.serve(() => new Response(<i>x</i> as unknown as string));`},
			want: "ix", inputs: []string{"functions/fn/deno.json"},
		},
		"json": {
			files: files{
				"functions/fn/index.ts":  `import data from "./data.json" with { type: "json" }; Deno.serve(() => new Response(data.text));`,
				"functions/fn/data.json": `{"text":"from json"}`},
			want: "from json", inputs: []string{"functions/fn/data.json"},
		},
		"wasm": {
			files: files{
				"functions/fn/index.ts": `import { add } from "./add.wasm"; Deno.serve(() => new Response(String(add(40, 2))));`,
				"functions/fn/add.wasm": wasm},
			want: "42", inputs: []string{"functions/fn/add.wasm"},
		},
		"text": {
			files: files{
				"functions/fn/index.ts": `import text from "./t.txt" with { type: "text" }; Deno.serve(() => new Response(text));`,
				"functions/fn/t.txt":    "some text"},
			want: "some text", inputs: []string{"functions/fn/t.txt"},
		},
		"node built-ins": {
			files: files{"functions/fn/index.ts": `
				import { createHash } from "node:crypto"; import path from "node:path"; import { Buffer } from "node:buffer";
				Deno.serve(() => new Response(path.basename("/a/b") + createHash("sha256").update(Buffer.from("x")).digest("hex").slice(0, 4)));`},
			want: "b2d71",
		},
		"shared": {
			files: files{
				"functions/fn/index.ts":        `import { hi } from "../_shared/deep/hi.ts"; Deno.serve(() => new Response(hi()));`,
				"functions/_shared/deep/hi.ts": `import { name } from "../name.ts"; export const hi = () => "hi " + name;`,
				"functions/_shared/name.ts":    `export const name = "you";`,
				"functions/_shared/unused.ts":  `export const x = 1;`,
				"functions/other/index.ts":     sayHello,
			},
			want: "hi you", inputs: []string{"functions/_shared/deep/hi.ts", "functions/_shared/name.ts"},
		},
		"deno.json imports": {
			files: files{
				"functions/fn/index.ts":  `import { x } from "lib/x.ts"; import { y } from "why"; Deno.serve(() => new Response(x + y));`,
				"functions/fn/deno.json": `{ "imports": { "lib/": "./lib/", "why": "../_shared/y.ts" } }`,
				"functions/fn/lib/x.ts":  `export const x = "x";`,
				"functions/_shared/y.ts": `export const y = "y";`},
			want: "xy", inputs: []string{"functions/_shared/y.ts", "functions/fn/deno.json", "functions/fn/lib/x.ts"},
		},
		"deno.jsonc": {
			files: files{
				"functions/fn/index.ts":   `import { x } from "x"; Deno.serve(() => new Response(x));`,
				"functions/fn/deno.jsonc": "{ // a comment\n \"imports\": { \"x\": \"./x.ts\" } }",
				"functions/fn/x.ts":       `export const x = "x";`},
			want: "x", inputs: []string{"functions/fn/deno.jsonc", "functions/fn/x.ts"},
		},
		"import_map.json": {
			files: files{
				"functions/fn/index.ts":        `import { x } from "x"; Deno.serve(() => new Response(x));`,
				"functions/fn/import_map.json": `{ "imports": { "x": "../_shared/x.ts" } }`,
				"functions/_shared/x.ts":       `export const x = "mapped";`},
			want: "mapped", inputs: []string{"functions/_shared/x.ts", "functions/fn/import_map.json"},
		},
		"functions/import_map.json": {
			files: files{
				"functions/fn/index.ts":     `import { x } from "x"; Deno.serve(() => new Response(x));`,
				"functions/import_map.json": `{ "imports": { "x": "./_shared/x.ts" } }`,
				"functions/_shared/x.ts":    `export const x = "mapped";`},
			want: "mapped", inputs: []string{"functions/_shared/x.ts", "functions/import_map.json"},
		},
		"a deno.json above is not in force": {
			files: files{
				"deno.json":             `{ "imports": { "./x.ts": "./wrong.ts" }, "compilerOptions": { "jsx": "nonsense" } }`,
				"wrong.ts":              `export const x = "wrong";`,
				"functions/fn/index.ts": `import { x } from "./x.ts"; Deno.serve(() => new Response(x));`,
				"functions/fn/x.ts":     `export const x = "right";`},
			want: "right", inputs: []string{"functions/fn/x.ts"},
		},
		"workspace member": {
			files: files{
				"deno.json":              `{ "workspace": ["./functions/fn", "./packages/lib"], "imports": { "root": "./packages/lib/root.ts" } }`,
				"functions/fn/deno.json": `{ "imports": { "own": "./own.ts" } }`,
				"functions/fn/index.ts":  `import { o } from "own"; import { r } from "root"; import { l } from "@scope/lib"; Deno.serve(() => new Response(o + r + l));`,
				"functions/fn/own.ts":    `export const o = "own ";`,
				"packages/lib/root.ts":   `export const r = "root ";`,
				"packages/lib/deno.json": `{ "name": "@scope/lib", "version": "1.0.0", "exports": "./mod.ts" }`,
				"packages/lib/mod.ts":    `export const l = "lib";`},
			want: "own root lib", inputs: []string{"functions/fn/deno.json", "functions/fn/own.ts", "packages/lib/mod.ts", "packages/lib/root.ts"},
		},
		"dynamic import": {
			files: files{
				"functions/fn/index.ts": `Deno.serve(async () => new Response((await import("./later.ts")).x));`,
				"functions/fn/later.ts": `export const x = "later";`},
			want: "later", inputs: []string{"functions/fn/later.ts"},
		},
		"import.meta.main": {
			files: files{
				"functions/fn/index.ts": `if (import.meta.main) Deno.serve(() => new Response("main " + import.meta.main));`},
			want: "main true",
		},
		"names are kept": {
			files: files{"functions/fn/index.ts": `
				class CustomError extends Error { constructor() { super("x"); this.name = new.target.name; } }
				function aFunction() {}
				const arrow = () => {};
				Deno.serve(() => new Response([new CustomError().name, CustomError.name, aFunction.name, arrow.name].join(" ")));`},
			want: "CustomError CustomError aFunction arrow",
		},
		"types that do not check": {
			files: files{"functions/fn/index.ts": `const n: number = "hello" as any; const s: string = n; Deno.serve(() => new Response(s)); declare const undeclared: string;`},
			want:  "hello",
		},
		"top-level await": {
			files: files{
				"functions/fn/index.ts": `import { x } from "./x.ts"; await 0; Deno.serve(() => new Response(x));`,
				"functions/fn/x.ts":     `export const x = await Promise.resolve("awaited");`},
			want: "awaited", inputs: []string{"functions/fn/x.ts"},
		},
		"circular imports": {
			files: files{
				"functions/fn/index.ts": `import { a } from "./a.ts"; Deno.serve(() => new Response(a()));`,
				"functions/fn/a.ts":     `import { b } from "./b.ts"; export const a = () => b(); export const name = "round";`,
				"functions/fn/b.ts":     `import { name } from "./a.ts"; export const b = () => name;`},
			want: "round", inputs: []string{"functions/fn/a.ts", "functions/fn/b.ts"},
		},
		"own require": {
			files: files{"functions/fn/index.ts": `
				import { createRequire } from "node:module"; const require = createRequire(import.meta.url);
				Deno.serve(() => new Response(require("node:path").basename("/a/required")));`},
			want: "required",
		},
		"enum, decorators and namespaces": {
			files: files{"functions/fn/index.ts": `
				enum Color { Red = "red" } namespace N { export const n = "n"; }
				class A { constructor(private readonly x: string) {} get() { return this.x; } }
				Deno.serve(() => new Response(Color.Red + N.n + new A("a").get()));`},
			want: "redna",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProject(t, c.files)
			f := p.function(t, "fn")
			b := newBuilder(t)
			made := build(t, b, f)
			if got := serve(t, b, made).get(t); got != c.want {
				t.Errorf("%q", got)
			}
			var inputs []string
			for _, in := range made.Inputs {
				rel, _ := filepath.Rel(p.dir, in)
				if in != f.Entrypoint {
					inputs = append(inputs, filepath.ToSlash(rel))
				}
			}
			if !slices.Equal(inputs, c.inputs) {
				t.Errorf("inputs %q, want %q", inputs, c.inputs)
			}
			if made.Cached || made.Took <= 0 || made.Size <= 0 || len(made.Version()) != 12 || made.Packages {
				t.Errorf("%+v", made)
			}
		})
	}
}

func TestStaticFiles(t *testing.T) {
	t.Parallel()
	p := newProject(t, files{
		"functions/fn/index.ts": `
			const read = (name) => Deno.readTextFileSync(new URL(name, import.meta.url));
			Deno.serve(() => new Response(read("./static/a.txt") + read("../_shared/b.txt") + import.meta.dirname.split("/").at(-1)));`,
		"functions/fn/static/a.txt": "a", "functions/_shared/b.txt": "b", "functions/fn/static/not.md": "c",
	})
	f := p.function(t, "fn", func(o *function.Options) {
		o.Overrides = map[string]function.Override{"fn": {StaticFiles: []string{"functions/fn/static/*.txt", "functions/_shared/b.txt"}}}
	})
	b := newBuilder(t)
	made := build(t, b, f)
	if got := serve(t, b, made).get(t); got != "abfn" {
		t.Errorf("%q", got)
	}
	if !slices.Contains(made.Inputs, p.path("functions/fn/static/a.txt")) || slices.Contains(made.Inputs, p.path("functions/fn/static/not.md")) {
		t.Errorf("inputs %q", made.Inputs)
	}
	// A static file is part of the content.
	files{"functions/fn/static/a.txt": "A"}.write(t, p.dir)
	again := build(t, b, f)
	if again.Cached || again.Digest == made.Digest {
		t.Errorf("%+v", again)
	}
	if got := serve(t, b, again).get(t); got != "Abfn" {
		t.Errorf("%q", got)
	}
}

func TestOddPaths(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(denotest.TempDir(t), "a folder, 100% ünïcode #1 ☃")
	files{
		"functions/fn/main file.ts": `import { x } from "../_shared/ä b.ts"; import d from "./d%2520.json" with { type: "json" };
			Deno.serve(() => { console.log(new Error("traced").stack); return new Response(x + d.d + Deno.readTextFileSync(new URL("./s t.txt", import.meta.url))); });`,
		"functions/_shared/ä b.ts": `export const x = "x";`, "functions/fn/d%20.json": `{"d":"d"}`, "functions/fn/s t.txt": "s",
	}.write(t, dir)
	p := &project{dir: dir}
	f := p.function(t, "fn", func(o *function.Options) {
		o.Overrides = map[string]function.Override{"fn": {Entrypoint: "functions/fn/main file.ts", StaticFiles: []string{"functions/fn/*.txt"}}}
	})
	b := newBuilder(t, func(o *Options) {
		o.DataDir = filepath.Join(dir, "data, ü")
		if err := os.MkdirAll(o.DataDir, 0o755); err != nil {
			t.Fatal(err)
		}
	})
	made := build(t, b, f)
	s := serve(t, b, made)
	if got := s.get(t); got != "xds" {
		t.Errorf("%q", got)
	}
	for _, in := range []string{"functions/fn/main file.ts", "functions/_shared/ä b.ts", "functions/fn/d%20.json", "functions/fn/s t.txt"} {
		if !slices.Contains(made.Inputs, p.path(in)) {
			t.Errorf("%s is not in %q", in, made.Inputs)
		}
	}
	eventually(t, "a trace that names the file", func() bool {
		log := s.log()
		return strings.Contains(log, "main%20file.ts:2:") || strings.Contains(log, "main file.ts:2:")
	})
	files{"functions/fn/main file.ts": "const x = ;\n"}.write(t, dir)
	if be := bootError(t, b, f); !strings.Contains(be.Message, "functions/fn/main file.ts:1:11") || !strings.Contains(be.Detail, "const x = ;") {
		t.Errorf("%v\n%s", be, be.Detail)
	}
}

func TestStackTraces(t *testing.T) {
	t.Parallel()
	p := newProject(t, files{
		"functions/fn/index.ts": `import "jsr:@supabase/functions-js@2.4.1/edge-runtime.d.ts";
import type { Unused } from "https://esm.sh/unused@1";
import { type AlsoUnused, boom } from "../_shared/boom.ts";

interface Filler { a: string; b: Unused; c: AlsoUnused }

Deno.serve(() => {
  try { boom(); } catch (e) { return new Response((e as Error).stack); }
  return new Response("no error");
});
`,
		"functions/_shared/boom.ts": `import "jsr:@supabase/functions-js/edge-runtime.d.ts"; export type AlsoUnused = string;
export class Bomb {
  explode(): never {
    throw new TypeError("boom");
  }
}
export function boom(): never { new Bomb().explode(); }
`})
	b := newBuilder(t, isolated(t))
	made := build(t, b, p.function(t, "fn"))
	got := serve(t, b, made).get(t)
	prefix := "file://" + made.Dir + "/"
	for i, want := range []string{
		"TypeError: boom",
		"Bomb.explode (" + prefix + "functions/_shared/boom.ts:4:11)",
		"boom (" + prefix + "functions/_shared/boom.ts:7:44)",
		prefix + "functions/fn/index.ts:8:9",
	} {
		lines := strings.Split(got, "\n")
		if i >= len(lines) || !strings.Contains(lines[i], want) {
			t.Errorf("line %d has no %q:\n%s", i, want, got)
		}
	}
}

func TestTopLevelThrowNamesTheSource(t *testing.T) {
	t.Parallel()
	p := newProject(t, files{"functions/fn/index.ts": "type A = string;\n\nconst missing: A | undefined = Deno.env.get('NOT_SET');\nif (!missing) throw new Error(`NOT_SET is ${missing}`);\n"})
	b := newBuilder(t)
	_, err := tryServe(t, b, build(t, b, p.function(t, "fn")))
	be, ok := err.(*function.BootError)
	if !ok || be.Message != "Error: NOT_SET is undefined" || !strings.Contains(be.Detail, "functions/fn/index.ts:4:21") {
		t.Errorf("%v %+v", err, be)
	}
}

func TestTypeOnlyImportsNeedNoNetwork(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]string{
		"bare jsr":       `import "jsr:@supabase/functions-js/edge-runtime.d.ts";`,
		"jsr version":    `import "jsr:@supabase/functions-js@2.4.1/edge-runtime.d.ts";`,
		"jsr caret":      `import "jsr:@supabase/functions-js@^2/edge-runtime.d.ts"`,
		"jsr src":        `import 'jsr:@supabase/functions-js/src/edge-runtime.d.ts';`,
		"jsr star":       `import "jsr:@supabase/functions-js@*/edge-runtime.d.ts";`,
		"jsr slash":      `import "jsr:/@supabase/functions-js@2/edge-runtime.d.ts";`,
		"npm":            `import "npm:@supabase/functions-js@2.4.1/src/edge-runtime.d.ts";`,
		"esm.sh":         `import "https://esm.sh/@supabase/functions-js/src/edge-runtime.d.ts";`,
		"esm.sh version": `import "https://esm.sh/v135/@supabase/functions-js@2.3.1/src/edge-runtime.d.ts";`,
		"esm.sh @":       `import "https://esm.sh/@supabase/functions-js@2.4.3/src/edge-runtime.d.ts";`,
		"import type":    `import type { A } from "jsr:@supabase/nothing@1";`,
		"inline type":    `import { type A, type B } from "npm:@nothing/nothing";`,
		"only as type":   `import { A } from "https://esm.sh/@nothing/nothing@1"; const a: A | undefined = undefined; void a;`,
		"export type":    `export type { A } from "jsr:@nothing/nothing";`,
		"reference":      `/// <reference types="https://esm.sh/@supabase/functions-js/src/edge-runtime.d.ts" />`,
		"type import()":  `let a: import("jsr:@nothing/nothing@1").A | undefined; void a;`,
		"several lines":  "import\n  'jsr:@supabase/functions-js/edge-runtime.d.ts'\n;",
	} {
		for where, content := range map[string]files{
			"in the entry": {"functions/fn/index.ts": line + "\nDeno.serve(() => new Response(new Error('x').stack!.split('\\n')[1]));"},
			"shared":       {"functions/fn/index.ts": `import "../_shared/s.ts";`, "functions/_shared/s.ts": line + "\nDeno.serve(() => new Response(new Error('x').stack!.split('\\n')[1]));"},
		} {
			t.Run(name+" "+where, func(t *testing.T) {
				t.Parallel()
				p := newProject(t, content)
				b := newBuilder(t, isolated(t))
				got := answer(t, b, p.function(t, "fn"))
				at := map[bool]string{true: "functions/fn/index.ts", false: "functions/_shared/s.ts"}[where == "in the entry"]
				want := at + ":2:31"
				if strings.Contains(line, "\n") {
					want = at + ":4:31"
				}
				if !strings.Contains(got, want) {
					t.Errorf("%q, want %s", got, want)
				}
			})
		}
	}
}

func TestRemoteModules(t *testing.T) {
	t.Parallel()
	content := files{"lib/mod.ts": `import { b } from "./b.ts"; export const a: string = "remote " + b;`, "lib/b.ts": `export const b: string = "module";`, "js.js": `export const c = " js";`}
	plain := httptest.NewServer(modules(content))
	t.Cleanup(plain.Close)
	secure, ca := denotest.TLSServer(t, modules(content))
	for name, base := range map[string]string{"http": plain.URL, "https": secure} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProject(t, files{
				"functions/fn/index.ts": `import { a } from "` + base + `/lib/mod.ts"; import { c } from "` + base + `/js.js"; Deno.serve(() => new Response(a + c));`})
			b := newBuilder(t, isolated(t), environ("DENO_CERT="+ca, "NO_PROXY=localhost,127.0.0.1"))
			made := build(t, b, p.function(t, "fn"))
			if got := serve(t, b, made).get(t); got != "remote module js" {
				t.Errorf("%q", got)
			}
			if want := []string{p.path("functions/fn/index.ts")}; !slices.Equal(made.Inputs, want) {
				t.Errorf("inputs %q", made.Inputs)
			}
			files{"functions/fn/index.ts": `import { a } from "` + base + `/missing.ts"; Deno.serve(() => new Response(a));`}.write(t, p.dir)
			be := bootError(t, b, p.function(t, "fn"))
			if !strings.Contains(be.Message+be.Detail, "missing.ts") || !strings.Contains(be.Message, "functions/fn/index.ts:1:") {
				t.Errorf("%v\n%s", be, be.Detail)
			}
		})
	}
}

func TestJSR(t *testing.T) {
	t.Parallel()
	jsr := newJSR(t, map[string]files{
		"std/thing@1.2.3": {"mod.ts": `import { low } from "./low.ts"; export const thing: string = "thing " + low;`, "low.ts": `export const low = "low";`},
	})
	p := newProject(t, files{
		"functions/fn/index.ts":  `import { thing } from "jsr:@std/thing@^1"; import * as again from "@std/thing"; Deno.serve(() => new Response(thing + again.thing.length));`,
		"functions/fn/deno.json": `{ "imports": { "@std/thing": "jsr:@std/thing@1" } }`,
	})
	b := newBuilder(t, isolated(t), environ("JSR_URL="+jsr, "NO_PROXY=127.0.0.1"))
	if got := answer(t, b, p.function(t, "fn")); got != "thing low9" {
		t.Errorf("%q", got)
	}
}
