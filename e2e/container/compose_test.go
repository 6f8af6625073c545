package container

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// A composed is the part of a compose file that the tests look at.
type composed struct {
	Services map[string]struct {
		Image       string
		Build       struct{ Context, Target string }
		Entrypoint  []string
		Command     []string
		Ports       []string
		Environment map[string]string
		Volumes     []string
		ReadOnly    bool `yaml:"read_only"`
		Tmpfs       []string
		CapDrop     []string `yaml:"cap_drop"`
		SecurityOpt []string `yaml:"security_opt"`
		Healthcheck struct{ Test []string }
		Restart     string
		Grace       string         `yaml:"stop_grace_period"`
		Rest        map[string]any `yaml:",inline"`
	}
	Volumes map[string]any
	Rest    map[string]any `yaml:",inline"`
}

var composeVariable = regexp.MustCompile(`\$\{(\w+)(?::([-?])([^}]*))?\}`)

// compose reads compose.yaml with variables put in.
func compose(t *testing.T, vars map[string]string) composed {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(repo, "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text := composeVariable.ReplaceAllStringFunc(string(raw), func(s string) string {
		m := composeVariable.FindStringSubmatch(s)
		if v := vars[m[1]]; v != "" {
			return v
		}
		if m[2] == "?" {
			t.Fatalf("compose.yaml: %s %s", m[1], m[3])
		}
		return m[3]
	})
	var c composed
	if err := yaml.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// stackVariables are those of the .env file of Supabase's Docker stack.
func stackVariables(t *testing.T) (vars map[string]string, anon string) {
	flags, anon := keyed(t)
	vars = map[string]string{"POSTGRES_PASSWORD": "pg-secret", "POSTGRES_HOST": "db", "POSTGRES_PORT": "5432", "POSTGRES_DB": "postgres", "FUNCTIONS_VERIFY_JWT": "false"}
	for _, f := range flags {
		if name, value, ok := strings.Cut(f, "="); ok {
			vars[name] = value
		}
	}
	return vars, anon
}

func TestComposeFile(t *testing.T) {
	vars, _ := stackVariables(t)
	c := compose(t, vars)
	f, ok := c.Services["functions"]
	if !ok || len(c.Services) != 1 || len(c.Rest) > 0 || len(f.Rest) > 0 {
		t.Fatalf("services %v; keys that the test does not know: %v %v", c.Services, c.Rest, f.Rest)
	}
	for name, want := range map[string]string{
		"JWT_SECRET": jwtSecret, "SUPABASE_URL": "http://kong:8000", "SUPABASE_ANON_KEY": vars["ANON_KEY"],
		"SUPABASE_SERVICE_ROLE_KEY": vars["SERVICE_ROLE_KEY"], "VERIFY_JWT": "false",
		"SUPABASE_DB_URL": "postgresql://postgres:pg-secret@db:5432/postgres",
	} {
		if f.Environment[name] != want {
			t.Errorf("%s is %q, want %q", name, f.Environment[name], want)
		}
	}
	if !slices.Contains(f.Volumes, "./volumes/functions:/home/deno/functions:ro,z") || f.Build.Target != "runtime" {
		t.Errorf("volumes %v, target %q", f.Volumes, f.Build.Target)
	}
	for _, v := range f.Volumes {
		if name, _, _ := strings.Cut(v, ":"); !strings.HasPrefix(name, ".") {
			if _, ok := c.Volumes[name]; !ok {
				t.Errorf("volume %s is not declared", name)
			}
		}
	}
	if grace, err := time.ParseDuration(f.Grace); err != nil || grace < 35*time.Second {
		t.Errorf("it is killed after %q, before requests that run had their time", f.Grace)
	}
	if !f.ReadOnly || !slices.Contains(f.Tmpfs, "/tmp") || !slices.Contains(f.CapDrop, "ALL") || !slices.Contains(f.SecurityOpt, "no-new-privileges:true") {
		t.Error("the container has more rights than it needs")
	}
}

