package config

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/suggest"
)

func env(values map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := values[name]; return v, ok }
}

func TestLoadProject(t *testing.T) {
	dir := tree(t, map[string]string{
		"supabase/.env":       "FROM_FILE=file\nSHADOWED=outer\n",
		"supabase/.env.local": "SHADOWED=local\n",
		".env":                "FROM_PROJECT=project\nBROKEN",
		"supabase/config.toml": `project_id = "my-project"

[api]
enabled = "whatever"
port = [1, 2]

[edge_runtime]
enabled = false
policy = "oneshot"
inspector_port = 8083
deno_version = 2
memory_mb = 512
timeout_s = 60

[edge_runtime.secrets]
PLAIN = "p"
CALLED = "env(OUTER)"
FILED = "env(FROM_FILE)"
SHADOWED = "env(SHADOWED)"
UNSET = "env(NOT_THERE)"
CRYPT = "encrypted:abc"

[functions.hello]
enabled = true
verify_jwt = false
entrypoint = "./functions/hello/main.ts"
import_map = "./functions/hello/deno.json"
static_files = [ "./functions/hello/*.html", "env(OUTER)" ]
policy = "per_request"
memory_mb = 128
cpu_ms = 3000
timeout_s = 100
idle_timeout_s = 20
max_workers = 3
max_concurrency = 5
env = { A = "1", B = "env(OUTER)" }

[functions]
inline = { verify_jwt = false, max_workers = 7 }
dotted.enabled = false
`})
	path := filepath.Join(dir, "supabase/config.toml")
	p, err := LoadProject(path, env(map[string]string{"OUTER": "outer", "NOT_THERE": ""}))
	if err != nil {
		t.Fatal(err)
	}
	if p.File != path || p.Dir != filepath.Dir(path) || p.ID != "my-project" || p.Name() != "my-project" || p.EdgeRuntimeEnabled || p.InspectorPort != 8083 {
		t.Errorf("%+v", p)
	}
	if want := (function.EdgeRuntime{
		Policy:  function.OneShot,
		Limits:  function.Limits{MemoryMB: 512, WallClock: time.Minute},
		Secrets: map[string]string{"PLAIN": "p", "CALLED": "outer", "FILED": "file", "SHADOWED": "local"},
		File:    path,
	}); !reflect.DeepEqual(p.EdgeRuntime, want) {
		t.Errorf("\n got %+v\nwant %+v", p.EdgeRuntime, want)
	}
	yes, no := true, false
	hello := p.Functions["hello"]
	lines := hello.Lines
	hello.Lines = nil
	if want := (function.Override{
		Enabled: &yes, VerifyJWT: &no,
		Entrypoint:  "./functions/hello/main.ts",
		ImportMap:   "./functions/hello/deno.json",
		StaticFiles: []string{"./functions/hello/*.html", "outer"},
		Env:         map[string]string{"A": "1", "B": "outer"},
		Policy:      function.PerRequest,
		Limits: function.Limits{MemoryMB: 128, CPUSoft: 1500 * time.Millisecond, CPUHard: 3 * time.Second, WallClock: 100 * time.Second,
			RequestIdle: 20 * time.Second, MaxWorkers: 3, MaxConcurrency: 5},
		File: path,
	}); !reflect.DeepEqual(hello, want) {
		t.Errorf("\n got %+v\nwant %+v", hello, want)
	}
	if lines[""] != 23 || lines["entrypoint"] != 26 || lines["env"] != 36 {
		t.Errorf("lines = %v", lines)
	}
	if in := p.Functions["inline"]; *in.VerifyJWT || in.Limits.MaxWorkers != 7 || in.Lines["max_workers"] != 39 {
		t.Errorf("inline = %+v", in)
	}
	if d := p.Functions["dotted"]; *d.Enabled || d.Lines["enabled"] != 40 {
		t.Errorf("dotted = %+v", d)
	}
	want := []string{
		":20: edge_runtime.secrets.UNSET: the variable NOT_THERE is not set",
		":21: edge_runtime.secrets.CRYPT: the value is encrypted",
		".env:2: the line has no =",
	}
	if len(p.Warnings) != len(want) {
		t.Fatalf("warnings:\n%s", strings.Join(p.Warnings, "\n"))
	}
	for i := range want {
		if !strings.Contains(p.Warnings[i], want[i]) {
			t.Errorf("warning %q, want %q in it", p.Warnings[i], want[i])
		}
	}
}

