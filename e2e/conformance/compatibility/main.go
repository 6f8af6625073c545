// Command compatibility runs the tests that the contract's table names, and
// writes docs/compatibility.md from their results. It writes nothing when one
// of them fails or is not there.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/selvedge-dev/selvedge/e2e/conformance/contract"
	"github.com/selvedge-dev/selvedge/internal/deno/release"
)

const module = "github.com/selvedge-dev/selvedge/"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() error {
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return fmt.Errorf("find the repository: %w", err)
	}
	repo := filepath.Dir(strings.TrimSpace(string(mod)))
	ended, err := runTests(repo)
	if err != nil {
		return err
	}
	report := contract.Report{Results: map[string]string{}}
	var wrong []error
	for _, area := range contract.Areas() {
		for _, row := range area.Rows {
			result, err := ended.of(row)
			if err != nil {
				wrong = append(wrong, err)
			}
			report.Results[row.Says] = result
		}
	}
	if err := errors.Join(wrong...); err != nil {
		return fmt.Errorf("nothing is written:\n%w", err)
	}
	if report.Clients, err = clients(repo); err != nil {
		return err
	}
	page := filepath.Join(repo, "docs", "compatibility.md")
	if err := os.WriteFile(page, contract.Render(report), 0o644); err != nil {
		return err
	}
	fmt.Println("wrote docs/compatibility.md")
	return nil
}

// outcomes are how tests ended, by the names that the table uses.
type outcomes map[string]*outcome

type outcome struct {
	action string // pass, fail or skip
	output []string
}

// of returns a row's result, or why there is none.
func (o outcomes) of(row contract.Row) (string, error) {
	result := "pass"
	for _, test := range row.Tests {
		switch got := o[test]; {
		case got == nil:
			return "", fmt.Errorf("%s did not run", test)
		case got.action == "skip":
			result = "not yet: " + got.reason()
		case got.action != "pass":
			return "", fmt.Errorf("%s: %s\n%s", test, got.action, strings.Join(got.output, ""))
		}
	}
	return result, nil
}

var place = regexp.MustCompile(`^\s+\S+\.go:\d+: (.*)`)

// reason is what a test said when it skipped itself.
func (o *outcome) reason() string {
	for _, line := range slices.Backward(o.output) {
		if found := place.FindStringSubmatch(line); found != nil {
			return found[1]
		}
	}
	return "it is skipped"
}

// runTests runs the named tests, a package after the other: some start whole
// servers.
func runTests(repo string) (outcomes, error) {
	packages := map[string][]string{}
	var order []string
	for _, test := range contract.Tests() {
		dir, name, _ := strings.Cut(test, ".")
		name, _, _ = strings.Cut(name, "/")
		if packages[dir] == nil {
			order = append(order, dir)
		}
		if !slices.Contains(packages[dir], name) {
			packages[dir] = append(packages[dir], name)
		}
	}
	ended := outcomes{}
	for _, dir := range order {
		fmt.Printf("%s: %d tests\n", dir, len(packages[dir]))
		cmd := exec.Command("go", "test", "-json", "-count=1", "-timeout=15m", "-run", "^("+strings.Join(packages[dir], "|")+")$", "./"+dir)
		cmd.Dir = repo
		// A client that is missing must not make a row "not yet".
		cmd.Env = append(os.Environ(), "SELVEDGE_REQUIRE_CLIENTS=1")
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		if err := ended.read(out); err != nil {
			return nil, fmt.Errorf("read the results of %s: %w", dir, err)
		}
		_ = cmd.Wait() // whether the tests that count passed is in what they said
	}
	return ended, nil
}

// read takes what `go test -json` writes.
func (o outcomes) read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var event struct{ Action, Package, Test, Output string }
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return fmt.Errorf("%w: %s", err, lines.Bytes())
		}
		if event.Action == "build-output" || event.Test == "" && strings.HasPrefix(event.Output, "FAIL") {
			fmt.Fprint(os.Stderr, event.Output)
		}
		if event.Test == "" {
			continue
		}
		name := strings.TrimPrefix(event.Package, module) + "." + event.Test
		if o[name] == nil {
			o[name] = &outcome{}
		}
		switch event.Action {
		case "output":
			o[name].output = append(o[name].output, event.Output)
		case "pass", "fail", "skip":
			o[name].action = event.Action
		}
	}
	return lines.Err()
}

// clients says what the tests were run with.
func clients(repo string) (string, error) {
	raw, err := os.ReadFile(filepath.Join(repo, "e2e", "conformance", "client", "package-lock.json"))
	if err != nil {
		return "", err
	}
	var lock struct {
		Packages map[string]struct{ Version string }
	}
	if err := json.Unmarshal(raw, &lock); err != nil {
		return "", fmt.Errorf("read package-lock.json: %w", err)
	}
	npm := func(name string) string { return lock.Packages["node_modules/"+name].Version }
	return fmt.Sprintf("supabase-js %s, %s and %s, functions-js %s and ws %s in Node.js %s; supabase-js %s in Chromium %s; curl %s. The functions ran on Deno %s",
		npm("@supabase/supabase-js"), npm("supabase-js-2.57"), npm("supabase-js-2.39"), npm("@supabase/functions-js"), npm("ws"),
		version("node"), npm("@supabase/supabase-js"), version(os.Getenv("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"), version("curl"), release.Version), nil
}

var number = regexp.MustCompile(`\d+(\.\d+)+`)

// version asks the first program that is there.
func version(programs ...string) string {
	for _, program := range programs {
		if out, err := exec.Command(program, "--version").Output(); err == nil {
			return string(number.Find(bytes.TrimSpace(out)))
		}
	}
	return "of an unknown version"
}
