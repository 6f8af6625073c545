package aws

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/e2e/harness"
)

// What a project is called on AWS unless it says otherwise.
const service = "supabase-edge-runtime-production"

// A deployed is what `selvedge deploy --json` says.
type deployed struct {
	State, Stack, Environment, Account, Region, URL, Release, Image string
	TaskDefinition                                                  string   `json:"task_definition"`
	LogGroup                                                        string   `json:"log_group"`
	Checked                                                         []string `json:"checked"`
	Seconds                                                         float64
}

// parse reads the JSON that is all of a command's output.
func parse[T any](t *testing.T, r *result) T {
	t.Helper()
	var v T
	if r.code != 0 {
		t.Fatalf("%s", r)
	}
	if err := json.Unmarshal([]byte(r.stdout), &v); err != nil {
		t.Fatalf("%v\n%s", err, r)
	}
	return v
}

// deploy runs `selvedge deploy --yes --json`, which has to succeed.
func (a *account) deploy(p *project, at string, args ...string) deployed {
	a.t.Helper()
	return parse[deployed](a.t, a.selvedge(p.dir, append([]string{"deploy", "--yes", "--json", "--url", at}, args...)...))
}

// undeployed is an account with a project that is not there yet, and what
// answers in place of its functions.
func undeployed(t *testing.T) (*account, *project, *front) {
	t.Helper()
	a := newAccount(t)
	return a, newProject(a), newFront(t)
}

// changedSince is one that has been deployed, and whose function is another one
// since.
func changedSince(t *testing.T) (*account, *project, *front, deployed) {
	t.Helper()
	a, p, f := undeployed(t)
	first := a.deploy(p, f.URL)
	p.become(t, "second")
	return a, p, f, first
}

// say fails the test unless a command said all of it, on either output.
func say(t *testing.T, r *result, parts ...string) {
	t.Helper()
	all := r.stdout + r.stderr
	for _, part := range parts {
		if !strings.Contains(all, part) {
			t.Errorf("no %q from %s", part, r)
		}
	}
}

// stackStatus is the status of the service's stack, "" for none.
func (a *account) stackStatus(name string) string {
	a.t.Helper()
	for _, s := range a.inventory()["stack"] {
		if n, status, _ := strings.Cut(s, " "); n == name {
			return status
		}
	}
	return ""
}

// changing returns the calls that change something, but for those named.
func (a *account) changing(but ...string) []string {
	var found []string
	for _, c := range a.calls.all() {
		op := c.operation
		reads := strings.HasPrefix(op, "Describe") || strings.HasPrefix(op, "List") || strings.HasPrefix(op, "Get") || strings.HasPrefix(op, "Batch") ||
			strings.HasPrefix(op, "Simulate") || strings.HasPrefix(op, "Filter") || strings.HasPrefix(op, "Validate")
		if !reads && !slices.Contains(but, c.action()) {
			found = append(found, c.action())
		}
	}
	return found
}