func TestProjectWarnings(t *testing.T) {
	for name, tt := range map[string]struct{ src, want string }{
		"unknown key":       {"[functions.a]\nverify_jtw = false", "c.toml:2: functions.a.verify_jtw: [functions.a] has no such key; did you mean verify_jwt? It is ignored"},
		"unit left out":     {"[functions.a]\n\ntimeout = 3", "c.toml:3: functions.a.timeout: [functions.a] has no such key; did you mean timeout_s?"},
		"nothing near":      {"[edge_runtime]\ncolour = 1", "c.toml:2: edge_runtime.colour: [edge_runtime] has no such key; it is ignored"},
		"unknown subtable":  {"[edge_runtime.secret]\nA = 1", "did you mean secrets?"},
		"unset static file": {"[functions.a]\nstatic_files = ['env(X)']", "c.toml:2: functions.a.static_files: the variable X is not set"},
		"unset entrypoint":  {"[functions.a]\nentrypoint = 'env(X)'", "c.toml:2: functions.a.entrypoint: the variable X is not set"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := parseProject([]byte(tt.src), "c.toml", env(nil))
			if err != nil || len(p.Warnings) != 1 || !strings.HasPrefix(p.Warnings[0], "c.toml:") || !strings.Contains(p.Warnings[0], tt.want) {
				t.Errorf("%v, %+v\nwant %q", err, p, tt.want)
			}
		})
	}
}

func TestProjectErrors(t *testing.T) {
	for name, tt := range map[string]struct{ src, want string }{
		"no toml":           {"[functions.a\nx", "c.toml:2: the file is no valid TOML: "},
		"twice":             {"[functions.a]\nenabled = true\nenabled = true", "c.toml:3: the file is no valid TOML"},
		"bool as text":      {"[functions.a]\nverify_jwt = \"false\"", "c.toml:2: functions.a.verify_jwt: it is a text; write true or false, without quotes"},
		"bool as number":    {"[functions.a]\nenabled = 0", "c.toml:2: functions.a.enabled: it is a whole number; write true or false"},
		"text as bool":      {"[functions.a]\nentrypoint = true", "c.toml:2: functions.a.entrypoint: it is true or false; write a text"},
		"int as text":       {"[functions.a]\n\nmemory_mb = '512'", "c.toml:3: functions.a.memory_mb: it is a text; write a whole number"},
		"int as float":      {"[edge_runtime]\ntimeout_s = 1.5", "c.toml:2: edge_runtime.timeout_s: it is a number with a fraction; write a whole number"},
		"too small":         {"[functions.a]\nmax_workers = 0", "c.toml:2: functions.a.max_workers: 0 is out of range; write a number from 1"},
		"negative":          {"[functions.a]\ncpu_ms = -1", "-1 is out of range"},
		"too large":         {"[functions.a]\ntimeout_s = 9223372036854775807", "out of range"},
		"list as text":      {"[functions.a]\nstatic_files = '*.html'", "c.toml:2: functions.a.static_files: it is a text; write a list"},
		"list of numbers":   {"[functions.a]\nstatic_files = ['a', 1]", "c.toml:2: functions.a.static_files: its item 2 is a whole number"},
		"list of tables":    {"[functions.a]\nstatic_files = [{a=1}]", "functions.a.static_files: its item 1 is a table; write a text"},
		"variable":          {"[functions.a.env]\nPORT = 3000", "c.toml:2: functions.a.env.PORT: it is a whole number; write a text in quotes"},
		"variable's name":   {"[edge_runtime.secrets]\n\"A=B\" = 'x'", "\"A=B\" cannot name a variable"},
		"nul":               {"[functions.a.env]\nA = \"x\\u0000y\"", "c.toml:2: functions.a.env.A: the value holds a NUL"},
		"env is a list":     {"[functions.a]\nenv = []", "c.toml:2: functions.a.env: it is a list; write a table, [functions.a.env]"},
		"rate as number":    {"[functions.a]\nrate_limit = 100", `c.toml:2: functions.a.rate_limit: it is a whole number; write a text such as "100/s"`},
		"rate without unit": {"[edge_runtime]\n\nrate_limit = '100'", `c.toml:3: edge_runtime.rate_limit: "100": it names no unit of time; write "100/s", "100/m", "1000/h", "100/s burst 200" or "off"`},
		"rate of nothing":   {"[functions.a]\nrate_limit = '0/s'", `c.toml:2: functions.a.rate_limit: "0/s": "0" is no number from 1 to 1000000`},
		"queue":             {"[functions.a]\nmax_queue = -1", "c.toml:2: functions.a.max_queue: -1 is out of range; write a number from 0 to 1000000"},
		"body":              {"[functions.a]\nmax_body_mb = 0", "c.toml:2: functions.a.max_body_mb: 0 is out of range; write a number from 1 to 1048576"},
		"body text":         {"[functions.a]\nmax_body_mb = \"20MB\"", "c.toml:2: functions.a.max_body_mb: \"20MB\" is no size; write a number of MB, or \"off\" for no bound"},
		"body type":         {"[edge_runtime]\nmax_body_mb = 1.5", "c.toml:2: edge_runtime.max_body_mb: it is a number with a fraction; write a whole number of MB, or \"off\""},
		"queue time":        {"[functions.a]\nqueue_timeout_s = 0", "c.toml:2: functions.a.queue_timeout_s: 0 is out of range; write a number from 1"},
		"policy":            {"[functions.a]\npolicy = 'always'", `c.toml:2: functions.a.policy: the policy "always" is not known`},
		"function":          {"[functions]\na = true", "c.toml:2: functions.a: it is true or false; write a table, [functions.a]"},
		"functions":         {"functions = 1", "c.toml:1: functions: it is a whole number; write a table, [functions]"},
		"list of function":  {"[[functions]]\na = 1", "functions: it is a list of tables; write a table"},
		"edge_runtime":      {"edge_runtime = 'x'", "c.toml:1: edge_runtime: it is a text"},
		"project_id":        {"project_id = 7", "c.toml:1: project_id: it is a whole number"},
		"a date":            {"[functions.a]\nenabled = 2020-01-01", "it is a date"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseProject([]byte(tt.src), "c.toml", env(nil))
			if err == nil || !strings.HasPrefix(err.Error(), "c.toml") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v\nwant %q in it", err, tt.want)
			}
		})
	}
	_, err := parseProject([]byte("[functions.a]\nenabled = 1\n[functions.b]\nenabled = 1\n"), "c.toml", env(nil))
	if err == nil || strings.Count(err.Error(), "c.toml:") != 2 || strings.Index(err.Error(), ":2:") > strings.Index(err.Error(), ":4:") {
		t.Errorf("not every error is reported, in order: %v", err)
	}
}

