package bundle

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/confine"
	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
	"github.com/selvedge-dev/selvedge/internal/function"
)

// secret is what no build may let out.
const secret = "TOP-SECRET-CONTENT"

// walledProject has a secret in every form, outside of functions/fn.
func walledProject(t *testing.T, fs files) *project {
	p := newProject(t, files{
		"secret.txt": secret, "secret": secret, "secret.json": `{"s":"` + secret + `"}`, "secret.ts": `export const s: string = "` + secret + `";`,
		"secret.cjs": `module.exports = "` + secret + `";`, "secret.css": `.x { content: "` + secret + `" }`, "secret.wasm": wasm + secret,
		"types.ts":                 `export type A = string;`,
		"secrets/deep/one.json":    `{"s":"` + secret + `"}`,
		"secrets/deep/one.txt":     secret,
		"functions/.env":           "KEY=" + secret,
		"functions/other/index.ts": `export const s = "` + secret + `";`,
		"functions/other/.env":     "KEY=" + secret,
		"functions/loose.ts":       `export const s = "` + secret + `";`,
		"functions/_shared/ok.ts":  `export const ok = "ok";`,
	})
	fs.write(t, p.dir)
	return p
}

func TestImportsThatLeaveTheFunction(t *testing.T) {
	t.Parallel()
	serve := "\nDeno.serve(() => new Response());"
	for name, c := range map[string]struct {
		source string // of functions/fn/index.ts
		files  files
		links  map[string]string
		at     string // file:line:column, "" where none can be told
		blind  bool   // the bundler passes over what it is not let read
		says   string
	}{
		"text":              {source: `import s from "../../secret.txt" with { type: "text" }; console.log(s);`, at: "functions/fn/index.ts:1:15"},
		"text, no name":     {source: `import s from "../../secret" with { type: "text" }; console.log(s);`, at: "functions/fn/index.ts:1:15"},
		"json":              {source: "\n\timport s from '../../secret.json' with { type: 'json' }; console.log(s);", at: "functions/fn/index.ts:2:16"},
		"TypeScript":        {source: `import { s } from "../../secret.ts"; console.log(s);`, at: "functions/fn/index.ts:1:19"},
		"CommonJS":          {source: `import s from "../../secret.cjs"; console.log(s);`, at: "functions/fn/index.ts:1:15"},
		"wasm":              {source: `import { add } from "../../secret.wasm"; console.log(add);`, at: "functions/fn/index.ts:1:21"},
		"style sheet":       {source: `import "../../secret.css";`, at: "functions/fn/index.ts:1:8"},
		"for its effect":    {source: `import "../../secret.ts";`, at: "functions/fn/index.ts:1:8"},
		"export from":       {source: `export * from "../../secret.ts";`, at: "functions/fn/index.ts:1:15"},
		"dynamic":           {source: `const s = await import("../../secret.json", { with: { type: "json" } }); console.log(s);`, at: "functions/fn/index.ts:1:24"},
		"dynamic template":  {source: "const s = await import(`../../secret.ts`); console.log(s);", at: "functions/fn/index.ts:1:24"},
		"dynamic, unused":   {source: `if (false) import("../../secret.ts");`, at: "functions/fn/index.ts:1:19"},
		"file URL":          {source: `import s from "file:///etc/hostname" with { type: "text" }; console.log(s);`, at: "functions/fn/index.ts:1:15", says: "/etc/hostname"},
		"absolute path":     {source: `import s from "/etc/hostname" with { type: "text" }; console.log(s);`, at: "functions/fn/index.ts:1:15", says: "/etc/hostname"},
		"escaped path":      {source: `import s from "./%2e%2e/../secret.txt" with { type: "text" }; console.log(s);`, at: "functions/fn/index.ts:1:", says: "secret.txt"},
		"not JavaScript":    {source: `import "../../secret.txt";`, at: "functions/fn/index.ts:1:8"},
		"a syntax error":    {source: `import "../../secrets/deep/one.txt";`, at: "functions/fn/index.ts:1:8"},
		"missing":           {source: `import "../../nothing.ts";`, at: "functions/fn/index.ts:1:8", says: "nothing.ts"},
		"/proc":             {source: `import s from "/proc/self/environ" with { type: "text" }; console.log(s);`, at: "functions/fn/index.ts:1:15", says: "/proc/self/environ"},
		"another function":  {source: `import { s } from "../other/index.ts"; console.log(s);`, at: "functions/fn/index.ts:1:19", says: "functions/other/index.ts"},
		"variables":         {source: `import s from "../.env" with { type: "text" }; console.log(s);`, at: "functions/fn/index.ts:1:15", says: "functions/.env"},
		"functions folder":  {source: `import { s } from "../loose.ts"; console.log(s);`, at: "functions/fn/index.ts:1:19", says: "functions/loose.ts"},
		"from _shared":      {source: `import "../_shared/x.ts";`, files: files{"functions/_shared/x.ts": "\nimport s from '../../secret.txt' with { type: 'text' }; console.log(s);"}, at: "functions/_shared/x.ts:2:15"},
		"through a member":  {source: `import "../../secret.ts";`, files: files{"secret.ts": `import s from "./secret.txt" with { type: "text" }; console.log(s);`}, at: "functions/fn/index.ts:1:8"},
		"import map":        {source: `import s from "s" with { type: "text" }; console.log(s);`, files: files{"functions/fn/deno.json": `{ "imports": { "s": "../../secret.txt" } }`}, at: "functions/fn/index.ts:1:15", says: "functions/fn/deno.json has it mean secret.txt"},
		"import map prefix": {source: `import s from "s/secret.txt" with { type: "text" }; console.log(s);`, files: files{"functions/fn/import_map.json": `{ "imports": { "s/": "../../" } }`}, at: "functions/fn/index.ts:1:15", says: "functions/fn/import_map.json has it mean secret.txt"},
		"map of a path":     {source: `import s from "./s.txt" with { type: "text" }; console.log(s);`, files: files{"functions/fn/import_map.json": `{ "imports": { "./s.txt": "/etc/hostname" } }`, "functions/fn/s.txt": ""}, at: "functions/fn/index.ts:1:15", says: "/etc/hostname"},
		"jsx runtime":       {source: "/** @jsxImportSource file:///etc */\nexport const a = <a></a>;", files: files{"functions/fn/index.ts": "", "functions/fn/index.tsx": ""}, at: "functions/fn/index.tsx:1:", says: "/etc/jsx-runtime"},
		"link to a file":    {source: `import s from "./s.txt" with { type: "text" }; console.log(s);`, links: map[string]string{"functions/fn/s.txt": "secret.txt"}, at: "functions/fn/index.ts:1:15", says: "functions/fn/s.txt, a link to secret.txt"},
		"link to a folder":  {source: `import s from "./d/deep/one.txt" with { type: "text" }; console.log(s);`, links: map[string]string{"functions/fn/d": "secrets"}, at: "functions/fn/index.ts:1:15", says: "functions/fn/d/deep/one.txt, a link to secrets/deep/one.txt"},
		"link in _shared":   {source: `import { s } from "../_shared/s.ts"; console.log(s);`, links: map[string]string{"functions/_shared/s.ts": "secret.ts"}, at: "functions/fn/index.ts:1:19", says: "a link to secret.ts"},
		"link upwards":      {source: `import { s } from "./up/other/index.ts"; console.log(s);`, links: map[string]string{"functions/fn/up": "functions"}, at: "functions/fn/index.ts:1:19", says: "a link to functions/other/index.ts"},

		// What only the bundler follows.
		"require":            {source: `const s = require("../../secret.json"); console.log(s);`, at: "functions/fn/index.ts:1:19", says: "secret.json"},
		"require of text":    {source: `const s = require("../../secret.txt"); console.log(s);`, at: "functions/fn/index.ts:1:19", says: "secret.txt"},
		"require in cjs":     {source: `import "./c.cjs";`, files: files{"functions/fn/c.cjs": `module.exports = require("../../secret.json");`}, at: "functions/fn/c.cjs:1:26"},
		"require, computed":  {source: `const n = Deno.args[0]; console.log(require("../../secrets/" + n + ".json"));`, says: "secrets/deep/one.json", at: "functions/fn/index.ts:1:45", blind: true},
		"require, pattern":   {source: "const n = Deno.args[0]; console.log(require(`../../secrets/${n}.txt`));", says: "secrets/deep/one.txt", at: "functions/fn/index.ts:1:45", blind: true},
		"import, pattern":    {source: "const n = Deno.args[0]; console.log(await import(`../../secrets/deep/${n}.json`));", says: "secrets/deep/one.json", at: "functions/fn/index.ts:1:", blind: true},
		"require.resolve":    {source: `console.log(require("./c.cjs"));`, files: files{"functions/fn/c.cjs": `module.exports = require(require.resolve("../../secret.cjs"));`}},
		"package.json alias": {source: `const s = require("./p"); console.log(s);`, files: files{"functions/fn/p/package.json": `{ "main": "../../../secret.json" }`}, at: ""},
		"browser alias":      {source: `const s = require("./p"); console.log(s);`, files: files{"functions/fn/p/package.json": `{ "main": "x.js", "browser": { "./x.js": "../../../secret.json" } }`, "functions/fn/p/x.js": ""}},
		"tsconfig":           {source: `import s from "aliased"; console.log(s);`, files: files{"functions/fn/tsconfig.json": `{ "extends": "../../secret.json", "compilerOptions": { "baseUrl": ".", "paths": { "aliased": ["../../secret.json"] } } }`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := walledProject(t, c.files)
			entry := "functions/fn/index.ts"
			if _, tsx := c.files["functions/fn/index.tsx"]; tsx {
				os.Remove(p.path(entry))
				entry = "functions/fn/index.tsx"
			}
			files{entry: c.source + serve}.write(t, p.dir)
			for from, to := range c.links {
				if err := os.Symlink(p.path(to), p.path(from)); err != nil {
					t.Fatal(err)
				}
			}
			b := newBuilder(t)
			made, err := b.Build(t.Context(), p.function(t, "fn"))
			mustNotLeak(t, b, made, err)
			if err == nil {
				if (c.at != "" || c.says != "") && !(c.blind && b.opts.Confiner.On(confine.Landlock)) {
					t.Fatal("it was built")
				}
				return // what was not followed needs no refusal
			}
			if c.at == "" && c.says == "" {
				return // the bundler could not cope
			}
			var be *function.BootError
			if !errors.As(err, &be) || !errors.Is(err, errOutside) || be.Stage != "bundle" {
				t.Fatalf("%v", err)
			}
			if !strings.Contains(be.Message, "("+c.at) || !strings.Contains(be.Message, c.says) || !strings.Contains(be.Detail, "hint: ") {
				t.Errorf("the message has no %q or no %q: %s\n%s", c.at, c.says, be.Message, be.Detail)
			}
		})
	}
}

