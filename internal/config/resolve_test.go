package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/selvedge-dev/selvedge/internal/function"
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

func flags(t testing.TB, command Command, args ...string) *pflag.FlagSet {
	t.Helper()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	Register(fs, command)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return fs
}

func mustResolve(t testing.TB, cwd string, command Command, environ []string, args ...string) *Config {
	t.Helper()
	c, err := Resolve(flags(t, command, args...), environ, cwd, command)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func explained(c *Config, name string) Setting {
	for _, s := range c.Explain() {
		if s.Name == name {
			return s
		}
	}
	return Setting{}
}

func TestDefaults(t *testing.T) {
	cwd := tree(t, map[string]string{"functions/a/index.ts": ""})
	for command, want := range map[Command]Config{
		Dev:   {Listen: "localhost:9000", DrainTimeout: 2 * time.Second, Environment: "development", InspectAddr: "127.0.0.1:9229"},
		Serve: {Listen: ":9000", DrainTimeout: 30 * time.Second, DrainDelay: 5 * time.Second, Environment: "production"},
	} {
		c := mustResolve(t, cwd, command, nil)
		want.Command = command
		want.Functions = filepath.Join(cwd, "functions")
		want.Prestart, want.PrestartAuto = autoPrestart(command, machineMemory()), true
		want.MaxWorkers, want.MaxConcurrency = 4, 100
		want.MaxRequests = autoMaxRequests(machineMemory(), openFiles())
		want.MaxQueue, want.QueueTimeout, want.RateLimit = 1000, 30*time.Second, function.Rate{Unlimited: true}
		want.WorkerIdle, want.BootTimeout = 60*time.Second, 10*time.Second
		want.LogFormat, want.LogLevel = "auto", slog.LevelInfo
		want.RequireAuth, want.Region = true, "local"
		want.SystemWalls = "auto"
		want.KeepAlive = 620 * time.Second
		want.WorkerUIDs = autoUIDs()
		want.MaxBody = 20 << 20
		want.MemoryMB, want.TmpMB, want.LogLines = 256, 256, 1000
		want.MaxMemory = autoMaxMemory(machineMemory())
		want.CPU, want.Timeout, want.IdleTimeout = 2*time.Second, 400*time.Second, 150*time.Second
		want.DataDir = c.DataDir
		got := *c
		got.cwd, got.environ, got.resolved, got.warnings = "", nil, nil, nil
		if command == Dev {
			want.TrustedProxies = prefixes("127.0.0.0/8", "::1/128")
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", command, got, want)
		}
		if !filepath.IsAbs(c.DataDir) || filepath.Base(c.DataDir) != "selvedge" {
			t.Errorf("DataDir = %q", c.DataDir)
		}
		if c.Development() != (command == Dev) {
			t.Errorf("%s: Development() = %v", command, c.Development())
		}
		if w := c.Warnings(); len(w) != 0 {
			t.Errorf("%s: warnings %q", command, w)
		}
	}
}

func TestFlagOverEnvOverDefault(t *testing.T) {
	cwd := tree(t, map[string]string{"functions/a/index.ts": ""})
	for name, tt := range map[string]struct {
		command Command
		environ []string
		args    []string
		value   string
		source  string
	}{
		"default":        {Serve, nil, nil, ":9000", "default"},
		"empty variable": {Serve, []string{"SELVEDGE_LISTEN="}, nil, ":9000", "default"},
		"PORT":           {Serve, []string{"PORT=80"}, nil, ":80", "$PORT"},
		"PORT in dev":    {Dev, []string{"PORT=80"}, nil, "localhost:80", "$PORT"},
		"variable":       {Serve, []string{"PORT=80", "SELVEDGE_LISTEN=1.2.3.4:81"}, nil, "1.2.3.4:81", "$SELVEDGE_LISTEN"},
		"flag":           {Serve, []string{"PORT=80", "SELVEDGE_LISTEN=:81"}, []string{"--listen", "82"}, ":82", "--listen"},
		"flag, default":  {Serve, []string{"SELVEDGE_LISTEN=:81"}, []string{"--listen=:9000"}, ":9000", "--listen"},
	} {
		t.Run(name, func(t *testing.T) {
			c := mustResolve(t, cwd, tt.command, tt.environ, tt.args...)
			if got := explained(c, "listen"); got != (Setting{"listen", tt.value, tt.source}) || c.Listen != tt.value {
				t.Errorf("%+v, Listen = %q", got, c.Listen)
			}
		})
	}
}

func TestEverySettingHasItsPlace(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range settings() {
		for _, name := range append([]string{"--" + s.flag}, s.env...) {
			if name != "--" && seen[name] {
				t.Errorf("%s belongs to two settings", name)
			}
			seen[name] = true
		}
		if len(s.env) == 0 || s.accepts == "" || s.set == nil {
			t.Errorf("%s lacks a variable, what it accepts, or its setter", s.name())
		}
		if s.secret != (s.flag == "") {
			t.Errorf("%s: secrets, and only those, have no flag", s.name())
		}
		if s.flag != "" && strings.Count(s.help, "`") != 2 {
			t.Errorf("%s: the help %q does not name its value", s.name(), s.help)
		}
		for _, command := range []Command{Dev, Serve, Build} {
			if value := s.defaultFor(command); s.has(command) && value != "" {
				if err := s.set(&Config{}, value); err != nil {
					t.Errorf("%s: its default for %s is refused: %v", s.name(), command, err)
				}
			}
		}
	}
}

func TestFunctionsFolder(t *testing.T) {
	for name, tt := range map[string]struct {
		folders []string
		command Command
		args    []string
		want    string
		source  string
		err     string
	}{
		"functions":      {[]string{"functions", "supabase/functions", "examples/functions"}, Serve, nil, "functions", "default (found ./functions)", ""},
		"supabase":       {[]string{"supabase/functions", "examples/functions"}, Serve, nil, "supabase/functions", "default (found ./supabase/functions)", ""},
		"examples":       {[]string{"examples/functions"}, Dev, nil, "examples/functions", "default (found ./examples/functions)", ""},
		"no examples":    {[]string{"examples/functions"}, Serve, nil, "", "", "looked for ./functions, ./supabase/functions; make one with `selvedge new hello`"},
		"nothing in dev": {nil, Dev, nil, "", "", "./supabase/functions, ./examples/functions;"},
		"named":          {[]string{"x/y"}, Dev, []string{"--functions=x/y"}, "x/y", "--functions", ""},
		"named, missing": {[]string{"functions"}, Dev, []string{"--functions=fns"}, "", "", `--functions="fns": there is no such folder; name`},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{}
			for _, folder := range tt.folders {
				files[folder+"/.keep"] = ""
			}
			cwd := tree(t, files)
			c, err := Resolve(flags(t, tt.command, tt.args...), nil, cwd, tt.command)
			if tt.err != "" {
				var missing *FolderError
				if !errors.As(err, &missing) || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want %q in it", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := filepath.Join(cwd, tt.want); c.Functions != want || explained(c, "functions") != (Setting{"functions", want, tt.source}) {
				t.Errorf("%q, %+v", c.Functions, explained(c, "functions"))
			}
		})
	}
}