func TestLoadProjectMissing(t *testing.T) {
	if _, err := LoadProject(filepath.Join(t.TempDir(), "config.toml"), nil); err == nil {
		t.Error("a missing file is no error")
	}
}

func TestMessagesNameTheFileAsTheUserDoes(t *testing.T) {
	cwd := tree(t, map[string]string{"supabase/functions/a/index.ts": "", "supabase/config.toml": "[functions.a]\nenabled = 3"})
	_, _, err := mustResolve(t, cwd, Serve, nil).Discover()
	if err == nil || !strings.HasPrefix(err.Error(), "supabase/config.toml:2: functions.a.enabled: ") {
		t.Errorf("error %v", err)
	}
}

func TestSuggest(t *testing.T) {
	for word, want := range map[string]string{
		"verifyjwt": "verify_jwt", "entry_point": "entrypoint", "memory": "memory_mb", "cpu": "cpu_ms", "polciy": "policy", "zzz": "", "x": "",
	} {
		if got := suggest.Nearest(word, append(functionKeys, limitKeys...)); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

// FuzzProject checks that any file is either refused with its name, or gives
// only values that discovery takes.
func FuzzProject(f *testing.F) {
	for _, seed := range []string{
		"", "[functions.a]\nverify_jwt = false", "[edge_runtime]\npolicy='oneshot'\n[edge_runtime.secrets]\nA='env(B)'",
		"[[functions]]", "functions.a.b.c = 1", "[functions.\"a.b\"]\nenabled=1", "[functions.a]\nstatic_files=[[1]]", "project_id=1e3", "\xff", "[functions.''.env]\n''=''",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		p, err := parseProject(src, "c.toml", env(map[string]string{"B": "b"}))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "c.toml") {
				t.Errorf("the error does not name the file: %v", err)
			}
			return
		}
		for slug, o := range p.Functions {
			if o.Policy != "" && !o.Policy.Valid() {
				t.Errorf("%s: policy %q", slug, o.Policy)
			}
			l := o.Limits
			for _, v := range []int64{int64(l.MemoryMB), int64(l.CPUHard), int64(l.CPUSoft), int64(l.WallClock), int64(l.RequestIdle), int64(l.MaxWorkers), int64(l.MaxConcurrency)} {
				if v < 0 {
					t.Errorf("%s: limits %+v", slug, l)
				}
			}
			for name := range o.Env {
				if !function.ValidEnvName(name) {
					t.Errorf("%s: variable %q", slug, name)
				}
			}
		}
	})
}
