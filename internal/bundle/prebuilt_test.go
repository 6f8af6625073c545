package bundle

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
	"github.com/selvedge-dev/selvedge/internal/function"
)

// exported builds fn and exports it to a new folder. unbundled has it run from
// its source.
func exported(t *testing.T, b *Builder, f *function.Function, unbundled bool) string {
	t.Helper()
	made := build(t, b, f)
	if unbundled && made.Unbundled == (deno.Unbundled{}) {
		var err error
		if made, err = b.BuildUnbundled(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	e, err := b.NewExport(filepath.Join(denotest.TempDir(t), "out"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Add(t.Context(), f, made); err != nil {
		t.Fatal(err)
	}
	if err := e.Finish(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	return e.Dir
}

// tree sums up every file of a folder, by its path there.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, dir)] = fmt.Sprintf("%x", sha256.Sum256(content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestPrebuilt(t *testing.T) {
	t.Parallel()
	packages := newRegistry(t, "", odd)
	for name, c := range map[string]struct {
		files     files
		unbundled bool
		want      string
		change    string // a file whose change is noticed
	}{
		"bundled": {
			files{
				"functions/fn/index.ts":  `import { x } from "../_shared/x.ts"; Deno.serve(() => new Response(x));`,
				"functions/_shared/x.ts": `export const x: string = "shared";`,
				"functions/.env":         "SECRET=1",
			}, false, "shared", "functions/_shared/x.ts"},
		"from source": {
			files{
				"functions/fn/index.ts":  `import odd from "odd"; Deno.serve(() => new Response([odd.plugin, odd.template].join()));`,
				"functions/fn/deno.json": `{ "imports": { "odd": "npm:odd-loader@1" } }`,
			}, true, "a plugin,a template", "functions/fn/deno.json"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProject(t, c.files)
			b := newBuilder(t, isolated(t), environ("NPM_CONFIG_REGISTRY="+packages.URL, "NO_PROXY=127.0.0.1"))
			dir := exported(t, b, p.function(t, "fn"), c.unbundled)
			second := exported(t, newBuilder(t, isolated(t), environ("NPM_CONFIG_REGISTRY="+packages.URL, "NO_PROXY=127.0.0.1")), p.function(t, "fn"), c.unbundled)
			first := tree(t, dir)
			if other := tree(t, second); fmt.Sprint(first) != fmt.Sprint(other) {
				t.Errorf("two exports of one source differ:\n%v\n%v", first, other)
			}
			for path := range first {
				if strings.Contains(path, ".env") || strings.Contains(path, "salt") {
					t.Errorf("%s was exported", path)
				}
			}

			// Elsewhere, with nothing else to run from.
			elsewhere := denotest.TempDir(t)
			for from, to := range map[string]string{p.dir: "app", dir: "prebuilt"} {
				if err := os.Rename(from, filepath.Join(elsewhere, to)); err != nil {
					t.Fatal(err)
				}
			}
			p = &project{filepath.Join(elsewhere, "app")}
			far := newBuilder(t, isolated(t), func(o *Options) {
				o.Prebuilt, o.Deno = filepath.Join(elsewhere, "prebuilt"), "/bin/false"
			})
			made := build(t, far, p.function(t, "fn"))
			if !made.Cached || !within(far.opts.Prebuilt, made.Module) || (made.Unbundled != (deno.Unbundled{})) != c.unbundled {
				t.Fatalf("%+v", made)
			}
			if got := serve(t, far, made).get(t); got != c.want {
				t.Errorf("%q", got)
			}

			// What need not be there is not asked for; what has changed is seen.
			if name := p.path("functions/_shared/x.ts"); !c.unbundled {
				if err := os.Rename(name, name+".away"); err != nil {
					t.Fatal(err)
				}
				if err := far.CheckPrebuilt(p.function(t, "fn")); err != nil {
					t.Errorf("without a module that is in the bundle: %v", err)
				}
				if err := os.Rename(name+".away", name); err != nil {
					t.Fatal(err)
				}
			}
			files{c.change: "{}"}.write(t, p.dir)
			if err := far.CheckPrebuilt(p.function(t, "fn")); err == nil || !strings.Contains(err.Error(), c.change+" has changed") {
				t.Errorf("after a change: %v", err)
			}
		})
	}
}

func TestPrebuiltIsNotUsedForAnotherFunction(t *testing.T) {
	t.Parallel()
	p := newProject(t, files{"functions/fn/index.ts": `Deno.serve(() => new Response("fn"));`})
	b := newBuilder(t)
	dir := exported(t, b, p.function(t, "fn"), false)
	files{
		"functions/fn/deno.json":    `{}`,
		"functions/later/index.ts":  `Deno.serve(() => new Response("later"));`,
		"functions/fn/other/run.ts": `Deno.serve(() => new Response("other"));`,
	}.write(t, p.dir)
	far := newBuilder(t, func(o *Options) { o.Prebuilt = dir })
	entry := p.function(t, "fn")
	moved := *entry
	moved.Entrypoint = p.path("functions/fn/other/run.ts")
	for want, f := range map[string]*function.Function{
		"deno.json has come since": entry, "not built then": p.function(t, "later"), "entrypoint was": &moved,
	} {
		if err := far.CheckPrebuilt(f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
	made := build(t, far, p.function(t, "later"))
	if within(dir, made.Dir) {
		t.Errorf("it was built into the prebuilt folder: %s", made.Dir)
	}
}

func TestExportTouchesNoOtherFolder(t *testing.T) {
	t.Parallel()
	dir := denotest.TempDir(t)
	files{"bundles/mine": "content"}.write(t, dir)
	if _, err := newBuilder(t).NewExport(dir); err == nil || !strings.Contains(err.Error(), "empty folder") {
		t.Fatalf("error %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "bundles", "mine")); err != nil {
		t.Error(err)
	}
}

// TestFirstBundlersAtOnce: all of them find that nobody has installed Deno's
// bundler in a package cache that is new.
func TestFirstBundlersAtOnce(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, func(o *Options) {
		o.Environ = online()
		if err := os.MkdirAll(PackageCache(o.DataDir), 0o755); err != nil {
			t.Fatal(err)
		}
	})
	if bundlerInstalled(PackageCache(b.opts.DataDir)) {
		t.Fatal("the bundler is installed: the test proves nothing")
	}
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			name := fmt.Sprintf("fn%d", i)
			p := newProject(t, files{"functions/" + name + "/index.ts": `Deno.serve(() => new Response("x"));`})
			if _, err := b.Build(t.Context(), p.function(t, name)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if !bundlerInstalled(PackageCache(b.opts.DataDir)) {
		t.Error("the bundler is not where alone looks for it")
	}
}
