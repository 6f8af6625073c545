package function

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// tree writes files (path → content) below a new folder and returns it.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func discover(t testing.TB, project string, change func(*Options)) *Set {
	t.Helper()
	opts := Options{Root: filepath.Join(project, "supabase/functions"), Base: filepath.Join(project, "supabase")}
	if change != nil {
		change(&opts)
	}
	set, err := Discover(opts)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func slugs(set *Set) []string {
	var list []string
	for _, f := range set.Functions() {
		list = append(list, f.Slug)
	}
	return list
}

func ptr[T any](v T) *T { return &v }

const fns = "supabase/functions/"

func TestDiscoverFindsFunctions(t *testing.T) {
	project := tree(t, map[string]string{
		fns + "b/index.ts":             "",
		fns + "b/index.js":             "",
		fns + "a/index.jsx":            "",
		fns + "c-3_x/index.mjs":        "",
		fns + "off/index.ts":           "",
		fns + "_shared/index.ts":       "",
		fns + ".git/index.ts":          "",
		fns + "node_modules/index.ts":  "",
		fns + "main/index.ts":          "",
		fns + "docs/readme.md":         "",
		fns + "folder/index.ts/x":      "",
		fns + "elsewhere/src/main.ts":  "",
		fns + "almost/main.ts":         "",
		fns + "index.ts":               "",
		"packages/linked/index.ts":     "",
		"packages/outside/handler.tsx": "",
	})
	if err := os.Symlink(filepath.Join(project, "packages/linked"), filepath.Join(project, fns, "linked")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(project, fns, "broken")); err != nil {
		t.Fatal(err)
	}
	set := discover(t, project, func(o *Options) {
		o.Overrides = map[string]Override{
			"off":       {Enabled: ptr(false)},
			"gone":      {Enabled: ptr(false)},
			"elsewhere": {Entrypoint: "./functions/elsewhere/src/main.ts", VerifyJWT: ptr(false)},
			"outside":   {Entrypoint: "../packages/outside/handler.tsx"},
		}
	})
	if got, want := slugs(set), []string{"a", "b", "c-3_x", "elsewhere", "linked", "outside"}; !slices.Equal(got, want) {
		t.Errorf("functions = %v, want %v", got, want)
	}
	if got, want := set.Disabled(), []string{"gone", "off"}; !slices.Equal(got, want) {
		t.Errorf("disabled = %v, want %v", got, want)
	}
	if p := set.Problems(); len(p) != 0 {
		t.Errorf("problems = %v", p)
	}
	warnings := strings.Join(set.Warnings(), "\n")
	for _, want := range []string{"functions/main is Supabase's router", "functions/broken is a symbolic link", "functions/almost holds main.ts"} {
		if strings.Count(warnings, want) != 1 {
			t.Errorf("warnings do not say once %q:\n%s", want, warnings)
		}
	}
	if len(set.Warnings()) != 3 {
		t.Errorf("warnings:\n%s", warnings)
	}

	for _, tt := range []struct{ slug, dir, real, entry string }{
		{"b", fns + "b", fns + "b", fns + "b/index.ts"},
		{"linked", fns + "linked", "packages/linked", fns + "linked/index.ts"},
		{"elsewhere", fns + "elsewhere", fns + "elsewhere", fns + "elsewhere/src/main.ts"},
		{"outside", "packages/outside", "packages/outside", "packages/outside/handler.tsx"},
	} {
		f, ok := set.Lookup(tt.slug)
		if !ok {
			t.Errorf("%s is not found", tt.slug)
			continue
		}
		got := []string{f.Dir, f.RealDir, f.Entrypoint, f.Root}
		want := []string{filepath.Join(project, tt.dir), filepath.Join(project, tt.real), filepath.Join(project, tt.entry), filepath.Join(project, fns)}
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n got %v\nwant %v", tt.slug, got, want)
		}
		if want := tt.slug != "elsewhere"; f.VerifyJWT != want {
			t.Errorf("%s: VerifyJWT = %v", tt.slug, f.VerifyJWT)
		}
		if f.Policy != PerWorker || f.Limits != Defaults() {
			t.Errorf("%s: %v, %+v", tt.slug, f.Policy, f.Limits)
		}
	}
}

func TestDiscoverMainWhenDeclared(t *testing.T) {
	project := tree(t, map[string]string{fns + "main/index.ts": ""})
	set := discover(t, project, func(o *Options) { o.Overrides = map[string]Override{"main": {}} })
	if !slices.Equal(slugs(set), []string{"main"}) || len(set.Warnings()) != 0 {
		t.Errorf("%v, %v", slugs(set), set.Warnings())
	}
}

