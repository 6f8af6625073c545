package bundle

import (
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/deno"
)

// greeter is a package in both module systems.
var greeter = map[string]files{
	"@acme/greet@1.2.0": {
		"package.json": `{"type":"module","exports":"./index.js","dependencies":{"plain-cjs":"^2.0.0"}}`,
		"index.js":     "import cjs from 'plain-cjs';\nexport const greet = (n) => 'hello ' + n + cjs.mark;\nexport function fail() {\n  throw new Error('in package');\n}\n",
	},
	"plain-cjs@2.0.1": {
		"package.json": `{"main":"./lib/main.js"}`,
		"lib/main.js":  "const path = require('path');\nconst util = require('node:util');\nexports.mark = path.extname('/x.!') + util.format('%s', '?');\nexports.dir = typeof __dirname;\n",
	},
}

func TestNPM(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "", greeter)
	for name, c := range map[string]struct {
		files files
		want  string
	}{
		"npm specifier, ESM and CommonJS beneath": {
			files{"functions/fn/index.ts": `import { greet } from "npm:@acme/greet@1"; Deno.serve(() => new Response(greet("you")));`}, "hello you.!?"},
		"CommonJS, default import": {
			files{"functions/fn/index.ts": `import cjs from "npm:plain-cjs"; Deno.serve(() => new Response(cjs.mark + cjs.dir));`}, ".!?undefined"},
		"CommonJS, named import": {
			files{"functions/fn/index.ts": `import { mark } from "npm:plain-cjs@2"; Deno.serve(() => new Response(mark));`}, ".!?"},
		"deno.json": {
			files{
				"functions/fn/index.ts":  `import { greet } from "greet"; Deno.serve(() => new Response(greet("you")));`,
				"functions/fn/deno.json": `{ "imports": { "greet": "npm:@acme/greet@^1.0.0" } }`}, "hello you.!?"},
		"import map": {
			files{
				"functions/fn/index.ts":     `import { greet } from "greet"; Deno.serve(() => new Response(greet("you")));`,
				"functions/import_map.json": `{ "imports": { "greet": "npm:@acme/greet@1.2.0" } }`}, "hello you.!?"},
		"package.json": {
			files{
				"functions/fn/index.ts":     `import { greet } from "@acme/greet"; Deno.serve(() => new Response(greet("you")));`,
				"functions/fn/package.json": `{ "dependencies": { "@acme/greet": "1.2.0" } }`}, "hello you.!?"},
		"from _shared": {
			files{
				"functions/fn/index.ts":  `import { g } from "../_shared/g.ts"; Deno.serve(() => new Response(g));`,
				"functions/_shared/g.ts": `import { greet } from "greet"; export const g = greet("all");`,
				"functions/fn/deno.json": `{ "imports": { "greet": "npm:@acme/greet@1" } }`}, "hello all.!?"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProject(t, c.files)
			b := newBuilder(t, isolated(t), environ("NPM_CONFIG_REGISTRY="+r.URL, "NO_PROXY=127.0.0.1"))
			made := build(t, b, p.function(t, "fn"))
			if !made.Packages || made.Unbundled != (deno.Unbundled{}) {
				t.Errorf("%+v", made)
			}
			for _, in := range made.Inputs {
				if !within(p.dir, in) {
					t.Errorf("%s is an input", in)
				}
			}
			// The bundle stands alone: workers load it without the cache.
			if err := os.RemoveAll(PackageCache(b.opts.DataDir)); err != nil {
				t.Fatal(err)
			}
			if got := serve(t, b, made).get(t); got != c.want {
				t.Errorf("%q", got)
			}
		})
	}
}

