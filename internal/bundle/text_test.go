package bundle

import (
	"strings"
	"testing"
)

func TestBlankTypeOnly(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]string{
		`import "jsr:@supabase/functions-js@2/edge-runtime.d.ts";x`:      "x",
		"a;import\n'npm:@supabase/functions-js/edge-runtime.d.ts'\n;\nb": "a;\n\n\nb",
		`import x from "jsr:@supabase/functions-js";`:                    `import x from "jsr:@supabase/functions-js";`,
		`import "./edge-runtime.d.ts";`:                                  `import "./edge-runtime.d.ts";`,
		`import "jsr:@other/functions-js/edge-runtime.d.ts";`:            `import "jsr:@other/functions-js/edge-runtime.d.ts";`,
		"no import at all": "no import at all",
	} {
		got := string(blankTypeOnly([]byte(src)))
		if len(got) != len(src) || strings.Count(got, "\n") != strings.Count(src, "\n") || strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(want, " ", "") {
			t.Errorf("%q becomes %q", src, got)
		}
	}
}

func FuzzBlankTypeOnly(f *testing.F) {
	f.Add([]byte(`import "jsr:@supabase/functions-js/edge-runtime.d.ts";`))
	f.Add([]byte("import\n\n'https://esm.sh/v1/@supabase/functions-js@2/src/edge-runtime.d.ts'\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		got := answerMetaMain(blankTypeOnly(src))
		if len(got) != len(src) || strings.Count(string(got), "\n") != strings.Count(string(src), "\n") {
			t.Errorf("%q becomes %q", src, got)
		}
	})
}

func TestRestoreColumns(t *testing.T) {
	t.Parallel()
	const was = `var u=(r,e,t)=>(t=r!=null?l(h(r)):{},v(e||!r||!r.__esModule?s(t,"default",{value:r,enumerable:!0}):t,r));after()`
	for _, shortened := range []string{
		`var u=(r,e,t)=>(t=r!=null?l(h(r)):{},v(1 ?s(t,"default",{value:r,enumerable:!0}):t,r));after()`,
	} {
		got := string(restoreColumns([]byte(shortened)))
		if strings.Index(got, "after()") != strings.Index(was, "after()") || strings.Join(strings.Fields(got), "") != strings.Join(strings.Fields(shortened), "") {
			t.Errorf("%q", got)
		}
	}
	for _, other := range []string{"", was, `f(1 ?2:3)`} {
		if got := string(restoreColumns([]byte(other))); got != other {
			t.Errorf("%q becomes %q", other, got)
		}
	}
}

func TestProvideRequire(t *testing.T) {
	t.Parallel()
	const plain = "x()\n//# sourceMappingURL=index.js.map\n"
	if got := string(provideRequire([]byte(plain))); got != plain {
		t.Errorf("%q", got)
	}
	got := string(provideRequire([]byte(`throw Error('Dynamic require of "x"')` + "\n//# sourceMappingURL=index.js.map\n")))
	if !strings.HasPrefix(got, "throw Error") || !strings.HasSuffix(got, "}\n//# sourceMappingURL=index.js.map\n") {
		t.Errorf("%q", got)
	}
}

func TestRegistriesHaveNoCredentials(t *testing.T) {
	t.Parallel()
	p := newProject(t, files{
		"functions/fn/index.ts": "",
		".npmrc":                "; a comment\nregistry = https://user:pass@one.example/npm/\n@acme:registry=https://${HOST}/\n//one.example/:_authToken=secret\n_auth=c2VjcmV0\nalways-auth=true\n",
		"home/.npmrc":           "@other:registry=\"https://three.example\"\n//three.example/:_password=secret\n",
	})
	b := &Builder{opts: Options{Environ: []string{"HOME=" + p.path("home"), "HOST=two.example", "npm_config_registry=https://zero.example/"}}}
	got, err := b.registries(p.function(t, "fn"))
	want := "registry=https://zero.example/\n@other:registry=https://three.example\nregistry=https://one.example/npm/\n@acme:registry=https://two.example/\n"
	if err != nil || got != want {
		t.Errorf("%q %v", got, err)
	}
}