// TestDeploy is the life of a deployment, from nothing and back to it.
func TestDeploy(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	p := newProject(a)
	url := p.serve(t)
	empty := a.inventory()

	first := a.deploy(p, url)
	if first.State != "live" || first.Stack != service || first.Account != a.id || first.Region != region || first.Release == "" || first.LogGroup != "/ecs/"+service {
		t.Errorf("%+v", first)
	}
	if !slices.ContainsFunc(first.Checked, func(s string) bool { return strings.HasSuffix(s, "/hello") }) {
		t.Errorf("the function was not asked: %q", first.Checked)
	}
	if !strings.Contains(first.Image, "@sha256:") {
		t.Errorf("not deployed by digest: %s", first.Image)
	}
	if _, err := time.Parse("20060102T150405Z", first.Release); err != nil {
		t.Errorf("release %q: %v", first.Release, err)
	}
	all := a.registry.uploads()
	if len(all) < 5 {
		t.Errorf("pushed at first: %v", all)
	}

	t.Run("unchanged", func(t *testing.T) {
		a.calls.forget()
		same := a.deploy(p, url)
		if same.State != "unchanged" || same.Release != first.Release {
			t.Errorf("%+v", same)
		}
		if pushed := a.registry.uploads(); len(pushed) > 0 {
			t.Errorf("pushed: %v", pushed)
		}
		if did := a.changing("cloudformation:CreateChangeSet", "cloudformation:DeleteChangeSet"); len(did) > 0 {
			t.Errorf("changed: %q", did)
		}
	})

	p.become(t, "second")
	second := a.deploy(p, p.serve(t))
	t.Run("update", func(t *testing.T) {
		if second.State != "live" || second.Release == first.Release || second.Image == first.Image || second.TaskDefinition == first.TaskDefinition {
			t.Errorf("%+v after %+v", second, first)
		}
		var bytes int64
		blobs := 0
		for _, u := range a.registry.uploads() {
			bytes += u.bytes
			if strings.Contains(u.path, "/blobs/") {
				blobs++
			}
		}
		// The layer of the function and the image's configuration.
		if blobs > 2 || bytes > 100_000 {
			t.Errorf("%d blobs, %d bytes for one function", blobs, bytes)
		}
	})

	t.Run("releases", func(t *testing.T) {
		r := a.must(p.dir, "releases")
		say(t, r, first.Release, second.Release)
		raw := parse[json.RawMessage](t, a.selvedge(p.dir, "releases", "--json"))
		if !strings.Contains(string(raw), first.Release) || !strings.Contains(string(raw), second.Release) {
			t.Errorf("%s", raw)
		}
	})

	t.Run("rollback", func(t *testing.T) {
		back := parse[deployed](t, a.selvedge(p.dir, "rollback", "--yes", "--json", "--url", url))
		if back.Image != first.Image || len(a.registry.uploads()) > 0 {
			t.Errorf("%+v, want the image %s", back, first.Image)
		}
		forth := parse[deployed](t, a.selvedge(p.dir, "rollback", second.Release, "--yes", "--json", "--url", url))
		if forth.Image != second.Image {
			t.Errorf("%+v, want the image %s", forth, second.Image)
		}
		if r := a.selvedge(p.dir, "rollback", "20000101T000000Z", "--yes", "--url", url); r.code == 0 {
			t.Errorf("a release that never was: %s", r)
		}
	})

	t.Run("by hand", func(t *testing.T) { a.testOperating(t, p, url) })
	if t.Failed() {
		return
	}
	t.Run("destroy", func(t *testing.T) { a.testDestroy(t, p, empty) })
	t.Run("again", func(t *testing.T) {
		// With secrets that are to be deleted, and names that were used.
		if again := a.deploy(p, url); again.State != "live" || a.runs(t) != again.Image {
			t.Errorf("%+v, and %s runs", again, a.runs(t))
		}
		a.must(p.dir, "destroy", "--yes", "--name", service)
		if left := added(empty, a.inventory()); len(left["vpc"]) > 0 || len(left["stack"]) > 0 {
			t.Errorf("left: %v", left)
		}
	})
}

// TestDeployFails: tasks of a release end at their start. ECS goes back, and
// the command says why, and what to do.
func TestDeployFails(t *testing.T) {
	t.Parallel()
	a, p, f, first := changedSince(t)
	a.doom(service, "exit", `{"level":"error","event":"start_failed","msg":"the disk of the test is full"}`)
	r := a.selvedge(p.dir, "deploy", "--yes", "--url", f.URL)
	if r.code != 1 {
		t.Errorf("%s", r)
	}
	say(t, r, "Essential container in task exited", "exit code 1", "the disk of the test is full", "rolled back", "selvedge ")
	if s := a.stackStatus(service); s != "UPDATE_ROLLBACK_COMPLETE" {
		t.Errorf("the stack is %s", s)
	}
	// The next one finds things as they were, and goes on.
	second := a.deploy(p, f.URL)
	if second.State != "live" || second.Image == first.Image {
		t.Errorf("%+v", second)
	}

	a.doom(service, "exit", "again")
	p.become(t, "third")
	r = a.selvedge(p.dir, "deploy", "--yes", "--json", "--url", f.URL)
	if r.code != 1 {
		t.Errorf("%s", r)
	}
	if r.stdout != "" && !json.Valid([]byte(r.stdout)) {
		t.Errorf("with --json there is something else on stdout: %s", r)
	}
}

// TestDeployUnhealthy: tasks of the first release never become healthy. The
// stack is gone back to nothing, and the next deploy takes over from there.
func TestDeployUnhealthy(t *testing.T) {
	t.Parallel()
	a, p, f := undeployed(t)
	a.doom(service, "health")
	r := a.selvedge(p.dir, "deploy", "--yes", "--url", f.URL)
	if r.code != 1 {
		t.Errorf("%s", r)
	}
	say(t, r, "health checks")
	if s := a.stackStatus(service); s != "ROLLBACK_COMPLETE" {
		t.Errorf("the stack is %q", s)
	}
	if d := a.deploy(p, f.URL); d.State != "live" {
		t.Errorf("%+v", d)
	}
}

