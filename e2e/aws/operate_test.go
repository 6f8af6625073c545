package aws

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/e2e/harness"
)

// testOperating is about a deployment that runs: what it says of itself, and
// what can be changed without a deploy.
func (a *account) testOperating(t *testing.T, p *project, url string) {
	t.Run("status", func(t *testing.T) {
		r := a.must(p.dir, "status")
		say(t, r, service+" in "+region+" is healthy", "UPDATE_COMPLETE", "2 running, 0 starting, 2 wanted", "2 healthy")
		if r.stderr != "" {
			t.Errorf("%s", r)
		}
		now := parse[struct {
			State   string
			Tasks   struct{ Desired, Running int }
			Targets []struct{ State string }
		}](t, a.selvedge(p.dir, "status", "--json"))
		if now.State != "healthy" || now.Tasks.Running != 2 || len(now.Targets) != 2 {
			t.Errorf("%+v", now)
		}
	})

	t.Run("logs", func(t *testing.T) {
		now := time.Now()
		line := func(function, text string) string {
			return fmt.Sprintf(`{"time":%q,"level":"INFO","event":"log","slug":%q,"msg":%q}`, now.UTC().Format(time.RFC3339Nano), function, text)
		}
		a.log(service, now.Add(-2*time.Hour), line("hello", "said two hours ago"))
		a.log(service, now, line("hello", "said by hello"), line("other", "said by other"))
		r := a.must(p.dir, "logs", "--aws")
		say(t, r, "said by hello", "said by other")
		if r := a.must(p.dir, "logs", "--aws", "--function", "hello"); !strings.Contains(r.stdout, "said by hello") || strings.Contains(r.stdout, "said by other") {
			t.Errorf("%s", r)
		}
		if r := a.must(p.dir, "logs", "--aws", "--since", "10m"); !strings.Contains(r.stdout, "said by hello") || strings.Contains(r.stdout, "two hours ago") {
			t.Errorf("%s", r)
		}
		say(t, a.must(p.dir, "logs", "--aws", "--since", "3h"), "two hours ago")

		follow := a.start(p.dir, nil, "logs", "--aws", "--follow", "--since", "1m")
		harness.Eventually(t, 20*time.Second, "what is there is shown", func() bool { return strings.Contains(follow.stdout.String(), "said by other") })
		a.log(service, time.Now(), line("hello", "said meanwhile"))
		harness.Eventually(t, 20*time.Second, "a new line is shown", func() bool { return strings.Contains(follow.stdout.String(), "said meanwhile") })
		follow.interrupt()
		if r := follow.wait(); strings.Count(r.stdout, "said by hello") != 1 {
			t.Errorf("lines are shown twice: %s", r)
		}
	})

	t.Run("scale", func(t *testing.T) {
		r := a.must(p.dir, "scale", "3", "--url", url)
		if n := a.desired(t); n != 3 {
			t.Errorf("%d tasks are wanted: %s", n, r)
		}
		p.write(t, "functions/other/index.ts", "Deno.serve(() => new Response(\"scaled\"));\n")
		a.deploy(p, url)
		if n := a.desired(t); n != 3 {
			t.Errorf("a deploy has set the count to %d", n)
		}
	})

	t.Run("secrets", func(t *testing.T) {
		const value = "a value with \"quotes\" and a $ign, of the test"
		a.secret(value)
		before := a.runningDefinition(t)
		r := a.command(p.dir, nil, "secrets", "set", "--yes", "--url", url, "--env-file", p.secretsFile(t, "STRIPE_KEY", value))
		if r.code != 0 {
			t.Fatalf("%s", r)
		}
		say(t, a.must(p.dir, "secrets", "list"), "STRIPE_KEY")
		parse[json.RawMessage](t, a.selvedge(p.dir, "secrets", "list", "--json"))
		after := a.runningDefinition(t)
		if before == after {
			t.Error("the tasks that run are those before the secret was set")
		}
		if !strings.Contains(a.valueFrom(t, "SELVEDGE_FUNCTION_SECRETS"), ":::") {
			t.Errorf("the functions' secrets come from %q", a.valueFrom(t, "SELVEDGE_FUNCTION_SECRETS"))
		}
		a.must(p.dir, "secrets", "unset", "STRIPE_KEY", "--yes", "--url", url)
		if r := a.must(p.dir, "secrets", "list", "--json"); strings.Contains(r.stdout, "STRIPE_KEY") {
			t.Errorf("%s", r)
		}
		if a.runningDefinition(t) == after {
			t.Error("the tasks that run still have the secret")
		}
	})

	t.Run("open", func(t *testing.T) {
		if r := a.must(p.dir, "open", "--print"); !strings.HasPrefix(r.stdout, "http://") {
			t.Errorf("%s", r)
		}
	})

	t.Run("cost", func(t *testing.T) {
		say(t, a.must(p.dir, "cost"), "Fargate", "USD")
		parse[json.RawMessage](t, a.selvedge(p.dir, "cost", "--json"))
	})
}