func TestPackagesOfThePublicRegistry(t *testing.T) {
	t.Parallel()
	p := newProject(t, files{"functions/fn/index.ts": `
		import { nanoid } from "npm:nanoid@5.0.7";
		import isOdd from "npm:is-odd@3.0.1";
		Deno.serve(() => new Response(nanoid().length + " " + isOdd(3)));`})
	b := newBuilder(t, func(o *Options) { o.Environ = online() })
	made := build(t, b, p.function(t, "fn"))
	if got := serve(t, b, made).get(t); got != "21 true" {
		t.Errorf("%q", got)
	}
	// The packages' folder is reached through a link here.
	if want := []string{p.path("functions/fn/index.ts")}; !slices.Equal(made.Inputs, want) || !made.Packages {
		t.Errorf("%+v", made)
	}
	raw, err := os.ReadFile(made.Module + ".map")
	if err != nil || strings.Contains(string(raw), "outside/") || !strings.Contains(string(raw), "npm/registry.npmjs.org/is-odd/3.0.1/index.js") {
		t.Errorf("the map does not name its sources: %v %.500s", err, raw)
	}
}

func TestTraceThroughAPackage(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "", greeter)
	p := newProject(t, files{"functions/fn/index.ts": "import { fail } from 'npm:@acme/greet@1';\nDeno.serve(() => {\n  try { fail(); } catch (e) { return new Response((e as Error).stack); }\n  return new Response();\n});\n"})
	b := newBuilder(t, isolated(t), environ("NPM_CONFIG_REGISTRY="+r.URL, "NO_PROXY=127.0.0.1"))
	got := answer(t, b, p.function(t, "fn"))
	if !strings.Contains(got, "@acme/greet/1.2.0/index.js:4:9") || !strings.Contains(got, "functions/fn/index.ts:3:9") {
		t.Errorf("%s", got)
	}
}

func TestNPMRC(t *testing.T) {
	t.Parallel()
	const token = "a-private-token"
	r := newRegistry(t, token, greeter)
	host, _ := url.Parse(r.URL)
	rc := "registry=" + r.URL + "/\n//" + host.Host + "/:_authToken=" + token + "\n"
	scoped := "@acme:registry=" + r.URL + "/\n//" + host.Host + "/:_authToken=${REGISTRY_TOKEN}\n"
	source := `import { greet } from "npm:@acme/greet@1"; Deno.serve(() => new Response(greet("you")));`
	for name, c := range map[string]struct {
		files files
		env   []string
	}{
		"in the function's folder":           {files: files{"functions/fn/.npmrc": rc}},
		"beside deno.json":                   {files: files{"functions/fn/.npmrc": rc, "functions/fn/deno.json": `{"imports":{}}`}},
		"with an import map":                 {files: files{"functions/fn/.npmrc": rc, "functions/import_map.json": `{"imports":{}}`}},
		"with package.json":                  {files: files{"functions/fn/.npmrc": rc, "functions/fn/package.json": `{"dependencies":{"@acme/greet":"1"}}`}},
		"in the functions folder":            {files: files{"functions/.npmrc": rc, "functions/fn/deno.json": `{"imports":{}}`}},
		"in the project's folder":            {files: files{".npmrc": rc}},
		"a variable":                         {files: files{".npmrc": scoped + "registry=" + r.URL + "\n"}, env: []string{"REGISTRY_TOKEN=" + token}},
		"the nearest wins":                   {files: files{".npmrc": "registry=http://127.0.0.1:9/\n", "functions/fn/.npmrc": rc}},
		"the user's too":                     {files: files{"home/.npmrc": "//" + host.Host + "/:_authToken=" + token + "\n", ".npmrc": "registry=" + r.URL + "/"}, env: []string{"HOME=home"}},
		"the user's alone":                   {files: files{"home/.npmrc": rc}, env: []string{"HOME=home"}},
		"the project's wins over the user's": {files: files{"home/.npmrc": "registry=http://127.0.0.1:9/\n", ".npmrc": rc}, env: []string{"HOME=home"}},
		"npm_config_registry":                {files: files{"home/.npmrc": "//" + host.Host + "/:_authToken=" + token + "\n"}, env: []string{"HOME=home", "npm_config_registry=" + r.URL}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProject(t, files{"functions/fn/index.ts": source})
			c.files.write(t, p.dir)
			b := newBuilder(t, isolated(t), func(o *Options) {
				o.Environ = slices.DeleteFunc(o.Environ, func(kv string) bool {
					return strings.HasPrefix(kv, "NPM_CONFIG_REGISTRY=") || strings.HasPrefix(kv, "HOME=")
				})
				o.Environ = append(o.Environ, "NO_PROXY=127.0.0.1")
				for _, kv := range c.env {
					o.Environ = append(o.Environ, strings.Replace(kv, "HOME=home", "HOME="+p.path("home"), 1))
				}
			})
			if got := answer(t, b, p.function(t, "fn")); got != "hello you.!?" {
				t.Errorf("%q", got)
			}
			// Workers can read the bundles' folder: no credentials there.
			_ = filepath.WalkDir(b.opts.DataDir, func(path string, d os.DirEntry, err error) error {
				if err == nil && d.Type().IsRegular() {
					if raw, err := os.ReadFile(path); err == nil && strings.Contains(string(raw), token) {
						t.Errorf("%s holds the token", path)
					}
				}
				return nil
			})
		})
	}
	t.Run("a wrong token", func(t *testing.T) {
		t.Parallel()
		p := newProject(t, files{"functions/fn/index.ts": source, ".npmrc": strings.ReplaceAll(rc, token, "wrong-token")})
		b := newBuilder(t, isolated(t), environ("NO_PROXY=127.0.0.1"))
		be := bootError(t, b, p.function(t, "fn"))
		if !strings.Contains(be.Message+be.Detail, "401") && !strings.Contains(be.Message+be.Detail, "@acme/greet") {
			t.Errorf("%v\n%s", be, be.Detail)
		}
		if strings.Contains(be.Message+be.Detail, "wrong-token") {
			t.Errorf("the error shows the token: %v\n%s", be, be.Detail)
		}
		t.Logf("%v\n%s", be, be.Detail)
	})
}

