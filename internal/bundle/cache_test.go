package bundle

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
)

func TestUnchangedIsNotBuiltAgain(t *testing.T) {
	t.Parallel()
	p := newProject(t, files{
		"functions/fn/index.ts":  `import { x } from "../_shared/x.ts"; import l from "lib"; Deno.serve(() => new Response(x + l));`,
		"functions/fn/deno.json": `{ "imports": { "lib": "./lib.ts" } }`, "functions/fn/lib.ts": `export default "lib";`,
		"functions/_shared/x.ts": `export const x = "x";`, "functions/_shared/other.ts": `export const o = 1;`, "README.md": "",
	})
	runs, counted := countRuns(t)
	b := newBuilder(t, counted)
	f := p.function(t, "fn")
	if b.Unchanged(f) || b.Inputs(f) != nil {
		t.Error("it is known before it was built")
	}
	first := build(t, b, f)
	expect := func(what string, wantRuns int, wantCached bool) *Bundle {
		t.Helper()
		made := build(t, b, p.function(t, "fn"))
		if runs.runs(t) != wantRuns || made.Cached != wantCached {
			t.Errorf("%s: %d runs, cached %t", what, runs.runs(t), made.Cached)
		}
		return made
	}
	if again := expect("at once", 1, true); again.Module != first.Module || again.Digest != first.Digest || !slices.Equal(again.Inputs, first.Inputs) || again.Size != first.Size {
		t.Errorf("%+v\n%+v", first, again)
	}
	if !b.Unchanged(f) || !slices.Equal(b.Inputs(f), first.Inputs) {
		t.Error("it is not known")
	}
	files{"functions/_shared/other.ts": "changed", "README.md": "changed", "functions/fn/notes.txt": "new"}.write(t, p.dir)
	expect("an unrelated file", 1, true)

	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(p.path("functions/_shared/x.ts"), later, later); err != nil {
		t.Fatal(err)
	}
	expect("a new time alone", 1, true)

	files{"functions/_shared/x.ts": `export const x = "y";`}.write(t, p.dir) // of the same size
	if made := expect("a shared file", 2, false); made.Digest == first.Digest || made.Dir == first.Dir {
		t.Error("other content has the same name")
	}
	files{"functions/fn/deno.json": `{ "imports": { "lib": "../_shared/x.ts" } }`, "functions/_shared/x.ts": `export const x = "y"; export default "z";`}.write(t, p.dir)
	expect("the configuration", 3, false)
	expect("at once", 3, true)

	files{"functions/_shared/x.ts": `export const x = "x";`, "functions/fn/deno.json": `{ "imports": { "lib": "./lib.ts" } }`}.write(t, p.dir)
	if made := expect("the first content", 4, false); made.Dir != first.Dir {
		t.Error("the same content has another path")
	}

	// A new process with the same data folder.
	other := newBuilder(t, counted, func(o *Options) { o.DataDir = b.opts.DataDir })
	if made := build(t, other, f); !made.Cached || made.Module != first.Module || runs.runs(t) != 4 {
		t.Errorf("%d runs, %+v", runs.runs(t), made)
	}
	// Another Deno makes another bundle.
	newer := newBuilder(t, counted, func(o *Options) { o.DataDir, o.DenoVersion = b.opts.DataDir, "9.9.9" })
	if made := build(t, newer, f); made.Cached {
		t.Error("a bundle of another version is used")
	}
	// A bundle that was deleted is made again.
	if err := os.RemoveAll(first.Dir); err != nil {
		t.Fatal(err)
	}
	expect("a deleted bundle", 6, false)
	if err := os.WriteFile(b.recordPath(b.key(f)), []byte("{broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect("a broken record", 7, false)
}

func TestTheSameSourceIsTheSameBundle(t *testing.T) {
	t.Parallel()
	content := files{"functions/fn/index.ts": `import { x } from "../_shared/x.ts"; Deno.serve(() => new Response(x));`, "functions/_shared/x.ts": `export const x = "x";`}
	var digests []string
	for range 2 { // two places, two machines
		digests = append(digests, build(t, newBuilder(t), newProject(t, content).function(t, "fn")).Digest)
	}
	if digests[0] != digests[1] {
		t.Errorf("%q", digests)
	}
}

func TestConcurrentBuilds(t *testing.T) {
	t.Parallel()
	p := newProject(t, files{
		"functions/fn/index.ts": sayHello, "functions/b/index.ts": sayHello + "// b", "functions/c/index.ts": `Deno.serve(() => new Response("c"));`,
	})
	runs, counted := countRuns(t)
	b := newBuilder(t, counted)
	// Two processes share the data folder.
	other := newBuilder(t, counted, func(o *Options) { o.DataDir = b.opts.DataDir })
	slugs := []string{"fn", "b", "c"}
	time.Sleep(20 * time.Millisecond) // what was just written is built twice
	var wg sync.WaitGroup
	var mu sync.Mutex
	modules := map[string]map[string]bool{}
	for i := range 24 {
		wg.Go(func() {
			slug, builder := slugs[i%3], []*Builder{b, other}[i/3%2]
			made, err := builder.Build(t.Context(), p.function(t, slug))
			if err != nil {
				t.Errorf("%s: %v", slug, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if modules[slug] == nil {
				modules[slug] = map[string]bool{}
			}
			modules[slug][made.Module] = true
			if _, err := os.Stat(made.Module); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := runs.runs(t); n > 6 {
		t.Errorf("%d runs of the bundler for 3 functions and 2 processes", n)
	}
	for slug, paths := range modules {
		if len(paths) != 1 {
			t.Errorf("%s has the modules %v", slug, paths)
		}
	}
}

// A caller that gives up must not take the others with it.
func TestOneCallerGivesUp(t *testing.T) {
	t.Parallel()
	p := newProject(t, files{"functions/fn/index.ts": sayHello})
	b := newBuilder(t)
	f := p.function(t, "fn")
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = b.Build(bounded(t, 15*time.Millisecond), f) })
	time.Sleep(5 * time.Millisecond)
	for range 4 {
		wg.Go(func() {
			if _, err := b.Build(t.Context(), f); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestNewBuildersAtOnce(t *testing.T) {
	t.Parallel()
	dir := denotest.TempDir(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	salts := map[string]bool{}
	for range 16 {
		wg.Go(func() {
			b, err := NewBuilder(Options{DataDir: dir})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			salts[string(b.salt)] = true
		})
	}
	wg.Wait()
	if len(salts) != 1 {
		t.Errorf("%d salts", len(salts))
	}
	if info, err := os.Stat(filepath.Join(dir, "salt")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
}

func TestLockFile(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "", greeter)
	p := newProject(t, files{
		"functions/fn/index.ts":  `import { mark } from "npm:plain-cjs@^2"; Deno.serve(() => new Response(mark));`,
		"functions/fn/deno.json": `{}`,
		"functions/fn/deno.lock": `{ "version": "5" }` + "\n",
	})
	b := newBuilder(t, isolated(t), environ("NPM_CONFIG_REGISTRY="+r.URL, "NO_PROXY=127.0.0.1"))
	f := p.function(t, "fn")
	made := build(t, b, f)
	if !slices.Contains(made.Inputs, p.path("functions/fn/deno.lock")) {
		t.Errorf("the lock file is not in %q", made.Inputs)
	}
	raw, err := os.ReadFile(p.path("functions/fn/deno.lock"))
	if err != nil || string(raw) != `{ "version": "5" }`+"\n" {
		t.Errorf("the lock file was changed: %s %v", raw, err)
	}
	// One that does not match what the registry has is an error.
	files{"functions/fn/deno.lock": `{ "version": "5", "specifiers": { "npm:plain-cjs@2": "2.0.1" }, "npm": { "plain-cjs@2.0.1": { "integrity": "sha512-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==" } } }`}.write(t, p.dir)
	if err := os.RemoveAll(filepath.Join(PackageCache(b.opts.DataDir), "npm")); err != nil {
		t.Fatal(err)
	}
	be := bootError(t, b, f)
	if !strings.Contains(strings.ToLower(be.Message+be.Detail), "checksum") {
		t.Errorf("%v\n%s\n%v", be, be.Detail, be.Err)
	}
	// No lock file appears where there was none.
	q := newProject(t, files{"functions/fn/index.ts": sayHello, "functions/fn/deno.json": `{}`})
	build(t, newBuilder(t), q.function(t, "fn"))
	if found, _ := filepath.Glob(q.path("functions/fn/*")); len(found) != 2 {
		t.Errorf("%q", found)
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	source := `import { x } from "../_shared/x.ts"; import { y } from "./y.ts"; import d from "d";
Deno.serve(() => new Response([x, y, d, new Error().stack!.match(/functions\/[^ ]*/)![0]].join(" ")));`
	at := t.TempDir()
	outside := filepath.Join(at, "outside")
	link := func(t *testing.T, from, to string) {
		t.Helper()
		if err := os.Symlink(to, from); err != nil {
			t.Fatal(err)
		}
	}
	files{
		"fn/index.ts": source, "fn/deno.json": `{ "imports": { "d": "./d.ts" } }`, "fn/d.ts": `export default "d";`, "fn/y.ts": `export const y = "y";`,
		"y.ts": `export const y = "y";`, "shared/x.ts": `export const x = "x";`,
	}.write(t, outside)
	for name, c := range map[string]struct {
		files files
		links map[string]string
	}{
		"nothing":      {files{"functions/fn/index.ts": source, "functions/fn/deno.json": `{ "imports": { "d": "./d.ts" } }`, "functions/fn/d.ts": `export default "d";`, "functions/fn/y.ts": `export const y = "y";`, "functions/_shared/x.ts": `export const x = "x";`}, nil},
		"a file":       {files{"functions/fn/index.ts": source, "functions/fn/deno.json": `{ "imports": { "d": "./d.ts" } }`, "functions/fn/d.ts": `export default "d";`, "functions/_shared/x.ts": `export const x = "x";`, "functions/_lib/y.ts": `export const y = "y";`}, map[string]string{"functions/fn/y.ts": "functions/_lib/y.ts"}},
		"_shared":      {files{"functions/fn/index.ts": source, "functions/fn/deno.json": `{ "imports": { "d": "./d.ts" } }`, "functions/fn/d.ts": `export default "d";`, "functions/fn/y.ts": `export const y = "y";`}, map[string]string{"functions/_shared": "shared"}},
		"the function": {files{"functions/_shared/x.ts": `export const x = "x";`}, map[string]string{"functions/fn": "fn"}},
		"the entry":    {files{"functions/_shared/x.ts": `export const x = "x";`, "functions/fn/deno.json": `{ "imports": { "d": "./d.ts" } }`, "functions/fn/d.ts": `export default "d";`, "functions/fn/y.ts": `export const y = "y";`, "functions/_lib/entry.ts": source}, map[string]string{"functions/fn/index.ts": "functions/_lib/entry.ts"}},
	} {
		for _, through := range []bool{false, true} {
			label := name
			if through {
				label += ", project behind a link"
			}
			t.Run(label, func(t *testing.T) {
				t.Parallel()
				p := newProject(t, c.files)
				for from, to := range c.links {
					if !strings.HasPrefix(to, "functions/") {
						to = filepath.Join(outside, to)
					} else {
						to = p.path(to)
					}
					link(t, p.path(from), to)
				}
				if through {
					alias := filepath.Join(t.TempDir(), "alias")
					link(t, alias, p.dir)
					p = &project{dir: alias}
				}
				b := newBuilder(t)
				f := p.function(t, "fn")
				made := build(t, b, f)
				if got := serve(t, b, made).get(t); !strings.HasPrefix(got, "x y d functions/fn/index.ts:2:") {
					t.Errorf("%q", got)
				}
				want := []string{"functions/_shared/x.ts", "functions/fn/d.ts", "functions/fn/deno.json", "functions/fn/index.ts", "functions/fn/y.ts"}
				for i := range want {
					want[i] = p.path(want[i])
				}
				if !slices.Equal(made.Inputs, want) {
					t.Errorf("inputs %q\nwant %q", made.Inputs, want)
				}
				// A change behind a link is seen.
				if !b.Unchanged(f) {
					t.Error("it is not up to date")
				}
			})
		}
	}
}

func TestChangeBehindALink(t *testing.T) {
	t.Parallel()
	p := newProject(t, files{"functions/fn/index.ts": `import { y } from "./y.ts"; Deno.serve(() => new Response(y));`, "functions/_lib/y.ts": `export const y = "one";`})
	if err := os.Symlink("../_lib/y.ts", p.path("functions/fn/y.ts")); err != nil {
		t.Fatal(err)
	}
	b := newBuilder(t)
	f := p.function(t, "fn")
	build(t, b, f)
	files{"functions/_lib/y.ts": `export const y = "two";`}.write(t, p.dir)
	if b.Unchanged(f) {
		t.Fatal("the change is not seen")
	}
	if got := answer(t, b, f); got != "two" {
		t.Errorf("%q", got)
	}
}

func TestUnbundledThroughLinks(t *testing.T) {
	t.Parallel()
	at := t.TempDir()
	files{"fn/index.ts": `import { x } from "../_shared/x.ts"; import { y } from "./y.ts"; Deno.serve(() => new Response(x + y));`}.write(t, at)
	p := newProject(t, files{"functions/_shared/x.ts": `export const x = "x";`, "functions/_shared/y.ts": `export const y = "y";`})
	for from, to := range map[string]string{p.path("functions/fn"): filepath.Join(at, "fn"), filepath.Join(at, "fn", "y.ts"): p.path("functions/_shared/y.ts")} {
		if err := os.Symlink(to, from); err != nil {
			t.Fatal(err)
		}
	}
	b := newBuilder(t)
	made, err := b.BuildUnbundled(t.Context(), p.function(t, "fn"))
	if err != nil {
		t.Fatal(err)
	}
	if got := serve(t, b, made).get(t); got != "xy" {
		t.Errorf("%q", got)
	}
}

// An edit while the bundler runs is not taken for what was built.
func TestEditDuringABuild(t *testing.T) {
	t.Parallel()
	p := newProject(t, files{"functions/fn/index.ts": `Deno.serve(() => new Response("0"));`})
	b := newBuilder(t)
	f := p.function(t, "fn")
	for i := 1; i <= 10; i++ {
		built := make(chan error, 1)
		go func() {
			_, err := b.Build(t.Context(), f)
			built <- err
		}()
		time.Sleep(time.Duration(i*4) * time.Millisecond)
		want := fmt.Sprint(i)
		files{"functions/fn/index.ts": `Deno.serve(() => new Response("` + want + `"));`}.write(t, p.path("."))
		if err := <-built; err != nil {
			t.Fatal(err)
		}
		made, err := b.Build(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if got := serve(t, b, made).get(t); got != want {
			t.Fatalf("after edit %s the bundle answers %q", want, got)
		}
	}
}
