package e2e

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// keysOf reads the output of `selvedge keys`.
func keysOf(t *testing.T) map[string]string {
	t.Helper()
	out, errs, code := runIn(t, "", "keys", "--json")
	keys := map[string]string{}
	if err := json.Unmarshal([]byte(out), &keys); err != nil || code != 0 {
		t.Fatalf("keys: %v, exit code %d: %s %s", err, code, out, errs)
	}
	return keys
}

func TestServeChecksCallers(t *testing.T) {
	keys := keysOf(t)
	dir := project(t, map[string]string{
		"functions/closed/index.ts": `Deno.serve((r) => new Response("in " + r.method));`,
		"functions/open/index.ts":   `Deno.serve(() => new Response("open"));`,
		"config.toml":               "[functions.open]\nverify_jwt = false\n",
	})
	var env []string
	for name, value := range keys {
		env = append(env, name+"="+value)
	}
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions"), Env: append(env, "REQUIRE_AUTH=true")})
	publishable := regexp.MustCompile(`sb_publishable_[^"]+`).FindString(keys["SUPABASE_PUBLISHABLE_KEYS"])
	for _, c := range []struct {
		name, method, path string
		headers            []string
		status             int
		body, code         string
	}{
		{"nothing sent", "GET", "/closed", nil, 401, "", "UNAUTHORIZED_NO_AUTH_HEADER"},
		{"no token", "GET", "/closed", []string{"Authorization", "Bearer nonsense"}, 401, "", "UNAUTHORIZED_INVALID_JWT_FORMAT"},
		{"another secret's token", "GET", "/closed", []string{"Authorization", "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJzdXBhYmFzZS1kZW1vIiwicm9sZSI6ImFub24iLCJleHAiOjE5ODM4MTI5OTZ9.CRXP1A7WOeoJeXxjNni43kdQwgnWNReilDMblYTn_I0"}, 401, "", "UNAUTHORIZED_LEGACY_JWT"},
		{"anon key", "GET", "/closed", []string{"Authorization", "Bearer " + keys["ANON_KEY"]}, 200, "in GET", ""},
		{"anon key as apikey", "POST", "/functions/v1/closed", []string{"apikey", keys["ANON_KEY"]}, 200, "in POST", ""},
		{"publishable key only", "GET", "/closed", []string{"apikey", publishable}, 200, "in GET", ""},
		{"a made-up publishable key", "GET", "/closed", []string{"apikey", publishable + "x"}, 401, "", "UNAUTHORIZED_INVALID_JWT_FORMAT"},
		{"preflight", "OPTIONS", "/closed", nil, 200, "in OPTIONS", ""},
		{"verify_jwt = false", "GET", "/open", nil, 200, "open", ""},
		{"unknown function", "GET", "/nope", nil, 404, "", "NOT_FOUND"},
		{"health", "GET", "/health", nil, 200, "", ""},
	} {
		a := s.call(c.method, c.path, "", c.headers...)
		if a.status != c.status || c.body != "" && a.body != c.body || a.header.Get("sb-error-code") != c.code {
			t.Errorf("%s: got %d %q %q, want %d %q %q", c.name, a.status, a.body, a.header.Get("sb-error-code"), c.status, c.body, c.code)
		}
		if c.status == 401 && (a.header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(a.body, `"msg"`)) {
			t.Errorf("%s: a browser cannot read it: %v %s", c.name, a.header, a.body)
		}
	}
}

func TestServeNeedsKeys(t *testing.T) {
	dir := project(t, map[string]string{"functions/a/index.ts": `Deno.serve(() => new Response("a"));`})
	_, errs, code := runIn(t, "", "serve", "--functions", filepath.Join(dir, "functions"), "--listen", "127.0.0.1:0")
	if code != 2 || !strings.Contains(errs, "JWT_SECRET") || !strings.Contains(errs, "selvedge keys") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

func TestDevWithoutKeysTakesTheLocalOnes(t *testing.T) {
	dir := project(t, map[string]string{"functions/a/index.ts": `Deno.serve(() => new Response(Deno.env.get("SUPABASE_ANON_KEY")));`})
	s := start(t, options{Functions: filepath.Join(dir, "functions"), Env: []string{"REQUIRE_AUTH=true"}})
	if a := s.call("GET", "/a", ""); a.status != 401 {
		t.Errorf("without a key: %d %s", a.status, a.body)
	}
	var line []string
	eventually(t, 10*time.Second, "there is a ready curl line", func() bool {
		line = regexp.MustCompile(`curl \S+/a -H 'apikey: (\S+)'`).FindStringSubmatch(s.Err.String())
		return line != nil
	})
	a := s.call("GET", "/a", "", "apikey", line[1])
	if a.status != 200 || !strings.HasPrefix(a.body, "eyJ") {
		t.Errorf("with the key of the curl line: %d %q", a.status, a.body)
	}
	if out, errs, code := runIn(t, "", "invoke", "a", "--url", s.URL); code != 0 || !strings.HasPrefix(out, "eyJ") {
		t.Errorf("invoke: %d %s %s", code, out, errs)
	}
}
