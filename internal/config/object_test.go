package config

import (
	"errors"
	"maps"
	"strings"
	"testing"
)

func TestFunctionSecrets(t *testing.T) {
	cwd := tree(t, map[string]string{
		"functions/a/index.ts": "", "functions/a/.env": "OWN=own\n",
		"functions/.env": "A=file\nB=file\n",
		"config.toml":    "[functions.a.env]\nC = \"env(ELSEWHERE)\"\nD = \"env(JWT_SECRET)\"\n",
	})
	c := mustResolve(t, cwd, Serve, []string{
		`SELVEDGE_FUNCTION_SECRETS={"A":"one-that-is-long-enough-to-be-masked","OWN":"store","EMPTY":"","SUPABASE_URL":"http://evil","ELSEWHERE":"x"}`,
		`SELVEDGE_KEYS={"JWT_SECRET":"signs"}`,
	})
	set, _, err := c.Discover()
	if err != nil {
		t.Fatal(err)
	}
	a, _ := set.Lookup("a")
	want := map[string]string{"A": "one-that-is-long-enough-to-be-masked", "B": "file", "OWN": "own", "EMPTY": "", "ELSEWHERE": "x", "C": "x", "D": "signs"}
	if !maps.Equal(a.Env, want) {
		t.Errorf("got %v, want %v", a.Env, want)
	}
	if got := a.EnvSource["A"]; got != "SELVEDGE_FUNCTION_SECRETS" {
		t.Errorf("A comes from %q", got)
	}
	if w := set.Warnings(); len(w) != 1 || !strings.HasPrefix(w[0], "SELVEDGE_FUNCTION_SECRETS: SUPABASE_URL skipped") {
		t.Errorf("warnings %q", w)
	}
	// Its names may be shown, and nothing of its values.
	if got := explained(c, "SELVEDGE_FUNCTION_SECRETS"); got != (Setting{"SELVEDGE_FUNCTION_SECRETS", "A, ELSEWHERE, EMPTY, OWN, SUPABASE_URL", "$SELVEDGE_FUNCTION_SECRETS"}) {
		t.Errorf("%+v", got)
	}
}

func TestKeysObject(t *testing.T) {
	cwd := tree(t, map[string]string{"functions/a/index.ts": ""})
	const jwt = "a-jwt-secret-of-more-than-32-characters"
	c := mustResolve(t, cwd, Serve, []string{
		`SELVEDGE_KEYS={"JWT_SECRET":"` + jwt + `","ANON_KEY":"of-the-object","SERVICE_ROLE_KEY":"","SUPABASE_SERVICE_ROLE_KEY":"role",
			"SUPABASE_SECRET_KEYS":"{\"default\":\"sb_secret_x\"}","SUPABASE_DB_URL":"postgresql://x","PATH":"/evil"}`,
		"SUPABASE_ANON_KEY=set-by-itself", "SERVICE_ROLE_KEY=",
	})
	if c.JWTSecret != jwt || c.AnonKey != "set-by-itself" || c.ServiceRoleKey != "role" || c.SecretKeys["default"] != "sb_secret_x" || c.DBURL != "postgresql://x" {
		t.Errorf("%q %q %q %q %q", c.JWTSecret.Reveal(), c.AnonKey.Reveal(), c.ServiceRoleKey.Reveal(), c.SecretKeys["default"].Reveal(), c.DBURL.Reveal())
	}
	for name, source := range map[string]string{
		"JWT_SECRET": "$SELVEDGE_KEYS", "ANON_KEY": "$SUPABASE_ANON_KEY", "SERVICE_ROLE_KEY": "$SELVEDGE_KEYS", "SUPABASE_JWKS": "default", "SELVEDGE_KEYS": "$SELVEDGE_KEYS",
	} {
		if got := explained(c, name); got.Source != source {
			t.Errorf("%s is from %s, want %s", name, got.Source, source)
		}
	}
	if got := explained(c, "SELVEDGE_KEYS").Value; got != "ANON_KEY, JWT_SECRET, SERVICE_ROLE_KEY, SUPABASE_DB_URL, SUPABASE_SECRET_KEYS, SUPABASE_SERVICE_ROLE_KEY" {
		t.Errorf("SELVEDGE_KEYS is shown as %q", got)
	}
	if w := c.Warnings(); len(w) != 1 || !strings.Contains(w[0], `SELVEDGE_KEYS: "PATH" has no effect; it may hold JWT_SECRET, ANON_KEY,`) {
		t.Errorf("warnings %q", w)
	}
	for _, kv := range PlatformEnv(c, Worker{Project: "p", Slug: "a", Version: "1"}) {
		if strings.Contains(kv, jwt) || strings.HasPrefix(kv, "SELVEDGE_") {
			t.Errorf("a function gets %s", kv)
		}
	}
}