func TestProjectFile(t *testing.T) {
	for name, tt := range map[string]struct {
		files, args []string
		want        string
	}{
		"supabase layout": {[]string{"supabase/functions/a/index.ts", "supabase/config.toml", "config.toml"}, nil, "supabase/config.toml"},
		"volume layout":   {[]string{"functions/a/index.ts", "config.toml", "supabase/config.toml"}, nil, "config.toml"},
		"split layout":    {[]string{"functions/a/index.ts", "supabase/config.toml"}, nil, "supabase/config.toml"},
		"above":           {[]string{"x/functions/a/index.ts", "config.toml"}, []string{"--functions=x/functions"}, "config.toml"},
		"not of others":   {[]string{"supabase/config.toml", "p/q/functions/a/index.ts"}, []string{"--functions=p/q/functions"}, ""},
		"none":            {[]string{"functions/a/index.ts"}, nil, ""},
		"named":           {[]string{"functions/a/index.ts", "config.toml", "other.toml"}, []string{"--config=other.toml"}, "other.toml"},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{}
			for _, file := range tt.files {
				files[file] = ""
			}
			cwd := tree(t, files)
			c := mustResolve(t, cwd, Serve, nil, tt.args...)
			want := tt.want
			if want != "" {
				want = filepath.Join(cwd, want)
			}
			if c.ProjectFile != want {
				t.Errorf("%q, want %q", c.ProjectFile, want)
			}
			if _, _, err := c.Discover(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestBuildHasNoServerSettings(t *testing.T) {
	cwd := tree(t, map[string]string{"functions/a/index.ts": ""})
	c := mustResolve(t, cwd, Build, []string{"PORT=nonsense", "JWT_SECRET=short"})
	if c.Listen != "" || len(c.Warnings()) != 0 || explained(c, "JWT_SECRET").Name != "" {
		t.Errorf("%+v, %v", c, c.Warnings())
	}
	if flags(t, Build).Lookup("listen") != nil || flags(t, Serve).Lookup("inspect") != nil {
		t.Error("a flag is registered for a command without it")
	}
}

func TestWarnings(t *testing.T) {
	cwd := tree(t, map[string]string{"functions/a/index.ts": ""})
	c := mustResolve(t, cwd, Serve, []string{"SELVEDGE_LISTN=x", "SELVEDGE_E2E=1", "JWT_SECRET=short", "ENVIRONMENT=development", "REQUIRE_AUTH=false"})
	got := strings.Join(c.Warnings(), "\n")
	for _, want := range []string{"SELVEDGE_LISTN is not known; did you mean SELVEDGE_LISTEN?", "JWT_SECRET has 5 characters", "ENVIRONMENT is development", "authentication is off ($REQUIRE_AUTH)"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not among the warnings:\n%s", want, got)
		}
	}
	if len(c.Warnings()) != 4 {
		t.Errorf("warnings:\n%s", got)
	}
}

func TestSecretsAreMasked(t *testing.T) {
	const secret = "a-very-long-and-secret-secret-value-1234"
	cwd := tree(t, map[string]string{"functions/a/index.ts": ""})
	c := mustResolve(t, cwd, Serve, []string{
		"JWT_SECRET=" + secret, "ANON_KEY=" + secret, "SERVICE_ROLE_KEY=" + secret, "SUPABASE_DB_URL=" + secret,
		"SUPABASE_PUBLISHABLE_KEYS=" + `{"default":"` + secret + `"}`, "SUPABASE_SECRET_KEYS=" + `{"default":"` + secret + `"}`,
		`SUPABASE_JWKS={"keys":[{"kty":"oct","k":"` + secret + `"}]}`,
	})
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "secret", c.JWTSecret)
	for _, shown := range []string{fmt.Sprintf("%v", c.Explain()), fmt.Sprintf("%v %+v %s %q", c.JWTSecret, c.JWTSecret, c.JWTSecret, c.JWTSecret), fmt.Sprintf("%#v", c.JWTSecret), string(asJSON), logged.String()} {
		if strings.Contains(shown, "secret-value") {
			t.Errorf("a secret is shown: %s", shown)
		}
	}
	if got := explained(c, "JWT_SECRET"); got != (Setting{"JWT_SECRET", "••••••1234", "$JWT_SECRET"}) {
		t.Errorf("%+v", got)
	}
	if c.JWTSecret.Reveal() != secret || Mask("short") != "••••••" || Mask("") != "" {
		t.Error("masking is wrong")
	}
}

func TestDiscoverOptionsLimits(t *testing.T) {
	cwd := tree(t, map[string]string{"functions/a/index.ts": "", "functions/b/index.ts": "", "config.toml": `
[edge_runtime]
max_workers = 6
max_concurrency = 7
rate_limit = "10/s"
queue_timeout_s = 7
max_body_mb = 3
memory_mb = 100
tmp_mb = 50
open_files = 500
log_lines_s = 10
cpu_ms = 900
timeout_s = 90
[functions.b]
timeout_s = 30
cpu_ms = 500
tmp_mb = 5
open_files = 100
max_body_mb = "off"
max_workers = 2
max_queue = 0
rate_limit = "off"
env = { OWN = "a-value-long-enough-to-show-its-end" }
`})
	c := mustResolve(t, cwd, Serve, nil, "--max-workers=8", "--boot-timeout=3s", "--max-queue=5", "--cpu=700ms", "--idle-timeout=20s", "--log-lines=20")
	set, project, err := c.Discover()
	if err != nil {
		t.Fatal(err)
	}
	if got := project.Name(); got != filepath.Base(cwd) {
		t.Errorf("project %q", got)
	}
	for slug, workers := range map[string]int{"a": 8, "b": 2} {
		f, _ := set.Lookup(slug)
		want := function.Defaults()
		want.MaxWorkers, want.MaxConcurrency, want.Boot = workers, 7, 3*time.Second
		want.MaxQueue, want.QueueTime, want.Rate = 5, 7*time.Second, function.Rate{Requests: 10, Per: time.Second, Burst: 10}
		want.MaxBody = 3 << 20
		want.MemoryMB, want.TmpMB, want.OpenFiles, want.LogLines, want.WallClock, want.RequestIdle = 100, 50, 500, 20, 90*time.Second, 20*time.Second
		want.CPUSoft, want.CPUHard = 350*time.Millisecond, 700*time.Millisecond
		if slug == "b" {
			want.CPUSoft, want.CPUHard = 250*time.Millisecond, 500*time.Millisecond
			want.TmpMB, want.OpenFiles, want.WallClock = 5, 100, 30*time.Second
			want.MaxBody = function.AnyBody
			want.MaxQueue, want.Rate = function.NoQueue, function.Rate{Unlimited: true}
		}
		if f.Limits != want {
			t.Errorf("%s: %+v", slug, f.Limits)
		}
	}
	if got := mustResolve(t, cwd, Serve, nil, "--max-queue=0", "--queue-timeout=9s", "--rate-limit=off").DiscoverOptions(project).EdgeRuntime.Limits; got.MaxQueue != function.NoQueue || got.QueueTime != 9*time.Second || !got.Rate.Unlimited {
		t.Errorf("%+v", got)
	}
	infos := ExplainFunctions(set)
	if len(infos) != 2 || infos[1].Limits.MaxWorkers != 2 || infos[1].Limits.TimeoutS != 30 || infos[0].Limits.TmpMB != 50 || infos[1].Limits.MaxQueue != 0 || infos[0].Limits.RateLimit != "10/s" || !infos[1].VerifyJWT {
		t.Fatalf("%+v", infos)
	}
	if a, b := infos[0].Limits.MaxBodyMB, infos[1].Limits.MaxBodyMB; a == nil || *a != 3 || b != nil {
		t.Errorf("body limits %v, %v", a, b)
	}
	if got := mustResolve(t, cwd, Serve, nil, "--max-body=512KB").DiscoverOptions(project).EdgeRuntime.Limits.MaxBody; got != 512<<10 {
		t.Errorf("--max-body=512KB is %d", got)
	}
	if got := infos[1].Env; len(got) != 1 || got[0] != (Setting{"OWN", Mask("a-value-long-enough-to-show-its-end"), "config.toml [functions.b.env]"}) {
		t.Errorf("%+v", got)
	}
}

func TestExplainFunctionsWithProblems(t *testing.T) {
	cwd := tree(t, map[string]string{"functions/a/index.ts": "", "functions/health/index.ts": "", "functions/z/index.ts": ""})
	set, _, err := mustResolve(t, cwd, Dev, nil).Discover()
	if err != nil {
		t.Fatal(err)
	}
	infos := ExplainFunctions(set)
	if len(infos) != 3 || infos[1].Slug != "health" || infos[1].Problem == "" || infos[1].Limits != nil {
		t.Errorf("%+v", infos)
	}
}