// mustNotLeak looks for the secret in all that a build leaves and says.
func mustNotLeak(t *testing.T, b *Builder, made *Bundle, err error) {
	t.Helper()
	text := ""
	var be *function.BootError
	if errors.As(err, &be) {
		text = be.Detail
	}
	if err != nil && strings.Contains(err.Error()+text, secret) {
		t.Errorf("the error shows the secret: %v\n%s", err, text)
	}
	if made != nil && err != nil {
		t.Error("a bundle and an error")
	}
	walkErr := filepath.WalkDir(b.opts.DataDir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if raw, err := os.ReadFile(path); err != nil || strings.Contains(string(raw), secret) {
			t.Errorf("%s has the secret: %v", path, err)
		}
		return nil
	})
	if walkErr != nil {
		t.Error(walkErr)
	}
}

// What only names types is not part of a bundle.
func TestTypesFromOutside(t *testing.T) {
	t.Parallel()
	p := walledProject(t, files{"functions/fn/index.ts": `
		import type { A } from "../../types.ts";
		/// <reference path="../../types.ts" />
		export type { A as B } from "../../types.ts";
		const a: A & import("../../types.ts").A = "typed";
		Deno.serve(() => new Response(a));`})
	if got := answer(t, newBuilder(t), p.function(t, "fn")); got != "typed" {
		t.Errorf("%q", got)
	}
}