// TestBadObjects checks that each is refused with the variable's name and the
// place, and with no value.
func TestBadObjects(t *testing.T) {
	cwd := tree(t, map[string]string{"functions/a/index.ts": ""})
	for name, tt := range map[string]struct{ value, want string }{
		"cut short":      {`{"A":"sesame`, "no valid JSON at line 1, column 12"},
		"a comma":        {"{\n \"A\":\"sesame\",\n}", "no valid JSON at line 3, column 1"},
		"a bare word":    {`{"A":sesame}`, "no valid JSON at line 1, column 6"},
		"more after it":  {`{"A":"sesame"}sesame`, "no valid JSON at line 1, column 15"},
		"a list":         {`["sesame"]`, "it is no JSON object"},
		"a text":         {`"sesame"`, "it is no JSON object"},
		"null":           {`null`, "it is no JSON object"},
		"a number in it": {`{"A":"sesame","B":1234}`, `what "B" has is no string`},
		"null in it":     {`{"A":null}`, `what "A" has is no string`},
		"an object":      {`{"A":{"sesame":"sesame"}}`, `what "A" has is no string`},
		"NUL":            {`{"A":"sesame\u0000"}`, `what "A" has holds a NUL`},
	} {
		for _, variable := range []string{"SELVEDGE_FUNCTION_SECRETS", "SELVEDGE_KEYS"} {
			t.Run(name+" "+variable, func(t *testing.T) {
				_, err := Resolve(nil, []string{variable + "=" + tt.value}, cwd, Serve)
				var bad *ValueError
				if !errors.As(err, &bad) || bad.Source != variable || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "use a JSON object of strings") {
					t.Errorf("got %v, want %q in it", err, tt.want)
				}
				if strings.Contains(err.Error(), "sesame") || strings.Contains(err.Error(), "1234") {
					t.Errorf("a value is shown: %v", err)
				}
			})
		}
	}
	for _, tt := range []struct{ entry, want string }{
		{`SELVEDGE_FUNCTION_SECRETS={"A B":"sesame"}`, `"A B" cannot name a variable`},
		{`SELVEDGE_KEYS={"SUPABASE_JWKS":"sesame"}`, "SUPABASE_JWKS in SELVEDGE_KEYS="},
	} {
		_, err := Resolve(nil, []string{tt.entry}, cwd, Serve)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "sesame") {
			t.Errorf("got %v, want %q in it", err, tt.want)
		}
	}
}

// FuzzObject checks that any text is either refused or gives values that a
// variable can hold.
func FuzzObject(f *testing.F) {
	for _, seed := range []string{`{"A":"b"}`, `{`, `{"A":1}`, "{\"A\"\n:\"\xff\"}", `[{}]`, `{"A":"\ud800"}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		object, err := parseObject(value)
		if (object == nil) == (err == nil) {
			t.Errorf("%v, %v", object, err)
		}
		for name, text := range object {
			if strings.ContainsRune(text, 0) {
				t.Errorf("%q has a NUL", name)
			}
		}
	})
}