// odd is what bundlers cannot hold: a module whose name is computed, a native
// add-on that need not be there, and a file read beside the module.
var odd = map[string]files{
	"odd-loader@1.0.0": {
		"package.json": `{"main":"./main.js"}`,
		"main.js": `
			const fs = require("fs"), path = require("path");
			const name = ["plug", "in"].join("");
			exports.plugin = require("./" + name + ".js");
			exports.template = fs.readFileSync(path.join(__dirname, "template.txt"), "utf8");
			try { exports.native = require("./build/fast.node"); } catch { exports.native = "none"; }`,
		"plugin.js":       `module.exports = "a plugin";`,
		"template.txt":    "a template",
		"build/fast.node": "\x7fELF is what this is not",
	},
	"native@1.0.0": {
		"package.json":    `{"main":"./main.js"}`,
		"main.js":         `let fast; try { fast = require("./build/fast.node"); } catch { fast = { name: "slow" }; } module.exports = fast;`,
		"build/fast.node": "\x7fELF is what this is not",
	},
}

func TestUnbundled(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "", odd)
	source := `import "jsr:@supabase/functions-js/edge-runtime.d.ts";
		import odd from "odd"; import { x } from "../_shared/x.ts";
		Deno.serve(() => new Response([odd.plugin, odd.template, odd.native, x, import.meta.main, Deno.readTextFileSync(new URL("./s.txt", import.meta.url))].join()));`
	for name, c := range map[string]files{
		"deno.json":    {"functions/fn/deno.json": `{ "imports": { "odd": "npm:odd-loader@1" } }`},
		"import map":   {"functions/import_map.json": `{ "imports": { "odd": "npm:odd-loader@1" } }`},
		"package.json": {"functions/fn/package.json": `{ "dependencies": { "odd": "npm:odd-loader@1" } }`},
		"inline":       {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := source
			if len(c) == 0 {
				src = strings.ReplaceAll(source, `"odd"`, `"npm:odd-loader@1.0.0"`)
			}
			p := newProject(t, files{"functions/fn/index.ts": src, "functions/_shared/x.ts": `export const x: string = "shared";`, "functions/fn/s.txt": "static", "functions/fn/.env": "SECRET=1", "functions/fn/node_modules/junk/index.js": "junk"})
			c.write(t, p.dir)
			runs, counted := countRuns(t)
			b := newBuilder(t, isolated(t), counted, environ("NPM_CONFIG_REGISTRY="+r.URL, "NO_PROXY=127.0.0.1"))
			f := p.function(t, "fn")
			made := build(t, b, f)
			if made.Unbundled == (deno.Unbundled{}) {
				// It builds: that it does not run is seen when it is loaded.
				if _, err := tryServe(t, b, made); err == nil {
					t.Fatal("it runs as a bundle: the test proves nothing")
				}
				var err error
				if made, err = b.BuildUnbundled(t.Context(), f); err != nil {
					t.Fatal(err)
				}
			}
			if made.Unbundled.CacheDir == "" || !made.Packages {
				t.Errorf("%+v", made)
			}
			if got := serve(t, b, made).get(t); got != "a plugin,a template,none,shared,true,static" {
				t.Errorf("%q", got)
			}
			if err := made.Keep(); err != nil {
				t.Fatal(err)
			}
			for _, in := range []string{"functions/fn/index.ts", "functions/_shared/x.ts", "functions/fn/s.txt"} {
				if !slices.Contains(made.Inputs, p.path(in)) {
					t.Errorf("%s is not in %q", in, made.Inputs)
				}
			}
			for _, never := range []string{"functions/fn/.env", "functions/fn/node_modules"} {
				if _, err := os.Stat(filepath.Join(made.Dir, never)); err == nil {
					t.Errorf("the bundle has %s", never)
				}
			}
			// It is remembered, with all that is needed to run it.
			before := runs.runs(t)
			again := build(t, b, f)
			if !again.Cached || again.Unbundled != made.Unbundled || again.Module != made.Module || runs.runs(t) != before {
				t.Errorf("%+v", again)
			}
			if got := serve(t, b, again).get(t); got != "a plugin,a template,none,shared,true,static" {
				t.Errorf("%q", got)
			}
			// Once the source changes a bundle is tried again.
			files{"functions/_shared/x.ts": `export const x: string = "changed";`}.write(t, p.dir)
			if changed := build(t, b, f); changed.Cached {
				t.Errorf("%+v", changed)
			}
		})
	}
}