// A package of another function is none of this one's, although it lies in the
// cache that all builds share.
func TestPackageThatWasNotDeclared(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "", map[string]files{
		"private@1.0.0": {"index.js": `module.exports = "` + secret + `";`},
		"public@1.0.0":  {"index.js": `module.exports = "public";`},
	})
	p := newProject(t, files{"functions/owner/index.ts": `import s from "npm:private@1"; Deno.serve(() => new Response(s));`})
	b := newBuilder(t, isolated(t), environ("NPM_CONFIG_REGISTRY="+r.URL, "NO_PROXY=127.0.0.1"))
	if got := answer(t, b, p.function(t, "owner")); got != secret {
		t.Fatalf("%q", got)
	}
	found, _ := filepath.Glob(filepath.Join(PackageCache(b.opts.DataDir), "npm", "*", "private", "1.0.0", "index.js"))
	if len(found) != 1 {
		t.Fatal("where is the package?")
	}
	near, err := filepath.Rel(p.path("functions/fn"), strings.TrimSuffix(found[0], "private/1.0.0/index.js"))
	if err != nil {
		t.Fatal(err)
	}
	for name, source := range map[string]string{
		"import":  `import s from "` + found[0] + `"; Deno.serve(() => new Response(s));`,
		"require": `import p from "npm:public@1"; const s = require("` + found[0] + `"); Deno.serve(() => new Response(p + s));`,
		"pattern": `const s = require("` + near + `/" + Deno.args[0] + "/index.js"); Deno.serve(() => new Response(s));`,
	} {
		files{"functions/fn/index.ts": source}.write(t, p.dir)
		_, err := b.Build(t.Context(), p.function(t, "fn"))
		if !errors.Is(err, errOutside) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The bundler follows the source maps of what it takes in.
func TestSourceMapsOfSources(t *testing.T) {
	t.Parallel()
	outside := `{"version":3,"sources":["webpack://x/y.ts"],"sourcesContent":["` + secret + `"],"names":[],"mappings":"AAAA"}`
	for name, c := range map[string]struct {
		files files
		built bool
	}{
		"of another machine": {files{"functions/fn/lib.js.map": `{"version":3,"sources":["../../../../../../../../../../nowhere/x.ts","../src/x.ts"],"names":[],"mappings":"AAAA"}`}, true},
		"with a URL":         {files{"functions/fn/lib.js.map": `{"version":3,"sources":["webpack://lib/x.ts"],"names":[],"mappings":"AAAA"}`}, true},
		"none":               {files{}, true},
		"naming a file":      {files{"functions/fn/lib.js.map": `{"version":3,"sources":["../../secret.ts"],"names":[],"mappings":"AAAA"}`}, false},
		"outside":            {files{"functions/fn/lib.js": "export const x = 'lib';\n//# sourceMappingURL=../../other.map\n", "other.map": outside}, false},
		"outside, escaped":   {files{"functions/fn/lib.js": "export const x = 'lib';\n//# sourceMappingURL=.%2E/../other.map\n", "other.map": outside}, true}, // it is not followed
		"outside, absolute":  {files{"functions/fn/lib.js": "export const x = 'lib';\n//# sourceMappingURL=file:///ABS/other.map\n", "other.map": outside}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := walledProject(t, files{
				"functions/fn/index.ts": `import { x } from "./lib.js"; Deno.serve(() => new Response(x));`,
				"functions/fn/lib.js":   "export const x = 'lib';\n//# sourceMappingURL=lib.js.map\n",
			})
			for file, content := range c.files {
				files{file: strings.ReplaceAll(content, "/ABS", p.dir)}.write(t, p.dir)
			}
			b := newBuilder(t)
			made, err := b.Build(t.Context(), p.function(t, "fn"))
			mustNotLeak(t, b, made, err)
			if (err == nil) != c.built {
				t.Fatalf("%v", err)
			}
			if err != nil {
				return
			}
			if got := serve(t, b, made).get(t); got != "lib" {
				t.Errorf("%q", got)
			}
			if !b.Unchanged(p.function(t, "fn")) {
				t.Error("it is not recorded")
			}
			files{"functions/fn/lib.js": "export const x = 'changed';"}.write(t, p.dir)
			if b.Unchanged(p.function(t, "fn")) {
				t.Error("a change is not seen")
			}
		})
	}
}