func TestDiscoverKeepsProblemsApart(t *testing.T) {
	project := tree(t, map[string]string{
		fns + "good/index.ts":   "",
		fns + "health/index.ts": "",
		fns + "1st/index.ts":    "",
		fns + "a b/index.js":    "",
		fns + "empty/x.ts":      "",
		fns + "badenv/index.ts": "",
		fns + "badenv/.env":     "A=1\nB='open\n",
		fns + "glob/index.ts":   "",
		fns + "policy/index.ts": "",
		fns + "isdir/x/y":       "",
	})
	set := discover(t, project, func(o *Options) {
		o.Overrides = map[string]Override{
			"empty":     {File: "supabase/config.toml", Lines: map[string]int{"": 3}},
			"undefined": {File: "supabase/config.toml", Lines: map[string]int{"": 7}},
			"missing":   {Entrypoint: "functions/missing.ts", File: "supabase/config.toml", Lines: map[string]int{"": 9, "entrypoint": 10}},
			"isdir":     {Entrypoint: "functions/isdir/x"},
			"glob":      {StaticFiles: []string{"a/[b"}},
			"policy":    {Policy: "sometimes"},
			"_internal": {Entrypoint: "functions/good/index.ts"},
		}
	})
	if got := slugs(set); !slices.Equal(got, []string{"good"}) {
		t.Errorf("functions = %v", got)
	}
	want := map[string]string{
		"health":    "supabase/functions/health: the name health is reserved",
		"1st":       `supabase/functions/1st: "1st" is no valid name`,
		"a b":       `"a b" is no valid name`,
		"empty":     "set entrypoint in [functions.empty] (supabase/config.toml:3)",
		"undefined": "supabase/config.toml:7: it is declared, but there is no supabase/functions/undefined/index.ts",
		"missing":   "supabase/config.toml:10: the entrypoint supabase/functions/missing.ts cannot be run: no such file",
		"isdir":     "it is a folder",
		"badenv":    "supabase/functions/badenv/.env:2: a quoted value never ends",
		"glob":      `the static_files pattern "a/[b" is malformed`,
		"policy":    `the policy "sometimes" is not known`,
		"_internal": "the name _internal is reserved",
	}
	for slug, text := range want {
		err := set.Problem(slug)
		var p *Problem
		if !errors.As(err, &p) || !strings.Contains(err.Error(), text) || !strings.HasPrefix(err.Error(), "function "+slug+": ") {
			t.Errorf("%s: %v\nwant %q in it", slug, err, text)
		}
		if err != nil && strings.Contains(err.Error(), project) {
			t.Errorf("%s: the message names the absolute folder: %v", slug, err)
		}
	}
	if got := set.Problems(); len(got) != len(want) {
		t.Errorf("problems of %v, want of %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

func TestDiscoverUnreadableFolder(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("the superuser reads everything")
	}
	project := tree(t, map[string]string{fns + "locked/index.ts": "", fns + "good/index.ts": ""})
	locked := filepath.Join(project, fns, "locked")
	if err := os.Chmod(locked, 0); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(locked, 0o755)
	set := discover(t, project, nil)
	if err := set.Problem("locked"); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("problem = %v", err)
	}
}

func TestDiscoverLimitsAndPolicy(t *testing.T) {
	project := tree(t, map[string]string{fns + "a/index.ts": "", fns + "b/index.ts": ""})
	set := discover(t, project, func(o *Options) {
		o.EdgeRuntime = EdgeRuntime{Policy: OneShot, Limits: Limits{MemoryMB: 512, WallClock: time.Minute}}
		o.Overrides = map[string]Override{"b": {Policy: PerRequest, Limits: Limits{MemoryMB: 64}}}
	})
	a, _ := set.Lookup("a")
	b, _ := set.Lookup("b")
	want := Defaults()
	want.MemoryMB, want.WallClock = 512, time.Minute
	if a.Limits != want || a.Policy != OneShot {
		t.Errorf("a: %v %+v", a.Policy, a.Limits)
	}
	want.MemoryMB = 64
	if b.Limits != want || b.Policy != PerRequest {
		t.Errorf("b: %v %+v", b.Policy, b.Limits)
	}
}

func TestDiscoverFails(t *testing.T) {
	project := tree(t, map[string]string{
		fns + "a/index.ts": "",
		fns + ".env":       "FINE=1\nNOT FINE\n",
		"file":             "",
	})
	for name, tt := range map[string]struct {
		opts Options
		want string
	}{
		"relative": {Options{Root: "functions"}, "no absolute path"},
		"missing":  {Options{Root: filepath.Join(project, "none")}, "selvedge new hello"},
		"file":     {Options{Root: filepath.Join(project, "file")}, "is a file"},
		"env":      {Options{Root: filepath.Join(project, fns)}, "supabase/functions/.env:2: the line has no ="},
		"env file": {Options{Root: filepath.Join(project, fns), EnvFile: filepath.Join(project, "x.env")}, "read variables from x.env: no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Discover(tt.opts)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}

// manyFunctions writes a project of n functions with the files that a busy one has.
func manyFunctions(t testing.TB, n int) string {
	files := map[string]string{fns + ".env": "SHARED=1\n", fns + "_shared/cors.ts": "", ".npmrc": ""}
	for i := range n {
		dir := fmt.Sprintf("%sfn-%04d/", fns, i)
		files[dir+"index.ts"] = "Deno.serve(() => new Response())"
		files[dir+"deno.json"] = "{}"
		files[dir+".env"] = "OWN=1\n"
		files[dir+"util.ts"] = ""
	}
	return tree(t, files)
}

func TestDiscoverThousandFunctions(t *testing.T) {
	project := manyFunctions(t, 1000)
	start := time.Now()
	set := discover(t, project, nil)
	took := time.Since(start)
	if set.Len() != 1000 || len(set.Problems()) != 0 {
		t.Errorf("%d functions, problems %v", set.Len(), set.Problems())
	}
	// The budget is 300 ms; the test allows for a loaded machine and -race.
	if took > 2*time.Second {
		t.Errorf("discovery of 1000 functions took %s", took)
	}
}

func BenchmarkDiscover1000(b *testing.B) {
	project := manyFunctions(b, 1000)
	for b.Loop() {
		discover(b, project, nil)
	}
}

func TestSetIsImmutable(t *testing.T) {
	set := NewSet(&Function{Slug: "b"}, &Function{Slug: "a"}, &Function{Slug: "a", Dir: "later"})
	if !slices.Equal(slugs(set), []string{"a", "b"}) || set.Functions()[0].Dir != "later" {
		t.Errorf("functions = %v", slugs(set))
	}
	set.Functions()[0] = nil
	if set.Functions()[0] == nil {
		t.Error("a caller changed the set")
	}
	if set.Problem("x") != nil || len(set.Warnings())+len(set.Disabled()) != 0 {
		t.Error("a fresh set has no problems")
	}
}

func TestOverlay(t *testing.T) {
	var over Limits
	v := reflect.ValueOf(&over).Elem()
	for i := range v.NumField() {
		if v.Field(i).Kind() == reflect.Int || v.Field(i).Kind() == reflect.Int64 {
			v.Field(i).SetInt(int64(7000 + i))
		}
	}
	over.Rate = Rate{Requests: 7, Per: time.Second, Burst: 7}
	if got := Defaults().Overlay(over); got != over || reflect.ValueOf(got).IsZero() {
		t.Errorf("a field is not laid over: %+v", got)
	}
	if got := Defaults().Overlay(Limits{}); got != Defaults() {
		t.Errorf("a zero field changed the default: %+v", got)
	}
}

func TestValidSlug(t *testing.T) {
	for slug, want := range map[string]bool{
		"a": true, "A": true, "hello-world": true, "x_1": true, "health": true,
		"": false, "1a": false, "-a": false, "_a": false, "a.b": false, "a/b": false, "a\n": false, "é": false, "a b": false,
	} {
		if got := ValidSlug(slug); got != want {
			t.Errorf("ValidSlug(%q) = %v", slug, got)
		}
	}
}

// FuzzSlug checks that a valid slug is safe wherever one is used: as a path
// segment, as a folder's name and in a variable.
func FuzzSlug(f *testing.F) {
	for _, seed := range []string{"hello", "a-b_c9", "../x", "a\x00", "a\n", "%2e", "é", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, slug string) {
		if !ValidSlug(slug) {
			return
		}
		if slug == "" || strings.ContainsAny(slug, "./\\%?#:=\x00\n\r \t\"'") || filepath.Base(slug) != slug {
			t.Errorf("%q is taken for a slug", slug)
		}
	})
}
