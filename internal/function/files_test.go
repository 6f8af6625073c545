package function

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestImportsOrder(t *testing.T) {
	const fn = fns + "f/"
	// From the last to look at to the first: each line adds a file that beats
	// the ones before.
	steps := []struct{ add, want string }{
		{"", ""},
		{fn + "package.json", fn + "package.json"},
		{fns + "import_map.json", fns + "import_map.json"},
		{fn + "import_map.json", fn + "import_map.json"},
		{fn + "deno.jsonc", fn + "deno.jsonc"},
		{fn + "deno.json", fn + "deno.json"},
		{"supabase/maps/custom.json", "supabase/maps/custom.json"},
	}
	files := map[string]string{fn + "index.ts": ""}
	for _, step := range steps {
		if step.add != "" {
			files[step.add] = "{}"
		}
		project := tree(t, files)
		set := discover(t, project, func(o *Options) {
			if strings.Contains(step.add, "custom") {
				o.Overrides = map[string]Override{"f": {ImportMap: "./maps/custom.json"}}
			}
		})
		f, _ := set.Lookup("f")
		want := ""
		if step.want != "" {
			want = filepath.Join(project, step.want)
		}
		if got := f.Imports.File(); got != want {
			t.Errorf("with %s: %q, want %q", step.add, got, want)
		}
	}
}

func TestImportsKind(t *testing.T) {
	project := tree(t, map[string]string{
		fns + "a/index.ts":       "",
		"supabase/deno.json":     "{}",
		"supabase/package.json":  "{}",
		fns + "deep/src/main.ts": "",
		fns + "deep/deno.json":   "{}",
	})
	for _, tt := range []struct {
		importMap string
		want      Imports
		warning   string
	}{
		{"deno.json", Imports{DenoConfig: filepath.Join(project, "supabase/deno.json")}, ""},
		{"package.json", Imports{PackageJSON: filepath.Join(project, "supabase/package.json")}, ""},
		{"nowhere.json", Imports{}, "supabase/config.toml:4: the import_map supabase/nowhere.json of function a is not there"},
	} {
		set := discover(t, project, func(o *Options) {
			o.Overrides = map[string]Override{
				"a":    {ImportMap: tt.importMap, File: "supabase/config.toml", Lines: map[string]int{"import_map": 4}},
				"deep": {Entrypoint: "functions/deep/src/main.ts"},
			}
		})
		f, _ := set.Lookup("a")
		if f.Imports != tt.want {
			t.Errorf("%s: %+v", tt.importMap, f.Imports)
		}
		if got := strings.Join(set.Warnings(), "\n"); (tt.warning == "") != (got == "") || !strings.Contains(got, tt.warning) {
			t.Errorf("%s: warnings %q", tt.importMap, got)
		}
		deep, _ := set.Lookup("deep")
		if deep.Imports.DenoConfig != filepath.Join(project, fns, "deep/deno.json") {
			t.Errorf("deep: %+v", deep.Imports)
		}
	}
}

func TestNPMRC(t *testing.T) {
	for name, tt := range map[string]struct{ files, want []string }{
		"none":        {nil, []string{"", ""}},
		"own":         {[]string{fns + "a/.npmrc", ".npmrc"}, []string{fns + "a/.npmrc", ".npmrc"}},
		"functions":   {[]string{fns + ".npmrc", ".npmrc"}, []string{fns + ".npmrc", fns + ".npmrc"}},
		"base folder": {[]string{"supabase/.npmrc"}, []string{"supabase/.npmrc", "supabase/.npmrc"}},
		"project":     {[]string{".npmrc"}, []string{".npmrc", ".npmrc"}},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{fns + "a/index.ts": "", fns + "b/index.ts": ""}
			for _, file := range tt.files {
				files[file] = ""
			}
			project := tree(t, files)
			set := discover(t, project, nil)
			for i, f := range set.Functions() {
				want := tt.want[i]
				if want != "" {
					want = filepath.Join(project, want)
				}
				if f.NPMRC != want {
					t.Errorf("%s: %q, want %q", f.Slug, f.NPMRC, want)
				}
			}
		})
	}
}

func TestNPMRCStopsAtTheProject(t *testing.T) {
	outer := tree(t, map[string]string{".npmrc": "", "p/supabase/functions/a/index.ts": "", "pkg/b/index.ts": "", "pkg/.npmrc": ""})
	set := discover(t, filepath.Join(outer, "p"), func(o *Options) {
		o.Overrides = map[string]Override{"b": {Entrypoint: "../../pkg/b/index.ts"}}
	})
	for _, f := range set.Functions() {
		if f.NPMRC != "" {
			t.Errorf("%s: %q from outside the project", f.Slug, f.NPMRC)
		}
	}
}