// secretsFile writes a file that `secrets set` takes, since a value on the
// command line is seen by every process.
func (p *project) secretsFile(t *testing.T, name, value string) string {
	p.write(t, "secrets.env", name+"='"+value+"'\n")
	return "secrets.env"
}

// desired is how many tasks the service is to have.
func (a *account) desired(t *testing.T) int {
	t.Helper()
	_, text := a.ask("ecs", "AmazonEC2ContainerServiceV20141113.DescribeServices", map[string]any{"cluster": service, "services": []string{service}})
	var services struct{ Services []struct{ DesiredCount int } }
	if err := json.Unmarshal([]byte(text), &services); err != nil || len(services.Services) != 1 {
		t.Fatalf("%s %v", text, err)
	}
	return services.Services[0].DesiredCount
}

// runningDefinition is the task definition of the service's newest deployment.
func (a *account) runningDefinition(t *testing.T) string {
	t.Helper()
	_, text := a.ask("ecs", "AmazonEC2ContainerServiceV20141113.DescribeServices", map[string]any{"cluster": service, "services": []string{service}})
	var services struct {
		Services []struct{ TaskDefinition string }
	}
	if err := json.Unmarshal([]byte(text), &services); err != nil || len(services.Services) != 1 {
		t.Fatalf("%s %v", text, err)
	}
	return services.Services[0].TaskDefinition
}

// valueFrom is where a variable of the container comes from.
func (a *account) valueFrom(t *testing.T, name string) string {
	t.Helper()
	for _, s := range a.definition(t, a.runningDefinition(t)).ContainerDefinitions[0].Secrets {
		if s.Name == name {
			return s.ValueFrom
		}
	}
	return ""
}

// testDestroy leaves, and looks at all that the account has then.
func (a *account) testDestroy(t *testing.T, p *project, empty map[string][]string) {
	if r := a.selvedge(p.dir, "destroy"); r.code != 2 || a.stackStatus(service) == "" {
		t.Errorf("without a terminal it must ask for --yes: %s", r)
	}
	parse[json.RawMessage](t, a.selvedge(p.dir, "destroy", "--dry-run", "--json"))
	if s := a.stackStatus(service); !strings.HasSuffix(s, "_COMPLETE") {
		t.Errorf("after a dry run the stack is %q", s)
	}
	r := a.onTerminal(p.dir, "something else\n", "destroy")
	if r.code == 0 || !strings.HasSuffix(a.stackStatus(service), "_COMPLETE") {
		t.Errorf("it is destroyed although another name was typed: %s", r)
	}
	r = a.onTerminal(p.dir, service+"\n", "destroy")
	if r.code != 0 {
		t.Fatalf("%s", r)
	}
	left := added(empty, a.inventory())
	delete(left, "endpoint") // those that are deleted are listed for a while
	for _, kind := range slices.Sorted(maps.Keys(left)) {
		for _, name := range left[kind] {
			// What remains is said: by its name, or by the name of its kind.
			if !strings.Contains(r.stdout+r.stderr, strings.TrimSuffix(name, " (to be deleted)")) && !strings.Contains(r.stdout+r.stderr, kind) {
				t.Errorf("left and not said: %s %s", kind, name)
			}
		}
	}
	for _, kind := range []string{"vpc", "subnet", "load balancer", "target group", "cluster", "role", "security group", "alarm", "dashboard", "scalable target", "stack", "change set"} {
		if len(left[kind]) > 0 {
			t.Errorf("left: %s %q", kind, left[kind])
		}
	}
	t.Logf("left after destroy: %v", left)
}
