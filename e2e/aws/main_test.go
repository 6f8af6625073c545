// Package aws runs the real selvedge binary against AWS on this machine: an
// emulator of its API, see the folder emulator, a registry that speaks for ECR,
// and a selvedge serve in the place of the load balancer.
package aws

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/selvedge-dev/selvedge/e2e/harness"
)

// moto is the version that the emulator stands on.
const moto = "5.2."

// requireTools makes the absence of what the tests need a failure.
var requireTools = os.Getenv("SELVEDGE_REQUIRE_AWS_TOOLS") == "1"

// emulator is the one of the whole run, nil where it cannot run.
var emulator *emulated

// whyNot is why the emulator cannot run.
var whyNot string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	python, err := findPython()
	if err != nil {
		whyNot = err.Error()
		fmt.Fprintln(os.Stderr, "skipped: the tests against AWS's API: "+whyNot)
		if requireTools {
			return 1
		}
		return harness.Main(m)
	}
	if emulator, err = startEmulator(python); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer emulator.stop()
	return harness.Main(m)
}

// needEmulator skips a test where there is no emulator, which cannot be where
// Python has moto.
func needEmulator(t *testing.T) *emulated {
	t.Helper()
	if emulator == nil {
		t.Skip(whyNot)
	}
	return emulator
}

// findPython looks for a Python with moto: the usual one, or the one that runs
// moto_server.
func findPython() (string, error) {
	candidates := []string{"python3", "python"}
	if script, err := exec.LookPath("moto_server"); err == nil {
		if text, err := os.ReadFile(script); err == nil {
			first, _, _ := strings.Cut(string(text), "\n")
			if interpreter, ok := strings.CutPrefix(first, "#!"); ok && strings.Contains(interpreter, "python") {
				candidates = append([]string{strings.TrimSpace(interpreter)}, candidates...)
			}
		}
	}
	var found []string
	for _, python := range candidates {
		out, err := exec.Command(python, "-c", "import moto, flask, boto3; print(moto.__version__)").Output()
		if err != nil {
			continue
		}
		version := strings.TrimSpace(string(out))
		if strings.HasPrefix(version, moto) {
			return python, nil
		}
		found = append(found, version)
	}
	if len(found) > 0 {
		return "", fmt.Errorf("moto is %s here and not %sx; install it with: pip install 'moto[server]==5.2.1' boto3", found[0], moto)
	}
	return "", errors.New("no Python with moto is here; install it with: pip install 'moto[server]==5.2.1' boto3")
}

// needCLI returns the AWS CLI's path, and skips the test where there is none.
func needCLI(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("aws")
	if err != nil {
		if requireTools {
			t.Fatal("no AWS CLI is here")
		}
		t.Skip("skipped: no AWS CLI is here")
	}
	return path
}
