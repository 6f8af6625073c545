package container

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/selvedge-dev/selvedge/e2e/harness"
	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
)

// runScript runs test-local.sh of a folder and returns what it printed.
func runScript(t *testing.T, folder string, env ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(filepath.Join(folder, "test-local.sh"))
	cmd.Env = append(harness.Environ(env...), fmt.Sprintf("PORT=%d", freePort(t)))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// binaryOnly are the variables of a run without a container.
func binaryOnly(t *testing.T) []string {
	return []string{"SELVEDGE_DENO=" + denotest.Binary(t), "SELVEDGE_DATA_DIR=" + denotest.TempDir(t)}
}

var allAnswered = regexp.MustCompile(`all (\d+) calls answered as they should`)

func checkScript(t *testing.T, out string, err error) {
	t.Helper()
	if m := allAnswered.FindStringSubmatch(out); err != nil || m == nil || m[1] != "24" {
		t.Errorf("%v:\n%s", err, out)
	}
	for _, want := range []string{"without key 401", `anon key    200`, `{"message":"Hello Functions!"}`} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not print %q:\n%s", want, out)
		}
	}
}

// TestScriptWithEngine has the script find the engine by itself.
func TestScriptWithEngine(t *testing.T) {
	needEngine(t)
	// The engine that the tests started has no network of its own.
	bin := t.TempDir()
	shim := "#!/bin/sh\nexport DOCKER_HOST=" + engine.host + "\ncase \"$1 $*\" in\n" +
		"*\" --network \"*) ;;\n\"build \"* | \"run \"*) first=$1; shift; set -- \"$first\" --network host \"$@\" ;;\nesac\nexec " + engine.client + " \"$@\"\n"
	if engine.host == "" {
		shim = "#!/bin/sh\nexec " + engine.client + " \"$@\"\n"
	}
	if err := os.WriteFile(filepath.Join(bin, "docker"), []byte(shim), 0o755); err != nil {
		t.Fatal(err)
	}
	before := engine.do(t, "ps", "-aq")
	out, err := runScript(t, repo, "PATH="+bin+":"+os.Getenv("PATH"))
	checkScript(t, out, err)
	if !strings.Contains(out, "with docker") {
		t.Errorf("it did not use the engine:\n%s", out)
	}
	if after := engine.do(t, "ps", "-aq"); after != before {
		t.Errorf("it left a container:\n%s", after)
	}
}

func TestScriptWithoutEngine(t *testing.T) {
	// Where docker is installed it does not answer.
	out, err := runScript(t, repo, append(binaryOnly(t), "DOCKER_HOST=unix:///nowhere", "CONTAINER_HOST=unix:///nowhere", "ENGINE=none")...)
	checkScript(t, out, err)
	if !strings.Contains(out, "this tests the binary itself, not the image") {
		t.Errorf("it does not say that it tested no image:\n%s", out)
	}
}

// TestScriptFails: what does not work makes it fail, and it says what.
func TestScriptFails(t *testing.T) {
	dir := checkout(t)
	put := func(name, content string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	put("functions/good/index.ts", `Deno.serve(() => new Response("good"));`)
	put("functions/open/index.ts", `Deno.serve(() => new Response("open"));`)
	put("config.toml", "[functions.open]\nverify_jwt = false\n")
	env := append(binaryOnly(t), "ENGINE=none")
	out, err := runScript(t, dir, env...)
	if err != nil || !strings.Contains(out, "open to all 200") || !allAnswered.MatchString(out) {
		t.Fatalf("%v:\n%s", err, out)
	}
	put("functions/bad/index.ts", `throw new Error("it does not load");`)
	out, err = runScript(t, dir, env...)
	if err == nil || !strings.Contains(out, "1 of 6 calls did not answer as they should") || !regexp.MustCompile(`FAIL +bad +anon key +503`).MatchString(out) {
		t.Errorf("%v:\n%s", err, out)
	}
	out, err = runScript(t, dir, append(env, "JWT_SECRET=short", "ANON_KEY=a", "SERVICE_ROLE_KEY=b")...)
	if err == nil {
		t.Errorf("with a wrong key it succeeds:\n%s", out)
	}
	out, err = runScript(t, dir, append(env, "ENGINE=steam")...)
	if err == nil || !strings.Contains(out, "write docker, podman or none") {
		t.Errorf("%v:\n%s", err, out)
	}
}

func TestScriptsAreClean(t *testing.T) {
	if _, err := exec.LookPath("shellcheck"); err != nil {
		t.Skip("shellcheck is not here")
	}
	for _, script := range []string{"test-local.sh", "deploy-edge-runtime-aws.sh", "e2e/container/engine.sh", ".ci/run"} {
		cmd := exec.Command("shellcheck", script)
		cmd.Dir = repo
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", script, err, out)
		}
	}
}
