package conformance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// testNode runs client/node.mjs.
func testNode(t *testing.T, to target) {
	node, err := exec.LookPath("node")
	if err != nil {
		need(t, "node is not in PATH: install Node.js 18 or newer")
	}
	installClients(t)
	told, err := json.Marshal(to)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, "node.mjs")
	cmd.Dir = here("client")
	cmd.Env = append(os.Environ(), "CONFORMANCE="+string(told), "NODE_EXTRA_CA_CERTS="+to.certificate)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var all reports
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		all.add(t, lines.Bytes())
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("node: %v\n%s", err, said.String())
	}
	all.run(t)
}

// A report is the outcome of one check of a client program.
type report struct {
	Group string `json:"group"`
	Name  string `json:"name"`
	Skip  string `json:"skip"`
	Error string `json:"error"`
}

// reports are the checks by their groups, in order.
type reports struct {
	groups []string
	checks map[string][]report
}

func (r *reports) add(t *testing.T, line []byte) {
	t.Helper()
	var one report
	if err := json.Unmarshal(line, &one); err != nil {
		t.Errorf("not a report: %s", line)
		return
	}
	if r.checks == nil {
		r.checks = map[string][]report{}
	}
	if r.checks[one.Group] == nil {
		r.groups = append(r.groups, one.Group)
	}
	r.checks[one.Group] = append(r.checks[one.Group], one)
}

// run makes a test of each check.
func (r *reports) run(t *testing.T) {
	if len(r.groups) == 0 {
		t.Error("nothing was checked")
	}
	for _, group := range r.groups {
		t.Run(group, func(t *testing.T) {
			for _, c := range r.checks[group] {
				// A slash would make two levels of one name.
				t.Run(strings.ReplaceAll(c.Name, "/", " "), func(t *testing.T) {
					if c.Skip != "" {
						t.Skip(c.Skip)
					}
					if c.Error != "" {
						t.Error(c.Error)
					}
				})
			}
		})
	}
}

// installClients has npm install what the lock file names, unless that is what
// is there.
func installClients(t *testing.T) {
	t.Helper()
	lock, err := os.ReadFile(here("client", "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	// A copy of the lock file that was installed.
	stamp := filepath.Join(here("client"), "node_modules", ".installed")
	if had, err := os.ReadFile(stamp); err == nil && bytes.Equal(had, lock) {
		return
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		need(t, "npm is not in PATH, and the clients are not installed")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, npm, "ci")
	cmd.Dir = here("client")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	if err := os.WriteFile(stamp, lock, 0o644); err != nil {
		t.Fatal(err)
	}
}
