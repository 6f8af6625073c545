package aws

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/selvedge-dev/selvedge/e2e/harness"
)

// needCommands skips a test of commands that this selvedge has not.
func needCommands(t *testing.T, commands ...string) {
	t.Helper()
	for _, c := range commands {
		words, flag, _ := strings.Cut(c, " --")
		out, err := exec.Command(harness.Binary, append(strings.Fields(words), "--help")...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "selvedge "+words) || flag != "" && !strings.Contains(string(out), "--"+flag) {
			t.Skipf("skipped: there is no selvedge %s", c)
		}
	}
}

// copyExample puts the example's parameters.json into a project.
func copyExample(t *testing.T, p *project) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(harness.Repo, "parameters.json"))
	if err != nil {
		t.Skip("skipped: there is no parameters.json")
	}
	p.write(t, "parameters.json", string(raw))
}
