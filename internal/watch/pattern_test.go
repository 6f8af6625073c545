package watch

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// A pattern is a way in which a tree changes. The watcher's root is root/
// inside the box, unless roots says otherwise.
type pattern struct {
	name  string
	roots []string
	// before is there when the watcher starts.
	before func(b box)
	// do is what happens.
	do func(b box)
	// want must all be told; nothing else may be but what allow lists.
	want, allow []string
}

func source(b box) { b.write("root/fn/index.ts", "one") }

var patterns = []pattern{
	// Editors.
	{
		name:   "write in place",
		before: source,
		do:     func(b box) { b.write("root/fn/index.ts", "two, longer") },
		want:   []string{"root/fn/index.ts"},
	},
	{
		name:   "write temp and rename",
		before: source,
		do: func(b box) {
			b.write("root/fn/index.ts.a1b2c3", "two")
			b.rename("root/fn/index.ts.a1b2c3", "root/fn/index.ts")
		},
		want: []string{"root/fn/index.ts"},
		// Seen only by a look that falls between the two steps.
		allow: []string{"root/fn/index.ts.a1b2c3"},
	},
	{
		name:   "delete and create",
		before: source,
		do: func(b box) {
			b.remove("root/fn/index.ts")
			b.write("root/fn/index.ts", "two")
		},
		want: []string{"root/fn/index.ts"},
	},
	{
		name:   "vim with backup",
		before: source,
		do: func(b box) {
			b.write("root/fn/.index.ts.swp", "swap")
			b.write("root/fn/4913", "")
			b.remove("root/fn/4913")
			b.rename("root/fn/index.ts", "root/fn/index.ts~")
			b.write("root/fn/index.ts", "two")
			b.remove("root/fn/index.ts~")
			b.remove("root/fn/.index.ts.swp")
		},
		want: []string{"root/fn/index.ts"},
	},
	{
		name:   "emacs with lock and backup",
		before: source,
		do: func(b box) {
			b.link("user@host.1234", "root/fn/.#index.ts")
			b.rename("root/fn/index.ts", "root/fn/index.ts~")
			b.write("root/fn/index.ts", "two")
			b.remove("root/fn/.#index.ts")
		},
		want: []string{"root/fn/index.ts"},
	},
	{
		name:   "JetBrains safe write",
		before: source,
		do: func(b box) {
			b.write("root/fn/index.ts___jb_tmp___", "two")
			b.rename("root/fn/index.ts", "root/fn/index.ts___jb_old___")
			b.rename("root/fn/index.ts___jb_tmp___", "root/fn/index.ts")
			b.remove("root/fn/index.ts___jb_old___")
		},
		want: []string{"root/fn/index.ts"},
	},
	{
		name:   "touch",
		before: source,
		do: func(b box) {
			later := time.Now().Add(time.Minute)
			b.must(os.Chtimes(b.path("root/fn/index.ts"), later, later))
		},
		want: []string{"root/fn/index.ts"},
	},

	// Folders.
	{
		name:   "new folders, written to at once",
		before: source,
		do: func(b box) {
			b.write("root/new/a/b/c/index.ts", "x")
			b.write("root/new/a/one.ts", "x")
		},
		want:  []string{"root/new/a/b/c/index.ts", "root/new/a/one.ts", "root/new"},
		allow: []string{"root/new/a", "root/new/a/b", "root/new/a/b/c"},
	},
	{
		name:   "removed folder",
		before: source,
		do:     func(b box) { b.remove("root/fn") },
		want:   []string{"root/fn", "root/fn/index.ts"},
	},
	{
		name:   "renamed folder",
		before: func(b box) { b.write("root/fn/lib/index.ts", "one") },
		do:     func(b box) { b.rename("root/fn", "root/fn2") },
		want: []string{
			"root/fn", "root/fn/lib", "root/fn/lib/index.ts",
			"root/fn2", "root/fn2/lib", "root/fn2/lib/index.ts",
		},
	},
	{
		name: "folder swapped for another",
		before: func(b box) {
			source(b)
			b.write("next/index.ts", "two")
		},
		do: func(b box) {
			b.rename("root/fn", "old")
			b.rename("next", "root/fn")
		},
		want: []string{"root/fn", "root/fn/index.ts"},
	},
	{
		name:   "root swapped for another",
		before: func(b box) { source(b); b.write("next/fn/index.ts", "two") },
		do: func(b box) {
			b.rename("root", "old")
			b.rename("next", "root")
		},
		want:  []string{"root/fn/index.ts"},
		allow: []string{"root", "root/fn"},
	},
	{
		name:  "folder above the root swapped for another",
		roots: []string{"app/supabase/functions"},
		before: func(b box) {
			if !watchAncestors {
				b.t.Skip("folders above a root are not watched here")
			}
			b.write("app/supabase/functions/fn/index.ts", "one")
			b.write("next/supabase/functions/fn/index.ts", "two")
		},
		do: func(b box) {
			b.rename("app", "old")
			b.rename("next", "app")
		},
		want:  []string{"app/supabase/functions/fn/index.ts"},
		allow: []string{"app/supabase/functions", "app/supabase/functions/fn"},
	},
	{
		name:   "root that does not exist yet",
		roots:  []string{"deep/down/root"},
		before: func(box) {},
		do:     func(b box) { b.write("deep/down/root/fn/index.ts", "one") },
		want:   []string{"deep/down/root/fn/index.ts"},
		allow:  []string{"deep/down/root", "deep/down/root/fn"},
	},

	// Single files.
	{
		name:   "file as root",
		roots:  []string{"config.toml"},
		before: func(b box) { b.write("config.toml", "a"); b.write("other", "a") },
		do: func(b box) {
			b.write("other", "changed")
			b.write("config.toml", "changed")
		},
		want: []string{"config.toml"},
	},
	{
		name:   "file as root, created later",
		roots:  []string{"conf/.env"},
		before: func(box) {},
		do:     func(b box) { b.write("conf/.env", "A=1") },
		want:   []string{"conf/.env"},
	},
	{
		name:   "file as root, replaced",
		roots:  []string{"config.toml"},
		before: func(b box) { b.write("config.toml", "a") },
		do: func(b box) {
			b.write("config.toml.tmp", "b")
			b.rename("config.toml.tmp", "config.toml")
		},
		want: []string{"config.toml"},
	},

	// Links.
	{
		name: "write below a linked folder",
		before: func(b box) {
			b.mkdir("root")
			b.write("real/index.ts", "one")
			b.link("../real", "root/fn")
		},
		do:   func(b box) { b.write("real/index.ts", "two, longer") },
		want: []string{"root/fn/index.ts"},
	},
	{
		name: "write to a linked file",
		before: func(b box) {
			b.mkdir("root/fn")
			b.write("real/code.ts", "one")
			b.link(b.path("real/code.ts"), "root/fn/index.ts")
		},
		do:   func(b box) { b.write("real/code.ts", "two, longer") },
		want: []string{"root/fn/index.ts"},
	},
	{
		name: "linked file replaced at its target",
		before: func(b box) {
			b.mkdir("root/fn")
			b.write("real/code.ts", "one")
			b.link(b.path("real/code.ts"), "root/fn/index.ts")
		},
		do: func(b box) {
			b.write("real/code.ts.tmp", "two")
			b.rename("real/code.ts.tmp", "real/code.ts")
		},
		want: []string{"root/fn/index.ts"},
	},
	{
		name: "link pointed elsewhere",
		before: func(b box) {
			b.mkdir("root")
			b.write("v1/index.ts", "one")
			b.write("v2/index.ts", "two")
			b.link("../v1", "root/fn")
		},
		do:    func(b box) { b.relink("../v2", "root/fn") },
		want:  []string{"root/fn", "root/fn/index.ts"},
		allow: []string{"root/fn.new", "root/fn.new/index.ts"},
	},
	{
		name: "link in the middle of a chain pointed elsewhere",
		before: func(b box) {
			b.mkdir("root")
			b.write("app/v1/fn/index.ts", "one")
			b.write("app/v2/fn/index.ts", "two")
			b.link("v1", "app/current")
			b.link(b.path("app/current/fn"), "root/fn")
		},
		do:   func(b box) { b.relink("v2", "app/current") },
		want: []string{"root/fn", "root/fn/index.ts"},
	},
	{
		name:  "root below a link that is pointed elsewhere",
		roots: []string{"app/current/functions"},
		before: func(b box) {
			b.write("app/v1/functions/fn/index.ts", "one")
			b.write("app/v2/functions/fn/index.ts", "two")
			b.link("v1", "app/current")
		},
		do:    func(b box) { b.relink("v2", "app/current") },
		want:  []string{"app/current/functions/fn/index.ts"},
		allow: []string{"app/current/functions", "app/current/functions/fn"},
	},
	{
		name:   "dangling link that comes to life",
		before: func(b box) { b.mkdir("root"); b.link("../later/code.ts", "root/index.ts") },
		do:     func(b box) { b.write("later/code.ts", "one") },
		want:   []string{"root/index.ts"},
	},
	{
		name: "link back up",
		before: func(b box) {
			source(b)
			b.link("..", "root/fn/up")
			b.link("self", "root/fn/self")
		},
		do:   func(b box) { b.write("root/fn/index.ts", "two, longer") },
		want: []string{"root/fn/index.ts"},
	},
	{
		name: "mounted ConfigMap",
		before: func(b box) {
			b.write("root/..2026_01_01/index.ts", "one")
			b.link("..2026_01_01", "root/..data")
			b.link("..data/index.ts", "root/index.ts")
		},
		do: func(b box) {
			b.write("root/..2026_01_02/index.ts", "two")
			b.link("..2026_01_02", "root/..data_tmp")
			b.rename("root/..data_tmp", "root/..data")
			b.remove("root/..2026_01_01")
		},
		want: []string{"root/index.ts"},
	},
}

