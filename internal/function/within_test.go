package function

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func link(t *testing.T, to, from string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(from), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(to, from); err != nil {
		t.Fatal(err)
	}
}

func TestHolds(t *testing.T) {
	project := tree(t, map[string]string{
		"deno.jsonc":                   "{ /* the packages */ \"workspace\": { \"members\": [\"./packages/*\", \"!packages/private\", \"./supabase/functions/f\", \"supabase/functions/g\", \"./supabase/functions/broken\", \"../outside\",], }, }",
		fns + "f/index.ts":             "",
		fns + "f/deno.json":            `{ "workspace": ["../g", "/etc"] }`,
		fns + "g/index.ts":             "",
		fns + "g/deno.json":            "{}",
		fns + "broken/index.ts":        "",
		fns + "broken/deno.json":       "{}",
		fns + "plain/index.ts":         "",
		fns + "_shared/cors.ts":        "",
		fns + ".env":                   "",
		fns + "loose.ts":               "",
		"packages/lib/deno.json":       "{}",
		"packages/private/deno.json":   "{}",
		"linked/lib/x.ts":              "",
		"real/far/index.ts":            "",
		"npm/package.json":             `{ "workspaces": ["a"] }`,
		"npm/a/package.json":           `{}`,
		"supabase/entry/index.ts":      "",
		"supabase/entry/deno.json":     "{}",
		"supabase/config.toml":         "",
		fns + "single.ts":              "",
		fns + "nested/one/index.ts":    "",
		fns + "nested/one/two/deep.ts": "",
	})
	link(t, filepath.Join(project, "linked"), filepath.Join(project, fns, "_linked"))
	link(t, filepath.Join(project, "real/far"), filepath.Join(project, fns, "far"))
	set := discover(t, project, func(o *Options) {
		no := false
		o.Overrides = map[string]Override{
			"entry":  {Entrypoint: "entry/index.ts"},
			"single": {Entrypoint: "functions/single.ts"},
			"one":    {Entrypoint: "functions/nested/one/index.ts"},
			"broken": {Enabled: &no},
		}
	})
	for slug, paths := range map[string]map[string]bool{
		"f": {
			fns + "f/index.ts": true, fns + "f/deep/er.ts": true, fns + "_shared/cors.ts": true, fns + "_any/x": true,
			"linked/lib/x.ts": true, "packages/lib/mod.ts": true,
			"packages/private/mod.ts": false, "packages/other.ts": false, "deno.jsonc": false,
			fns + "g/index.ts": false, fns + "broken/index.ts": false, fns + ".env": false, fns + "loose.ts": false, fns + "_file": false,
			fns + "f2/x.ts": false, fns + "f.ts": false, "supabase/config.toml": false, "real/far/index.ts": false, "../outside/x": false,
		},
		"plain":  {"packages/lib/mod.ts": false, fns + "plain/x": true, fns + "_shared/x": true}, // it is no member
		"far":    {"real/far/index.ts": true, "real/x": false, fns + "far/x": false},
		"entry":  {"supabase/entry/x": true, "supabase/x": false, fns + "_shared/x": true},
		"one":    {fns + "nested/one/two/deep.ts": true, fns + "nested/x.ts": false},
		"single": {fns + "single.ts": true, fns + "loose.ts": true, fns + "_shared/x": true, fns + ".env": false, fns + ".env.local": false, fns + "g/index.ts": false, fns + "f/.env": false},
	} {
		f, ok := set.Lookup(slug)
		if !ok {
			t.Fatalf("no %s: %v", slug, set.Problems())
		}
		for path, want := range paths {
			if got := f.Holds(filepath.Join(project, path)); got != want {
				t.Errorf("%s holds %s: %v, within %q", slug, path, got, f.Within)
			}
		}
		if f.Holds("/etc/passwd") {
			t.Errorf("%s holds /etc/passwd", slug)
		}
	}
}

func TestWorkspaceOfPackageJSON(t *testing.T) {
	project := tree(t, map[string]string{
		"package.json":          `{ "workspaces": { "packages": ["packages/**", "supabase/functions/f"] } }`,
		fns + "f/index.ts":      "",
		fns + "f/package.json":  "{}",
		"packages/a/b/index.js": "",
	})
	f, _ := discover(t, project, nil).Lookup("f")
	if !f.Holds(filepath.Join(project, "packages/a/b/index.js")) || f.Holds(filepath.Join(project, "other/x.js")) {
		t.Errorf("%q", f.Within)
	}
}

func TestStrays(t *testing.T) {
	for name, file := range map[string]string{"entry": "index.ts", "variables": ".env", "registry": ".npmrc", "imports": "deno.json", "import map": "import_map.json", "package.json": "package.json"} {
		t.Run(name, func(t *testing.T) {
			project := tree(t, map[string]string{fns + "f/index.ts": "", "secret": "A=1", fns + "_shared/s": "{}", fns + "g/index.ts": ""})
			at := filepath.Join(project, fns, "f", file)
			for to, held := range map[string]bool{"secret": true, fns + ".env": true, fns + "_shared/s": false, fns + "f/own": false} {
				os.Remove(at)
				os.WriteFile(filepath.Join(project, fns, ".env"), nil, 0o644)
				os.WriteFile(filepath.Join(project, fns, "f/own"), nil, 0o644)
				link(t, filepath.Join(project, to), at)
				err := discover(t, project, nil).Problems()["f"]
				if (err != nil && strings.Contains(err.Error(), "it is a link")) != held {
					t.Errorf("to %s: %v", to, err)
				}
				if held && (!strings.Contains(err.Error(), fns+"f/"+file+": it is a link to "+to) || !strings.Contains(err.Error(), "_shared")) {
					t.Errorf("%v", err)
				}
			}
		})
	}
}

func TestPlainJSON(t *testing.T) {
	for src, want := range map[string]string{
		`{"a":1}`:                     `{"a":1}`,
		"{// x\n\"a\": [1,2,],}":      `{"a":[1,2]}`,
		`{"a":"// no /* comment,]"}`:  `{"a":"// no /* comment,]"}`,
		`{"a\"//":1/* , " */ , /**/}`: `{"a\"//":1}`,
	} {
		var got, expected any
		if err := json.Unmarshal(plainJSON([]byte(src)), &got); err != nil {
			t.Errorf("%s: %v", src, err)
		}
		_ = json.Unmarshal([]byte(want), &expected)
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(expected)
		if string(a) != string(b) {
			t.Errorf("%s: %s, want %s", src, a, b)
		}
	}
}

func FuzzPlainJSON(f *testing.F) {
	f.Add([]byte(`{"a":"\\", // x` + "\n" + `"b":[/* */1,],}`))
	f.Add([]byte(`"/`))
	f.Add([]byte(`/*`))
	f.Fuzz(func(t *testing.T, src []byte) {
		out := plainJSON(src)
		if len(out) != len(src) {
			t.Errorf("%q becomes %q", src, out)
		}
		if json.Valid(src) && string(out) != string(src) {
			t.Errorf("plain JSON %q becomes %q", src, out)
		}
	})
}
