package stack

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the files that are made from this package anew")

// committed are the files of the repository that this package makes.
func committed() map[string][]byte {
	return map[string][]byte{
		"../../aws-cloudformation.yaml":                    Service().YAML(),
		"../../aws-registry.yaml":                          Registry().YAML(),
		"../../examples/github-actions/deploy-policy.json": DeployPolicy(exampleScope).JSON(),
	}
}

// TestCommittedFiles keeps the files that people use those of the code.
func TestCommittedFiles(t *testing.T) {
	for name, want := range committed() {
		if *update {
			if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, want, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what internal/stack makes; run make generate", name)
		}
	}
}