func TestPatterns(t *testing.T) {
	for mode, opts := range modes {
		for _, p := range patterns {
			t.Run(mode+"/"+p.name, func(t *testing.T) {
				t.Parallel()
				b := box{t, tempDir(t)}
				p.before(b)
				if p.roots == nil {
					p.roots = []string{"root"}
				}
				opts := opts
				opts.Roots = absolute(b, p.roots)
				w := start(t, opts)
				p.do(b)
				told := collect(t, w, absolute(b, p.want)...)
				expected := slices.Concat(absolute(b, p.want), absolute(b, p.allow))
				for _, path := range told {
					if !slices.Contains(expected, path) {
						t.Errorf("told %s, which is none of %q", path, p.want)
					}
				}

				// Whatever was replaced, the watcher must be on the new one.
				settle(w)
				again := p.want[len(p.want)-1]
				if _, err := os.Stat(b.path(again)); err != nil {
					return
				}
				if info, _ := os.Stat(b.path(again)); info.IsDir() {
					again = filepath.Join(again, "again.ts")
				}
				b.write(again, "written again")
				collect(t, w, b.path(again))
			})
		}
	}
}

func TestSilence(t *testing.T) {
	for mode, opts := range modes {
		for name, do := range map[string]func(b box){
			"chmod": func(b box) {
				b.must(os.Chmod(b.path("root/fn/index.ts"), 0o600))
				b.must(os.Chmod(b.path("root/fn"), 0o700))
			},
			"swap file":    func(b box) { b.write("root/fn/.index.ts.swp", "x") },
			"git":          func(b box) { b.write("root/.git/HEAD", "x") },
			"node_modules": func(b box) { b.write("root/fn/node_modules/a/index.js", "x") },
			"read":         func(b box) { _, err := os.ReadFile(b.path("root/fn/index.ts")); b.must(err) },
			"beside":       func(b box) { b.write("beside/index.ts", "x") },
		} {
			t.Run(mode+"/"+name, func(t *testing.T) {
				t.Parallel()
				b := box{t, tempDir(t)}
				source(b)
				opts := opts
				opts.Roots = []string{b.path("root")}
				w := start(t, opts)
				do(b)
				silent(t, w)
				b.write("root/fn/index.ts", "two, longer")
				collect(t, w, b.path("root/fn/index.ts"))
			})
		}
	}
}

func TestIgnored(t *testing.T) {
	for name, want := range map[string]bool{
		"index.ts": false, ".env": false, ".npmrc": false, "_shared": false, ".swc": false,
		"49130": false, "tmp": false, "..": false, ".gitignore": false,
		".index.ts.swp": true, ".index.ts.swx": true, "index.ts~": true, "4913": true,
		".#index.ts": true, "index.ts.tmp": true, "index.ts___jb_tmp___": true,
		"node_modules": true, ".git": true, "..data": true,
	} {
		if got := ignored(name); got != want {
			t.Errorf("ignored(%q) = %v, want %v", name, got, want)
		}
	}
}

func absolute(b box, names []string) []string {
	paths := make([]string, len(names))
	for i, n := range names {
		paths[i] = b.path(n)
	}
	return paths
}