// TestComposeAccepted asks Compose itself, where it is: by itself, and over the
// service of the stack.
func TestComposeAccepted(t *testing.T) {
	var command []string
	for _, c := range [][]string{{"docker", "compose"}, {"docker-compose"}} {
		if exec.Command(c[0], append(c[1:], "version")...).Run() == nil {
			command = c
			break
		}
	}
	if command == nil {
		t.Skip("neither docker compose nor docker-compose is here")
	}
	stack := filepath.Join(t.TempDir(), "docker-compose.yml")
	if err := os.WriteFile(stack, []byte(`services:
  functions:
    container_name: supabase-edge-functions
    image: supabase/edge-runtime
    restart: unless-stopped
    volumes:
      - ./volumes/functions:/home/deno/functions:Z
    environment:
      VERIFY_JWT: "true"
    command: ["start", "--main-service", "/home/deno/functions/main"]
`), 0o644); err != nil {
		t.Fatal(err)
	}
	vars, _ := stackVariables(t)
	env := os.Environ()
	for name, value := range vars {
		env = append(env, name+"="+value)
	}
	for _, files := range [][]string{{"-f", filepath.Join(repo, "compose.yaml")}, {"-f", stack, "-f", filepath.Join(repo, "compose.yaml")}} {
		cmd := exec.Command(command[0], slices.Concat(command[1:], files, []string{"config"})...)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, out)
			continue
		}
		var c composed
		if err := yaml.Unmarshal(out, &c); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		f := c.Services["functions"]
		if strings.Join(append(f.Entrypoint, f.Command...), " ") != "selvedge serve" || f.Image != "selvedge" || f.Environment["VERIFY_JWT"] != "false" {
			t.Errorf("the stack's service is not replaced: %s", out)
		}
	}
}

// TestCompose runs the service of compose.yaml by the engine alone, with the
// folder of Supabase's Docker stack.
func TestCompose(t *testing.T) {
	needEngine(t)
	image(t) // the stages before are shared
	vars, anon := stackVariables(t)
	vars["FUNCTIONS_VERIFY_JWT"] = "true"
	f := compose(t, vars).Services["functions"]
	const tag = dockerfileImage + ":runtime"
	engine.build(t, repo, tag, "--target", f.Build.Target, "--build-arg", "VERSION=1.2.3", "--build-arg", "REVISION=abc")

	stack := t.TempDir()
	for name, content := range map[string]string{
		"volumes/functions/main/index.ts":  `throw new Error("Supabase's router, which must not run");`,
		"volumes/functions/hello/index.ts": `Deno.serve(() => Response.json(["SUPABASE_URL", "SUPABASE_ANON_KEY", "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_DB_URL", "JWT_SECRET"].map((n) => Deno.env.get(n) ?? null)));`,
	} {
		path := filepath.Join(stack, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	volume := strings.TrimSpace(engine.do(t, "volume", "create"))
	t.Cleanup(func() { _, _ = engine.try("volume", "rm", "-f", volume) })
	var flags []string
	for name, value := range f.Environment {
		flags = append(flags, "-e", name+"="+value)
	}
	for _, v := range f.Volumes {
		source, rest, _ := strings.Cut(v, ":")
		if strings.HasPrefix(source, ".") {
			source = filepath.Join(stack, source)
		} else {
			source = volume
		}
		flags = append(flags, "-v", source+":"+rest)
	}
	flags = append(append(flags, "--entrypoint", f.Entrypoint[0], "--"), f.Command...)

	for _, cached := range []string{"false", "true"} { // the second one finds the first one's bundles
		b := start(t, tag, flags...)
		if a := b.call("GET", "/hello", "", ""); a.status != 401 {
			t.Errorf("without a key: %d %s", a.status, a.body)
		}
		a := b.call("POST", "/functions/v1/hello", "{}", anon)
		want := `["http://kong:8000","` + anon + `","` + vars["SERVICE_ROLE_KEY"] + `","postgresql://postgres:pg-secret@db:5432/postgres",null]`
		if a.status != 200 || a.body != want {
			t.Errorf("got %d %s, want %s", a.status, a.body, want)
		}
		if a := b.call("GET", "/main", "", anon); a.status != 404 {
			t.Errorf("the router answered: %d %s", a.status, a.body)
		}
		b.exec(f.Healthcheck.Test[1:]...)
		if log := b.log(); !strings.Contains(log, `"bundle_cached":`+cached) {
			t.Errorf("want bundle_cached %s: %s", cached, log)
		}
		b.stop()
	}

	flags = append([]string{"-e", "VERIFY_JWT=false"}, flags...)
	// Of one variable the last one counts.
	for i, f := range flags {
		if f == "VERIFY_JWT=true" {
			flags[i] = "VERIFY_JWT=false"
		}
	}
	if a := start(t, tag, flags...).call("GET", "/hello", "", ""); a.status != 200 {
		t.Errorf("with VERIFY_JWT=false: %d %s", a.status, a.body)
	}
}
