package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/selvedge-dev/selvedge/internal/auth"
	"github.com/selvedge-dev/selvedge/internal/config"
	"github.com/selvedge-dev/selvedge/internal/function"
)

var keyVariables = []string{"JWT_SECRET", "ANON_KEY", "SERVICE_ROLE_KEY", "SUPABASE_PUBLISHABLE_KEYS", "SUPABASE_SECRET_KEYS", "SUPABASE_JWKS", "SUPABASE_URL"}

// runKeys runs `selvedge keys` with the arguments in an environment that has
// only these variables of ours.
func runKeys(t *testing.T, env map[string]string, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	for _, name := range keyVariables {
		t.Setenv(name, env[name])
	}
	var out, errs bytes.Buffer
	cmd := newKeys(Streams{In: strings.NewReader(stdin), Out: &out, Err: &errs})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	err = cmd.ExecuteContext(context.Background())
	return out.String(), errs.String(), err
}

func mustKeys(t *testing.T, env map[string]string, stdin string, args ...string) string {
	t.Helper()
	out, errs, err := runKeys(t, env, stdin, args...)
	if err != nil {
		t.Fatalf("keys %s: %v\n%s%s", strings.Join(args, " "), err, out, errs)
	}
	return out
}

// TestKeysSuitAServer reads the printed lines as an .env file is read, and
// gives them to a server's configuration.
func TestKeysSuitAServer(t *testing.T) {
	out := mustKeys(t, nil, "")
	if lines := strings.Count(out, "\n"); lines != 5 {
		t.Errorf("%d lines:\n%s", lines, out)
	}
	env, err := function.ParseDotenv([]byte(out), ".env")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	environ := []string{"SELVEDGE_FUNCTIONS=" + dir, "SELVEDGE_DATA_DIR=" + dir}
	for name, value := range env {
		environ = append(environ, name+"="+value)
	}
	cfg, err := config.Resolve(nil, environ, dir, config.Serve)
	if err != nil {
		t.Fatal(err)
	}
	if warnings := cfg.Warnings(); len(warnings) > 0 {
		t.Errorf("warnings %q", warnings)
	}
	v, err := auth.New(authOptions(cfg))
	if err != nil {
		t.Fatal(err)
	}
	for key, role := range map[string]string{
		env["ANON_KEY"]: "anon", env["SERVICE_ROLE_KEY"]: "service_role",
		cfg.PublishableKeys["default"].Reveal(): "anon", cfg.SecretKeys["default"].Reveal(): "service_role",
	} {
		if id, failure := v.VerifyToken(t.Context(), key); failure != nil || id.Role != role {
			t.Errorf("%s: %+v, %v", key, id, failure)
		}
	}

	var values map[string]string
	if err := json.Unmarshal([]byte(mustKeys(t, nil, "", "--json")), &values); err != nil || len(values) != 5 ||
		!json.Valid([]byte(values["SUPABASE_SECRET_KEYS"])) || values["JWT_SECRET"] == env["JWT_SECRET"] {
		t.Errorf("%v, %v", values, err)
	}
}

