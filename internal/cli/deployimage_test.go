package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/auth"
	"github.com/selvedge-dev/selvedge/internal/config"
)

func keysOf(t *testing.T) map[string]string {
	t.Helper()
	k, err := auth.NewKeys(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, line := range environOf(k) {
		all[line[0]] = line[1]
	}
	return all
}

func TestVerifyKeys(t *testing.T) {
	mine, others := keysOf(t), keysOf(t)
	if err := verifyKeys(t.Context(), mine); err != nil {
		t.Error(err)
	}
	with := func(name, value string) map[string]string {
		all := map[string]string{}
		for n, v := range mine {
			all[n] = v
		}
		all[name] = value
		return all
	}
	local := map[string]string{}
	for _, line := range environOf(auth.LocalKeys()) {
		local[line[0]] = line[1]
	}
	for want, keys := range map[string]map[string]string{
		"ANON_KEY is refused":                            with("ANON_KEY", others["ANON_KEY"]),
		"SERVICE_ROLE_KEY is refused":                    with("SERVICE_ROLE_KEY", others["SERVICE_ROLE_KEY"]),
		`ANON_KEY has the role "service_role", not anon`: with("ANON_KEY", mine["SERVICE_ROLE_KEY"]),
		"every local Supabase project":                   local,
	} {
		err := verifyKeys(t.Context(), keys)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
			continue
		}
		for name, key := range keys {
			if strings.Contains(err.Error(), key) {
				t.Errorf("the message has %s in it", name)
			}
		}
	}
}

// TestDeployKeys: the environment wins over .env, which lies beside the
// functions folder, or above it in a Supabase project.
func TestDeployKeys(t *testing.T) {
	for _, folder := range []string{"functions", "supabase/functions"} {
		t.Run(folder, func(t *testing.T) {
			for _, name := range []string{"JWT_SECRET", "ANON_KEY", "SERVICE_ROLE_KEY", "SUPABASE_PUBLISHABLE_KEYS", "SUPABASE_SECRET_KEYS", "SUPABASE_JWKS", "SUPABASE_DB_URL"} {
				t.Setenv(name, "")
			}
			t.Setenv("ANON_KEY", "of the environment")
			dir := t.TempDir()
			cfg := &config.Config{Functions: filepath.Join(dir, folder)}
			if err := os.MkdirAll(cfg.Functions, 0o700); err != nil {
				t.Fatal(err)
			}
			for file, text := range map[string]string{
				filepath.Join(dir, ".env"):           "JWT_SECRET=of the file\nANON_KEY=of the file\nOTHER=x\n",
				filepath.Join(cfg.Functions, ".env"): "STRIPE=1\nANON_KEY=2\n",
			} {
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			src, err := deployKeys(cfg, false)
			if err != nil {
				t.Fatal(err)
			}
			if src.Given["JWT_SECRET"].Text != "of the file" || src.Given["ANON_KEY"].Text != "of the environment" || src.Given["ANON_KEY"].Origin != "$ANON_KEY" || len(src.Given) != 2 {
				t.Errorf("%v", src.Given)
			}
			if !slices.Equal(src.Local, []string{"STRIPE"}) {
				t.Errorf("local: %q", src.Local)
			}
		})
	}
}