func TestOptionalNativeAddOn(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "", odd)
	p := newProject(t, files{"functions/fn/index.ts": `import fast from "npm:native@1"; Deno.serve(() => new Response(fast.name));`})
	b := newBuilder(t, isolated(t), environ("NPM_CONFIG_REGISTRY="+r.URL, "NO_PROXY=127.0.0.1"))
	made := build(t, b, p.function(t, "fn"))
	t.Logf("unbundled: %+v", made.Unbundled)
	if got := serve(t, b, made).get(t); got != "slow" {
		t.Errorf("%q", got)
	}
}

// What runs from the package cache is built again when that was cleared.
func TestUnbundledNeedsItsPackages(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "", odd)
	p := newProject(t, files{"functions/fn/index.ts": `import odd from "npm:odd-loader@1"; Deno.serve(() => new Response(odd.plugin));`})
	b := newBuilder(t, isolated(t), environ("NPM_CONFIG_REGISTRY="+r.URL, "NO_PROXY=127.0.0.1"))
	f := p.function(t, "fn")
	if _, err := b.BuildUnbundled(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	if b.Unchanged(f) {
		t.Error("it is remembered before anybody knows that it loads")
	}
	time.Sleep(20 * time.Millisecond) // past the file system's clock tick
	alone, err := b.BuildUnbundled(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	if err := alone.Keep(); err != nil {
		t.Fatal(err)
	}
	if !b.Unchanged(f) {
		t.Error("it is not remembered")
	}
	if err := os.RemoveAll(filepath.Join(PackageCache(b.opts.DataDir), "npm")); err != nil {
		t.Fatal(err)
	}
	if b.Unchanged(f) {
		t.Error("its packages are not missed")
	}
	made, err := b.BuildUnbundled(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	if got := serve(t, b, made).get(t); got != "a plugin" {
		t.Errorf("%q", got)
	}
}