func TestKeysSign(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.env")
	if err := os.WriteFile(file, []byte("JWT_SECRET=the-secret-of-the-file-with-forty-characters\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"JWT_SECRET": "the-secret-of-the-environment-is-this-long"}
	for _, tc := range []struct {
		name   string
		args   []string
		secret string
		want   string // the claims without times
	}{
		{"plain", nil, env["JWT_SECRET"], `{"role":"authenticated"}`},
		{"role and sub", []string{"--role", "anon", "--sub", "user-1"}, env["JWT_SECRET"], `{"role":"anon","sub":"user-1"}`},
		{"claims", []string{"--claim", "a=b=c", "--claim", "n=1", "--claim", `m={"plan":"pro"}`, "--claim", `s="1"`, "--claim", "e="}, env["JWT_SECRET"],
			`{"a":"b=c","e":"","m":{"plan":"pro"},"n":1,"role":"authenticated","s":"1"}`},
		{"file", []string{"--env-file", file}, "the-secret-of-the-file-with-forty-characters", `{"role":"authenticated"}`},
		{"local", []string{"--local"}, auth.LocalJWTSecret, `{"role":"authenticated"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			token := strings.TrimSpace(mustKeys(t, env, "", append([]string{"sign"}, tc.args...)...))
			v, err := auth.New(auth.Options{JWTSecret: tc.secret})
			if err != nil {
				t.Fatal(err)
			}
			id, failure := v.VerifyToken(t.Context(), token)
			if left := time.Until(id.Expires); failure != nil || left < 59*time.Minute || left > time.Hour {
				t.Fatalf("%+v, %v", id, failure)
			}
			decoded, failure := auth.Decode(token)
			if failure != nil {
				t.Fatal(failure)
			}
			var claims map[string]any
			if err := json.Unmarshal(decoded.Claims, &claims); err != nil {
				t.Fatal(err)
			}
			delete(claims, "iat")
			delete(claims, "exp")
			if got, _ := json.Marshal(claims); string(got) != tc.want {
				t.Errorf("claims %s, want %s", got, tc.want)
			}
		})
	}
}

func TestKeysSignRefuses(t *testing.T) {
	env := map[string]string{"JWT_SECRET": "the-secret-of-the-environment-is-this-long"}
	for _, tc := range []struct {
		name string
		env  map[string]string
		args []string
		want string
	}{
		{"no secret", nil, nil, "JWT_SECRET is not set"},
		{"no file", env, []string{"--env-file", "no-such-file"}, "no-such-file"},
		{"both", env, []string{"--env-file", "x", "--local"}, "local"},
		{"a broken key set", map[string]string{"SUPABASE_JWKS": "x"}, nil, "SUPABASE_JWKS"},
		{"a life that is none", env, []string{"--exp", "soon"}, "--exp soon: it is no duration"},
		{"a life of 0", env, []string{"--exp", "0s"}, "at once"},
		{"a life of centuries", env, []string{"--exp", "36501d"}, "36500"},
		{"a claim that is none", env, []string{"--claim", "x"}, "NAME=VALUE"},
		{"a claim of a flag", env, []string{"--claim", "role=x"}, "use --role"},
		{"a claim of ours", env, []string{"--claim", "iat=1"}, "always now"},
		{"a claim twice", env, []string{"--claim", "a=1", "--claim", "a=2"}, "twice"},
		{"too many claims", env, []string{"--claim", "a=" + strings.Repeat("x", auth.MaxToken)}, "leave out claims"},
		{"an argument, such as a secret", env, []string{"secret"}, "see `keys sign --help`"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, _, err := runKeys(t, tc.env, "", append([]string{"sign"}, tc.args...)...)
			if err == nil || !strings.Contains(err.Error(), tc.want) || out != "" {
				t.Errorf("got %v, printed %q", err, out)
			}
		})
	}
	if _, errs, err := runKeys(t, map[string]string{"JWT_SECRET": "short"}, "", "sign"); err != nil || !strings.Contains(errs, "JWT_SECRET has 5 characters") {
		t.Errorf("a short secret: %v, %s", err, errs)
	}
}

func TestKeysVerify(t *testing.T) {
	const secret = "the-secret-of-the-environment-is-this-long"
	env := map[string]string{"JWT_SECRET": secret}
	sign := func(claims map[string]any) string {
		token, err := auth.Sign(secret, claims)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	good := sign(map[string]any{"role": "anon", "iat": at(-90 * time.Second), "exp": at(25*time.Hour + time.Second)})
	for _, tc := range []struct {
		name, stdin string
		env         map[string]string
		args        []string
		ok          bool
		want        []string
	}{
		{"good", "", env, []string{good}, true, []string{`"alg": "HS256"`, `"role": "anon"`, "issued 2", "1 minute 30 seconds ago", "in 1 day 1 hour", "accepted with the role anon"}},
		{"from stdin", "Authorization: Bearer " + good + "\n", env, nil, true, []string{"accepted"}},
		{"from stdin, said so", `"` + good + `"`, env, []string{"-"}, true, []string{"accepted"}},
		{"no role, for ever", "", env, []string{sign(map[string]any{})}, true, []string{"expires never", "accepted, without a role"}},
		{"expired", "", env, []string{sign(map[string]any{"exp": at(-2 * time.Minute)})}, false, []string{"2 minutes ago", "refused: it expired 2m", "(401 UNAUTHORIZED_LEGACY_JWT)"}},
		{"too early", "", env, []string{sign(map[string]any{"nbf": at(time.Hour), "exp": 1e300})}, false, []string{"valid from 2", "refused: it is not valid for another"}},
		{"another secret", "", map[string]string{"JWT_SECRET": secret + "x"}, []string{good}, false, []string{"refused: it was not signed with this JWT secret"}},
		{"a local key elsewhere", "", env, []string{auth.LocalKeys().AnonKey}, false, []string{"supabase-demo", "refused:", "--local verifies"}},
		{"a local key", "", nil, []string{"--local", auth.LocalKeys().AnonKey}, true, []string{"expires 2032-11-11 19:09:56 UTC", "accepted with the role anon"}},
		{"an API key", "", nil, []string{"--local", auth.LocalSecretKey}, true, []string{"accepted as the secret key default, role service_role"}},
		{"another API key", "", nil, []string{"--local", auth.LocalSecretKey + "x"}, false, []string{"none of those configured"}},
		{"a word", "", env, []string{"word"}, false, []string{"refused: it does not consist of three parts", "INVALID_JWT_FORMAT"}},
		{"none", "", env, []string{"eyJhbGciOiJub25lIn0.e30."}, false, []string{`"alg": "none"`, "no key here has the algorithm none"}},
		{"no JSON inside", "", env, []string{"eyJhbGciOiJIUzI1NiJ9.eA.eA"}, false, []string{"HS256", "refused"}},
		{"what a terminal would act on", "", env, []string{sign(map[string]any{"role": "\u009b31m\u202e"})}, true, []string{`\u009b31m\u202e`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, _, err := runKeys(t, tc.env, tc.stdin, append([]string{"verify"}, tc.args...)...)
			if (err == nil) != tc.ok || err != nil && !errors.Is(err, errSilent) {
				t.Errorf("error %v", err)
			}
			for _, want := range tc.want {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
			if strings.ContainsAny(out, "\u009b\u202e") || strings.Contains(out, secret) {
				t.Errorf("it prints\n%q", out)
			}
		})
	}
	t.Run("without keys", func(t *testing.T) {
		out, _, err := runKeys(t, nil, "", "verify", good)
		if !errors.Is(err, auth.ErrNoKeys) || !strings.Contains(out, `"role": "anon"`) || !strings.Contains(out, "unknown:") {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("without a token", func(t *testing.T) {
		if _, _, err := runKeys(t, env, " \n", "verify"); err == nil || !strings.Contains(err.Error(), "no token") {
			t.Errorf("%v", err)
		}
	})
	t.Run("JSON", func(t *testing.T) {
		out, _, err := runKeys(t, env, "", "verify", "--json", sign(map[string]any{"exp": 1}))
		var e map[string]any
		if jsonErr := json.Unmarshal([]byte(out), &e); jsonErr != nil || !errors.Is(err, errSilent) || e["accepted"] != false || e["kind"] != "token" ||
			e["code"] != "UNAUTHORIZED_LEGACY_JWT" || e["claims"].(map[string]any)["exp"] != 1.0 {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// TestKeysVerifyFetches: the key set of SUPABASE_URL counts, and why it could
// not be had is told.
func TestKeysVerifyFetches(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	site := httptest.NewServer(http.NotFoundHandler())
	defer site.Close()
	out, errs, err := runKeys(t, map[string]string{"SUPABASE_URL": site.URL}, "", "verify", "eyJhbGciOiJFUzI1NiIsImtpZCI6ImsifQ.e30.eA")
	if !errors.Is(err, errSilent) || !strings.Contains(out, "could not be fetched") || !strings.Contains(errs, "404 Not Found") {
		t.Errorf("%v\n%s\n%s", err, out, errs)
	}
}

func TestInWords(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		d    time.Duration
		want string
	}{
		{0, "now"}, {time.Second, "in 1 second"}, {-59 * time.Second, "59 seconds ago"}, {time.Minute, "in 1 minute"},
		{-61 * time.Minute, "1 hour 1 minute ago"}, {24*time.Hour + time.Second, "in 1 day"}, {366 * 24 * time.Hour, "in 1 year 1 day"},
	} {
		if got := inWords(now.Add(tc.d), now); got != tc.want {
			t.Errorf("%s is %q, want %q", tc.d, got, tc.want)
		}
	}
	if got := inWords(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), now); !strings.HasPrefix(got, "in 7978 years") {
		t.Errorf("far off is %q", got)
	}
}

func TestBuildsGetNoSecrets(t *testing.T) {
	got := buildEnviron([]string{"PATH=/bin", "JWT_SECRET=x", "SUPABASE_URL=x", "SELVEDGE_KEYS={}", "SELVEDGE_FUNCTION_SECRETS={}", "AWS_PROFILE=x", "npm_config_registry=r"})
	if want := []string{"PATH=/bin", "npm_config_registry=r"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
