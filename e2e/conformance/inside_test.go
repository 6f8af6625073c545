package conformance

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/e2e/harness"
)

// testInside looks at what a function finds around it, and at what the server
// says of it.
func testInside(t *testing.T, to target, s *harness.Server) {
	c := lookCurl(t, to)
	key := "apikey: " + to.Keys.Anon
	object := func(t *testing.T, path string) map[string]string {
		t.Helper()
		r := c.do(t, path, "-H", key)
		var got map[string]string
		if err := json.Unmarshal([]byte(r.body), &got); err != nil || r.status != 200 {
			t.Fatalf("%d %s: %v", r.status, r.body, err)
		}
		return got
	}
	t.Run("environment", func(t *testing.T) {
		got := object(t, "/functions/v1/env")
		for name, want := range map[string]string{
			"SUPABASE_URL": "http://127.0.0.1:1", "SUPABASE_DB_URL": "postgresql://db",
			"SUPABASE_ANON_KEY": to.Keys.Anon, "SUPABASE_SERVICE_ROLE_KEY": to.Keys.Service,
			"SUPABASE_PUBLISHABLE_KEYS": `{"default":"` + to.Keys.Publishable + `"}`,
			"SUPABASE_SECRET_KEYS":      `{"default":"` + to.Keys.Secret + `"}`,
			"SUPABASE_FUNCTION_SLUG":    "env", "SB_REGION": "eu-central-1",
		} {
			if got[name] != want {
				t.Errorf("%s is %q, want %q", name, got[name], want)
			}
		}
		var set struct{ Keys []map[string]string }
		if err := json.Unmarshal([]byte(got["SUPABASE_JWKS"]), &set); err != nil || len(set.Keys) != 1 || set.Keys[0]["kid"] != "test-key" {
			t.Errorf("SUPABASE_JWKS is %q", got["SUPABASE_JWKS"])
		}
		for name, form := range map[string]string{"SB_EXECUTION_ID": `^[0-9a-f-]{36}$`, "DENO_DEPLOYMENT_ID": `^.+_env_.+$`} {
			if !regexp.MustCompile(form).MatchString(got[name]) {
				t.Errorf("%s is %q", name, got[name])
			}
		}
		all := strings.Join(slices.Collect(maps.Values(got)), "\n")
		if strings.Contains(all, to.Keys.jwtSecret) || strings.Contains(all, "of-the-host") {
			t.Errorf("the server's own secrets are visible: %v", got)
		}
	})
	t.Run("walls", func(t *testing.T) {
		for name, ended := range object(t, "/functions/v1/walls") {
			switch {
			case name == "own temporary file":
				if ended != "mine" {
					t.Errorf("%s: %s", name, ended)
				}
			case ended != "NotCapable" && ended != "PermissionDenied":
				t.Errorf("%s: %s", name, ended)
			}
		}
	})
	t.Run("boot is logged with its parts", func(t *testing.T) {
		c.do(t, "/functions/v1/env", "-H", key)
		harness.Eventually(t, 10*time.Second, "the boot is logged", func() bool { return len(s.Logged("boot")) > 0 })
		boot := s.Logged("boot")[0]
		for _, part := range []string{"boot_time_ms", "queue_ms", "bundle_ms", "spawn_ms", "load_ms"} {
			if _, ok := boot[part].(float64); !ok {
				t.Errorf("no %s in %v", part, boot)
			}
		}
		if boot["slug"] == "" || boot["execution_id"] == "" {
			t.Errorf("%v", boot)
		}
	})
	t.Run("a fault is logged, with its stack and the request's id", func(t *testing.T) {
		id := c.do(t, "/functions/v1/faulty/throw", "-H", key).header.Get("Sb-Request-Id")
		harness.Eventually(t, 10*time.Second, "the fault is logged", func() bool {
			return slices.ContainsFunc(s.Logged("log"), func(m map[string]any) bool {
				text, _ := m["msg"].(string)
				return m["request_id"] == id && m["level"] == "ERROR" && strings.Contains(text, "a secret of the function") && strings.Contains(text, "faulty/index.ts")
			})
		})
	})
	t.Run("a function that does not start is logged", func(t *testing.T) {
		if r := c.do(t, "/functions/v1/broken", "-H", key); r.status != 503 || strings.Contains(r.body, "secret") {
			t.Errorf("%d %s", r.status, r.body)
		}
		harness.Eventually(t, 10*time.Second, "the failure is logged", func() bool {
			return slices.ContainsFunc(s.Logged("boot_failure"), func(m map[string]any) bool { return m["slug"] == "broken" })
		})
	})
}