// TestDeploySmoke: tasks are healthy, and the functions do not answer. The
// release before comes back, unless that is not wanted.
func TestDeploySmoke(t *testing.T) {
	t.Parallel()
	a, p, f, first := changedSince(t)
	f.answer(http.StatusInternalServerError)
	r := a.selvedge(p.dir, "deploy", "--yes", "--url", f.URL)
	if r.code != 1 {
		t.Errorf("%s", r)
	}
	say(t, r, "500", first.Release)
	if image := a.runs(t); image != first.Image {
		t.Errorf("%s runs, not the release before, %s", image, first.Image)
	}
	r = a.selvedge(p.dir, "deploy", "--yes", "--no-rollback", "--url", f.URL)
	if r.code != 1 {
		t.Errorf("%s", r)
	}
	if image := a.runs(t); image == first.Image {
		t.Errorf("with --no-rollback the release before is back")
	}
}

// runs is the image of the service's tasks.
func (a *account) runs(t *testing.T) string {
	t.Helper()
	status, text := a.ask("ecs", "AmazonEC2ContainerServiceV20141113.DescribeServices", map[string]any{"cluster": service, "services": []string{service}})
	var services struct {
		Services []struct{ TaskDefinition string }
	}
	if err := json.Unmarshal([]byte(text), &services); err != nil || len(services.Services) != 1 {
		t.Fatalf("%d %s %v", status, text, err)
	}
	return a.definition(t, services.Services[0].TaskDefinition).ContainerDefinitions[0].Image
}

// A definition is the part of a task definition that tests look at.
type definition struct {
	ContainerDefinitions []struct {
		Name, Image string
		Environment []struct{ Name, Value string }
		Secrets     []struct{ Name, ValueFrom string }
	}
}

func (a *account) definition(t *testing.T, arn string) definition {
	t.Helper()
	_, text := a.ask("ecs", "AmazonEC2ContainerServiceV20141113.DescribeTaskDefinition", map[string]any{"taskDefinition": arn})
	var d struct{ TaskDefinition definition }
	if err := json.Unmarshal([]byte(text), &d); err != nil || len(d.TaskDefinition.ContainerDefinitions) == 0 {
		t.Fatalf("%s: %v\n%s", arn, err, text)
	}
	return d.TaskDefinition
}

// TestDryRun shows what would be and leaves nothing of the stack.
func TestDryRun(t *testing.T) {
	t.Parallel()
	a, p, f := undeployed(t)
	before := a.inventory()
	r := a.must(p.dir, "deploy", "--dry-run", "--url", f.URL)
	say(t, r, "LoadBalancer", "TaskDefinition")
	harness.Eventually(t, 10*time.Second, "nothing is left of the dry run", func() bool { return len(added(before, a.inventory())) == 0 })
	if len(f.asked) > 0 {
		t.Errorf("asked: %q", f.asked)
	}

	first := a.deploy(p, f.URL)
	p.become(t, "second")
	before = a.inventory()
	planned := parse[deployed](t, a.selvedge(p.dir, "deploy", "--dry-run", "--json"))
	if planned.State != "planned" {
		t.Errorf("%+v", planned)
	}
	harness.Eventually(t, 10*time.Second, "nothing is left of the dry run", func() bool { return len(added(before, a.inventory())) == 0 })
	if image := a.runs(t); image != first.Image {
		t.Errorf("the dry run deployed %s", image)
	}
}

// TestConfirm: at a terminal it asks, shows how it is going, and a no is a no.
func TestConfirm(t *testing.T) {
	t.Parallel()
	a, p, f := undeployed(t)
	r := a.onTerminal(p.dir, "n\n", "deploy", "--url", f.URL)
	if r.code == 0 {
		t.Errorf("%s", r)
	}
	say(t, r, "declined")
	harness.Eventually(t, 10*time.Second, "nothing is left of the stack", func() bool { return a.stackStatus(service) == "" })
	r = a.onTerminal(p.dir, "y\n", "deploy", "--url", f.URL)
	if r.code != 0 || a.stackStatus(service) != "CREATE_COMPLETE" {
		t.Errorf("%s", r)
	}
	// The address, the log, and what to do next; and a line that moves.
	say(t, r, "elb.amazonaws.com", "selvedge logs --aws", "\r\x1b[K")
}