func TestStaticFiles(t *testing.T) {
	project := tree(t, map[string]string{
		fns + "f/index.ts":       "",
		fns + "f/a.html":         "",
		fns + "f/x/y/b.html":     "",
		fns + "f/x/y/c.css":      "",
		fns + "_[odd] dir/d.txt": "",
		"shared/e.wasm":          "",
		fns + "g/index.ts":       "",
		fns + ".env":             "",
	})
	for name, tt := range map[string]struct {
		patterns, want []string
		warning        string
	}{
		"one folder": {[]string{"./functions/f/*.html"}, []string{fns + "f/a.html"}, ""},
		"any depth":  {[]string{"./functions/f/**/*.html"}, []string{fns + "f/a.html", fns + "f/x/y/b.html"}, ""},
		"no folders": {[]string{"functions/f/x/**"}, []string{fns + "f/x/y/b.html", fns + "f/x/y/c.css"}, ""},
		"twice":      {[]string{"functions/f/*.html", "./functions/f/a.html"}, []string{fns + "f/a.html"}, ""},
		"braces":     {[]string{"functions/f/x/y/*.{css,html}"}, []string{fns + "f/x/y/b.html", fns + "f/x/y/c.css"}, ""},
		"from above": {[]string{"../supabase/functions/f/*.html"}, []string{fns + "f/a.html"}, ""},
		"escaped":    {[]string{`functions/_\[odd\] dir/*.txt`}, []string{fns + "_[odd] dir/d.txt"}, ""},
		"absolute":   {[]string{filepath.Join(project, fns, "f") + "/*.html"}, []string{fns + "f/a.html"}, ""},
		"nothing":    {[]string{"nope/*"}, nil, `the static_files pattern "nope/*" matches no file`},
	} {
		t.Run(name, func(t *testing.T) {
			set := discover(t, project, func(o *Options) {
				o.Overrides = map[string]Override{"f": {StaticFiles: tt.patterns}}
			})
			f, ok := set.Lookup("f")
			if !ok {
				t.Fatal(set.Problems())
			}
			var want []string
			for _, file := range tt.want {
				want = append(want, filepath.Join(project, file))
			}
			if !slices.Equal(f.Static, want) {
				t.Errorf("got %v\nwant %v", f.Static, want)
			}
			if got := strings.Join(set.Warnings(), "\n"); !strings.Contains(got, tt.warning) || tt.warning == "" && got != "" {
				t.Errorf("warnings %q", got)
			}
		})
	}
}

func TestStaticFilesOutside(t *testing.T) {
	project := tree(t, map[string]string{fns + "f/index.ts": "", "shared/e.wasm": "", fns + "g/index.ts": "", fns + ".env": "", fns + "x.txt": ""})
	link(t, filepath.Join(project, "shared"), filepath.Join(project, fns, "f/link"))
	for pattern, name := range map[string]string{
		"../shared/*.wasm":      "shared/e.wasm",
		"functions/g/*":         fns + "g/index.ts",
		"functions/.env":        fns + ".env",
		"functions/*.txt":       fns + "x.txt",
		"functions/f/link/*":    fns + "f/link/e.wasm (a link to shared/e.wasm)",
		project + "/shared/*":   "shared/e.wasm",
		"functions/f/../g/*.ts": fns + "g/index.ts",
	} {
		set := discover(t, project, func(o *Options) {
			o.Overrides = map[string]Override{"f": {StaticFiles: []string{pattern}, Lines: map[string]int{"static_files": 7}}}
		})
		err := set.Problems()["f"]
		want := "function f: config.toml:7: static_files names " + name + ", which is no part of the function; move the file into the function's folder or to _shared"
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v\nwant %s", pattern, err, want)
		}
	}
}

func TestStaticFilesBelowAnOddFolder(t *testing.T) {
	outer := tree(t, map[string]string{"a[b]*/supabase/functions/f/index.ts": "", "a[b]*/supabase/functions/f/x.txt": ""})
	set := discover(t, filepath.Join(outer, "a[b]*"), func(o *Options) {
		o.Overrides = map[string]Override{"f": {StaticFiles: []string{"functions/f/*.txt"}}}
	})
	if f, _ := set.Lookup("f"); len(f.Static) != 1 {
		t.Errorf("static = %v, %v", f.Static, set.Warnings())
	}
}