func TestUnbundledStaysInside(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ link, to string }{
		"a file":    {"functions/fn/data.json", "secret.json"},
		"in shared": {"functions/_shared/s.ts", "secret.ts"},
		"variables": {"functions/fn/data.txt", "functions/.env"},
	} {
		p := walledProject(t, files{"functions/fn/index.ts": sayHello})
		if err := os.Symlink(p.path(c.to), p.path(c.link)); err != nil {
			t.Fatal(err)
		}
		b := newBuilder(t)
		made, err := b.BuildUnbundled(t.Context(), p.function(t, "fn"))
		mustNotLeak(t, b, made, err)
		if !errors.Is(err, errOutside) || !strings.Contains(err.Error(), c.link) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := walledProject(t, files{"functions/fn/index.ts": `import s from "../../secret.txt" with { type: "text" }; Deno.serve(() => new Response(s));`})
	b := newBuilder(t)
	made, err := b.BuildUnbundled(t.Context(), p.function(t, "fn"))
	mustNotLeak(t, b, made, err)
	if !errors.Is(err, errOutside) {
		t.Errorf("an import: %v", err)
	}
}

// Discovery looks at static files and settings; a link that changes after it is
// not followed either.
func TestLinksThatChangeAfterDiscovery(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"functions/fn/static.txt", "functions/fn/deno.json", "functions/fn/index.ts"} {
		p := walledProject(t, files{"functions/fn/index.ts": sayHello, "functions/fn/static.txt": "", "functions/fn/deno.json": "{}"})
		f := p.function(t, "fn", func(o *function.Options) {
			o.Overrides = map[string]function.Override{"fn": {StaticFiles: []string{"functions/fn/*.txt"}}}
		})
		if err := os.Remove(p.path(file)); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(p.path("secret.txt"), p.path(file)); err != nil {
			t.Fatal(err)
		}
		b := newBuilder(t)
		made, err := b.Build(t.Context(), f)
		mustNotLeak(t, b, made, err)
		if !errors.Is(err, errOutside) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestOpenOwn(t *testing.T) {
	t.Parallel()
	dir := denotest.TempDir(t)
	files{"in/a": "a", "out": secret}.write(t, dir)
	f := &function.Function{Slug: "fn", Dir: filepath.Join(dir, "in"), Root: dir, RealRoot: filepath.Join(dir, "functions"), Within: []string{filepath.Join(dir, "in")}}
	for name, ok := range map[string]bool{"in/a": true, "out": false, "in/../out": false} {
		in, err := openOwn(f, filepath.Join(dir, name))
		if (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
		if in != nil {
			in.Close()
		}
	}
}
