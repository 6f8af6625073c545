package aws

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/selvedge-dev/selvedge/e2e/harness"
)

// TestDeployRefuses: what is wrong here is found before AWS is changed.
func TestDeployRefuses(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	other, err := exec.Command(harness.Binary, "keys", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var foreign map[string]string
	if err := json.Unmarshal(other, &foreign); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		code   int
		says   string
		change func(t *testing.T, p *project) (env, args []string)
	}{
		{"nobody can be asked", 2, "--yes", func(*testing.T, *project) ([]string, []string) { return nil, nil }},
		{"an anon key of another project", 2, "ANON_KEY", func(_ *testing.T, p *project) ([]string, []string) {
			return []string{"ANON_KEY=" + foreign["ANON_KEY"]}, []string{"--yes"}
		}},
		{"a service_role key in the place of the anon key", 2, "ANON_KEY", func(_ *testing.T, p *project) ([]string, []string) {
			return []string{"ANON_KEY=" + p.keys["SERVICE_ROLE_KEY"]}, []string{"--yes"}
		}},
		{"the example's placeholders", 2, "parameters.json", func(t *testing.T, p *project) ([]string, []string) {
			p.write(t, ".env", "")
			copyExample(t, p)
			return nil, []string{"--yes"}
		}},
		{"no keys at all", 2, "JWT_SECRET", func(t *testing.T, p *project) ([]string, []string) {
			p.write(t, ".env", "")
			return nil, []string{"--yes"}
		}},
		{"a pair that Fargate has not", 2, "512", func(*testing.T, *project) ([]string, []string) {
			return nil, []string{"--yes", "--set", "cpu=512", "--set", "memory=8192"}
		}},
		{"a key that there is not", 2, "desired_count", func(t *testing.T, p *project) ([]string, []string) {
			p.write(t, "selvedge.toml", settings+"desired_cont = 3\n")
			return nil, []string{"--yes"}
		}},
		{"a function that does not build", 1, "hello", func(t *testing.T, p *project) ([]string, []string) {
			p.write(t, "functions/hello/index.ts", "Deno.serve(() => {")
			return nil, []string{"--yes"}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newProject(a)
			env, args := c.change(t, p)
			a.calls.forget()
			r := a.command(p.dir, env, append([]string{"deploy", "--url", "http://127.0.0.1:1"}, args...)...)
			if r.code != c.code {
				t.Errorf("want exit code %d: %s", c.code, r)
			}
			say(t, r, c.says)
			changed := a.changing()
			if c.name == "nobody can be asked" { // which is seen when there is something to ask
				changed = nil
				if s := a.stackStatus(service); s != "" {
					t.Errorf("the stack is there: %s", s)
				}
			}
			if len(changed) > 0 {
				t.Errorf("changed: %q", changed)
			}
			if strings.Contains(r.stderr, "goroutine ") {
				t.Errorf("%s", r)
			}
		})
	}
}

// TestRights: what IAM says is missing is warned of, and where it may not be
// asked, that is said.
func TestRights(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	p := newProject(a)
	r := a.must(p.dir, "deploy", "--dry-run")
	say(t, r, "rights not checked")
	a.emulator.control(t, a.id, "set", map[string]any{"denied": []string{"ecr:PutImage", "ec2:CreateVpc"}}, nil)
	r = a.must(p.dir, "deploy", "--dry-run")
	say(t, r, "lack rights", "ec2:CreateVpc", "ecr:PutImage", "rights checked")
	if strings.Contains(r.stderr, "ecr:UploadLayerPart") {
		t.Errorf("a right that is there is said to be missing: %s", r)
	}
	a.emulator.control(t, a.id, "set", map[string]any{"denied": []string{}}, nil)
	if r = a.must(p.dir, "deploy", "--dry-run"); strings.Contains(r.stderr, "lack rights") {
		t.Errorf("%s", r)
	}
}
