package deploy

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestKeysOfFile(t *testing.T) {
	want := []string{
		"project_name", "environment", "desired_count", "max_count", "cpu", "memory", "cpu_architecture", "require_auth", "supabase_url",
		"allowed_cidr", "certificate_arn", "domain_name", "hosted_zone_id", "network_mode", "fargate_spot", "log_retention_days",
		"idle_timeout_seconds", "enable_alarms", "alarm_email", "enable_waf", "waf_rate_limit", "enable_tracing", "enable_exec",
		"enable_insights", "monthly_budget_usd", "requests_per_target",
	}
	for _, key := range want {
		if parameterOf(key) == "" {
			t.Errorf("%s sets no parameter", key)
		}
	}
	if got := userParameters(); len(got) != len(want) {
		t.Errorf("%d parameters, %d expected", len(got), len(want))
	}
}

// TestPrecedence gives one setting in every place and takes them away from the
// top.
func TestPrecedence(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, configName, `[deploy]
cpu = 1024
desired_count = 3
require_auth = false
region = "eu-west-1"
smoke = ["hello", "/health"]

[deploy.env.staging]
cpu = 2048
`)
	write(t, dir, parametersName, `[{"ParameterKey": "CPU", "ParameterValue": "4096"}, {"ParameterKey": "Memory", "ParameterValue": "8192"},
 {"ParameterKey": "AnonKey", "ParameterValue": "a-key"}]`)
	src := Source{
		Dirs:    []string{dir},
		Environ: []string{"SELVEDGE_DEPLOY_CPU=512", "AWS_REGION=eu-north-1", "SELVEDGE_DEPLOY_MEMROY=1"},
		Flags:   map[string]Value{"cpu": {"256", "--set cpu"}, "environment": {"staging", "--env"}},
	}
	check := func(want Value) {
		t.Helper()
		s, err := Resolve(src)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Parameters["CPU"]; got != want {
			t.Errorf("CPU is %v, want %v", got, want)
		}
	}
	check(Value{"256", "--set cpu"})
	delete(src.Flags, "cpu")
	check(Value{"512", "$SELVEDGE_DEPLOY_CPU"})
	src.Environ = src.Environ[1:]
	check(Value{"2048", "selvedge.toml:9"})
	delete(src.Flags, "environment")
	check(Value{"1024", "selvedge.toml:2"})
	s, err := Resolve(src)
	if err != nil {
		t.Fatal(err)
	}
	if s.Stack() != "supabase-edge-runtime-production" || s.Region != (Value{"eu-north-1", "$AWS_REGION"}) || !slices.Equal(s.Smoke, []string{"/hello", "/health"}) {
		t.Errorf("%+v", s)
	}
	if s.Parameters["Memory"] != (Value{"8192", "parameters.json"}) || s.Parameters["RequireAuth"].Text != "false" || s.Parameters["DesiredCount"].Text != "3" {
		t.Errorf("%v", s.Parameters)
	}
	if s.Keys["ANON_KEY"].Text != "a-key" || slices.Contains(slices.Collect(maps.Keys(s.Parameters)), "AnonKey") {
		t.Errorf("keys %v, parameters %v", s.Keys, s.Parameters)
	}
	if len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "did you mean SELVEDGE_DEPLOY_MEMORY?") {
		t.Errorf("warnings %q", s.Warnings)
	}
	if err := os.Remove(filepath.Join(dir, configName)); err != nil {
		t.Fatal(err)
	}
	check(Value{"4096", "parameters.json"})
}

func TestWrongSettings(t *testing.T) {
	for name, c := range map[string]struct{ toml, json, want string }{
		"key":         {toml: "[deploy]\ncpu = 512\ndesired_cuont = 3\n", want: "selvedge.toml:3: [deploy] has no key desired_cuont; did you mean desired_count?"},
		"in env":      {toml: "[deploy.env.prod]\ncp = 512\n", want: "selvedge.toml:2: [deploy.env.production] has no key cp; did you mean cpu?"},
		"environment": {toml: "[deploy.env.prod]\nenvironment = \"x\"\n", want: "selvedge.toml:2: [deploy.env.prod] is that environment's already"},
		"table":       {toml: "[deplyo]\ncpu = 512\n", want: "selvedge.toml:1: there is no table or key deplyo; did you mean deploy?"},
		"type":        {toml: "[deploy]\ncpu = [1]\n", want: "selvedge.toml:2: cpu: write a text"},
		"syntax":      {toml: "[deploy]\ncpu = \n", want: "selvedge.toml:2: "},
		"json":        {json: "[\n{\"ParameterKey\": }]", want: "parameters.json:2: "},
		"parameter":   {json: "[\n\n{\"ParameterKey\": \"DesiredCuont\", \"ParameterValue\": \"2\"}]", want: "parameters.json:3: there is no parameter DesiredCuont; did you mean DesiredCount?"},
		"object":      {json: `{"CPU": 1}`, want: "parameters.json:1: "},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if c.toml != "" {
				write(t, dir, configName, c.toml)
			}
			if c.json != "" {
				write(t, dir, parametersName, c.json)
			}
			_, err := Resolve(Source{Dirs: []string{dir}})
			var p *Problem
			if !errors.As(err, &p) || !p.Usage || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestParseSet(t *testing.T) {
	for text, want := range map[string]string{"desired_count=3": "desired_count", "DesiredCount=3": "desired_count", "region= eu-west-1": "region"} {
		if key, v, err := ParseSet(text); err != nil || key != want || v.Text == "" {
			t.Errorf("%s: %s %v %v", text, key, v, err)
		}
	}
	if _, _, err := ParseSet("desird_count=3"); err == nil || !strings.Contains(err.Error(), "did you mean desired_count?") {
		t.Error(err)
	}
}
