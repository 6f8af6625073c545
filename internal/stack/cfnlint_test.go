package stack

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestCfnLint runs cfn-lint, with all of its checks, over the files as they are
// committed.
func TestCfnLint(t *testing.T) {
	lint, err := exec.LookPath("cfn-lint")
	if err != nil {
		t.Skip("no cfn-lint: what it finds in the templates is not looked at")
	}
	for name := range committed() {
		if filepath.Ext(name) != ".yaml" {
			continue
		}
		out, err := exec.Command(lint, "--include-checks", "I", "--", name).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
