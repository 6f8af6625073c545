package e2e

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// TestSecretsOfAStore starts a server as a container with a secret store does:
// all secrets in two variables.
func TestSecretsOfAStore(t *testing.T) {
	const secret = "open-sesame-of-the-function"
	keys := keysOf(t)
	object, _ := json.Marshal(keys)
	dir := project(t, map[string]string{
		"functions/env/index.ts": `Deno.serve(() => Response.json(Deno.env.toObject()));`,
		"functions/.env":         "A=file\nB=file\n",
	})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions"), Env: []string{
		"REQUIRE_AUTH=true", "SELVEDGE_KEYS=" + string(object), `SELVEDGE_FUNCTION_SECRETS={"A":"` + secret + `","SUPABASE_URL":"http://evil"}`,
	}})
	if a := s.call("GET", "/env", ""); a.status != 401 {
		t.Errorf("without a key: %d %s", a.status, a.body)
	}
	a := s.call("GET", "/env", "", "Authorization", "Bearer "+keys["ANON_KEY"])
	var env map[string]string
	if err := json.Unmarshal([]byte(a.body), &env); err != nil {
		t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
	if env["A"] != secret || env["B"] != "file" || env["SUPABASE_ANON_KEY"] != keys["ANON_KEY"] || env["SUPABASE_URL"] != "" {
		t.Errorf("the function has %v", env)
	}
	for name, value := range env {
		if strings.HasPrefix(name, "SELVEDGE_") || strings.Contains(value, keys["JWT_SECRET"]) {
			t.Errorf("the function has %s=%s", name, value)
		}
	}
	if errs := s.Err.String(); !strings.Contains(errs, "SELVEDGE_FUNCTION_SECRETS: SUPABASE_URL skipped") || strings.Contains(errs, "evil") {
		t.Errorf("stderr: %s", errs)
	}
	for _, said := range []string{s.Err.String(), s.Out.String()} {
		if strings.Contains(said, secret) || strings.Contains(said, keys["JWT_SECRET"]) {
			t.Errorf("a secret was printed: %s", said)
		}
	}
}
