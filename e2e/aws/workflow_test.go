package aws

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/selvedge-dev/selvedge/e2e/harness"
)

// A workflow is the part of a workflow file that the test looks at.
type workflow struct {
	Permissions map[string]string
	Jobs        map[string]struct {
		Permissions map[string]string
		Environment string
		Env         map[string]string
		Steps       []struct {
			Name, Uses, Run string
			With            map[string]any
			Env             map[string]string
		}
	}
}

func exampleFile(name string) string {
	return filepath.Join(harness.Repo, "examples", "github-actions", name)
}

// TestWorkflow: the workflow of the examples is given no more than it needs,
// and runs commands that there are.
func TestWorkflow(t *testing.T) {
	raw, err := os.ReadFile(exampleFile("deploy.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var w workflow
	if err := yaml.Unmarshal(raw, &w); err != nil {
		t.Fatal(err)
	}
	if len(w.Permissions) != 2 || w.Permissions["id-token"] != "write" || w.Permissions["contents"] != "read" {
		t.Errorf("permissions: %v", w.Permissions)
	}
	pinned := regexp.MustCompile(`^[\w-]+/[\w-]+@v\d+$`)
	signedIn := false
	for name, job := range w.Jobs {
		if job.Permissions != nil || !strings.Contains(job.Environment, "inputs.environment") {
			t.Errorf("job %s: permissions %v, environment %q", name, job.Permissions, job.Environment)
		}
		for _, step := range job.Steps {
			if step.Uses != "" && !pinned.MatchString(step.Uses) {
				t.Errorf("%s is not pinned to a major version", step.Uses)
			}
			if strings.Contains(step.Run, "${{") {
				t.Errorf("step %s: what comes from outside belongs in env, not in the script: %s", step.Name, step.Run)
			}
			if strings.HasPrefix(step.Uses, "aws-actions/configure-aws-credentials@") {
				signedIn = step.With["role-to-assume"] != nil && step.With["aws-access-key-id"] == nil
			}
			if strings.HasPrefix(step.Uses, "actions/checkout@") && step.With["persist-credentials"] != false {
				t.Error("the checkout leaves GitHub's token in the folder")
			}
			for variable := range step.Env {
				if slices.Contains([]string{"JWT_SECRET", "ANON_KEY", "SERVICE_ROLE_KEY"}, variable) && !strings.Contains(step.Run, "selvedge deploy") {
					t.Errorf("step %s gets %s", step.Name, variable)
				}
			}
			for _, line := range strings.Split(step.Run, "\n") {
				checkCommand(t, "deploy.yml", line)
			}
		}
		for variable := range job.Env {
			if !strings.HasPrefix(variable, "SELVEDGE_DEPLOY_") {
				t.Errorf("every step gets %s", variable)
			}
		}
	}
	if !signedIn {
		t.Error("it does not sign in by a role alone")
	}
	readme, err := os.ReadFile(exampleFile("README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(readme)) {
		if strings.HasPrefix(line, "selvedge ") {
			checkCommand(t, "README.md", line)
		}
	}
}

var commandLine = regexp.MustCompile(`(?:^|[\s(])selvedge ((?:[a-z]+ ?)+)((?: ?--[a-z-]+(?:[ =][^\s;|-]\S*)?)*)`)

// checkCommand runs the help of a command in a line, and looks for its flags.
func checkCommand(t *testing.T, where, line string) {
	t.Helper()
	for _, m := range commandLine.FindAllStringSubmatch(line, -1) {
		words := strings.Fields(m[1])
		help, err := exec.Command(harness.Binary, append(words, "--help")...).CombinedOutput()
		if err != nil || !strings.Contains(string(help), "selvedge "+words[0]) {
			t.Errorf("%s: selvedge %s: %v\n%s", where, strings.Join(words, " "), err, help)
			continue
		}
		for _, flag := range regexp.MustCompile(`--[a-z-]+`).FindAllString(m[2], -1) {
			if !strings.Contains(string(help), flag+" ") && !strings.Contains(string(help), flag+"\n") {
				t.Errorf("%s: selvedge %s has no %s", where, strings.Join(words, " "), flag)
			}
		}
	}
}

// TestTrustPolicy: only runs of the repository's environments become the role.
func TestTrustPolicy(t *testing.T) {
	raw, err := os.ReadFile(exampleFile("trust-policy.json"))
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		Statement []struct {
			Effect, Action string
			Condition      map[string]map[string]any
		}
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		t.Fatal(err)
	}
	if len(p.Statement) != 1 {
		t.Fatalf("%+v", p)
	}
	s := p.Statement[0]
	equals := s.Condition["StringEquals"]
	subjects, _ := equals["token.actions.githubusercontent.com:sub"].([]any)
	if s.Action != "sts:AssumeRoleWithWebIdentity" || len(s.Condition) != 1 || equals["token.actions.githubusercontent.com:aud"] != "sts.amazonaws.com" || len(subjects) == 0 {
		t.Errorf("%+v", s)
	}
	for _, subject := range subjects {
		if text, _ := subject.(string); !strings.HasPrefix(text, "repo:OWNER/REPOSITORY:environment:") || strings.Contains(text, "*") {
			t.Errorf("subject %v", subject)
		}
	}
}
