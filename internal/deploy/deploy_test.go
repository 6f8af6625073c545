package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/stack"
)

// Secrets of the tests, which must be seen nowhere but in Secrets Manager.
var testKeys = map[string]string{"JWT_SECRET": "the-secret-of-the-tests", "ANON_KEY": "the-anon-key-of-the-tests", "SERVICE_ROLE_KEY": "the-service-key-of-the-tests"}

// A bench is a project with an account to deploy it to.
type bench struct {
	t      *testing.T
	f      *fakeAWS
	images *fakeImages
	heard  *heard
	// site are the functions behind the load balancer; status is how they
	// answer.
	site   *httptest.Server
	status atomic.Int32
	asked  []string
	clock  time.Time
	// change is applied to each operator.
	change func(o *Operator)
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, f: newFakeAWS(t), heard: &heard{}, clock: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	b.images = &fakeImages{f: b.f, digest: digestOf(1)}
	b.status.Store(http.StatusOK)
	b.site = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.f.mu.Lock()
		b.asked = append(b.asked, r.URL.Path+" "+r.Header.Get("apikey"))
		b.f.mu.Unlock()
		w.WriteHeader(int(b.status.Load()))
	}))
	t.Cleanup(b.site.Close)
	return b
}

func digestOf(n int) string { return fmt.Sprintf("sha256:%064d", n) }

// operator makes one for a command.
func (b *bench) operator() *Operator {
	b.clock = b.clock.Add(time.Minute)
	now := b.clock
	o := &Operator{
		Clients: b.f.clients(), Report: b.heard, Ask: asked{},
		Settings: &Settings{Names: stack.Names{Project: "shop", Environment: "production"}, Parameters: map[string]Value{"ProjectName": {"shop", "selvedge.toml:2"}}, Smoke: []string{"/hello"}, Poll: time.Millisecond},
		Options:  Options{URL: b.site.URL, WaitTimeout: 20 * time.Second, Now: func() time.Time { return now }},
	}
	if b.change != nil {
		b.change(o)
	}
	return o
}

func (b *bench) deploy(ctx context.Context) (*Result, error) {
	return b.operator().Deploy(ctx, b.images, givenKeys())
}

func givenKeys() KeySource {
	src := KeySource{Given: map[string]Value{}, Verify: func(context.Context, map[string]string) error { return nil }}
	for name, key := range testKeys {
		src.Given[name] = Value{key, ".env"}
	}
	return src
}

// must deploys, which has to come to a state.
func (b *bench) must(state string) *Result {
	b.t.Helper()
	r, err := b.deploy(b.t.Context())
	if err != nil || r.State != state {
		b.t.Fatalf("%+v %v\n%s", r, err, b.heard)
	}
	return r
}

// problem is the Problem of an error.
func problem(t *testing.T, err error) *Problem {
	t.Helper()
	var p *Problem
	if !errors.As(err, &p) {
		t.Fatalf("got %v, want a Problem", err)
	}
	return p
}

func TestDeploy(t *testing.T) {
	b := newBench(t)
	first := b.must("live")
	if first.Release != "20260102T030505Z" || first.Image != fakeAccount+".dkr.ecr.eu-central-1.amazonaws.com/shop-production@"+digestOf(1) || first.Stack != "shop-production" {
		t.Errorf("%+v", first)
	}
	if !slices.Equal(b.images.pushed, []string{"127.0.0.1:1/shop-production:20260102T030505Z"}) {
		t.Errorf("pushed %q", b.images.pushed)
	}
	if want := []string{"/health ", "/hello " + testKeys["ANON_KEY"]}; !slices.Equal(b.asked, want) {
		t.Errorf("asked %q", b.asked)
	}
	k := b.f.stacks["shop-production"]
	if k.parameters["KeysSecretArn"] == "" || k.parameters["JWTSecret"] != "" || k.parameters["DesiredCount"] != "2" {
		t.Errorf("%v", k.parameters)
	}

	b.f.forget()
	if again := b.must("unchanged"); again.Release != first.Release {
		t.Errorf("%+v", again)
	}
	if did := b.f.changing(); !slices.Equal(did, []string{"cloudformation:CreateChangeSet", "cloudformation:DeleteChangeSet"}) || len(b.images.pushed) > 1 {
		t.Errorf("changed %q", did)
	}

	b.images.digest = digestOf(2)
	second := b.must("live")
	if second.Release == first.Release || second.Image == first.Image || second.Changes.Creates {
		t.Errorf("%+v", second)
	}
	var names []string
	for _, p := range second.Changes.Parameters {
		names = append(names, p.Name)
	}
	if !slices.Equal(names, []string{"ImageUri", "Release"}) {
		t.Errorf("parameters %q", names)
	}
	if len(b.f.sets) > 0 {
		t.Errorf("change sets are left: %v", b.f.sets)
	}
	b.f.checkSecrets(b.heard.String(), fmt.Sprintf("%+v", second))
}

// checkSecrets looks for secrets in all calls but those of Secrets Manager, and
// in what was said.
func (f *fakeAWS) checkSecrets(said ...string) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.calls {
		if c.service != "secretsmanager" {
			said = append(said, c.raw)
		}
	}
	for _, secret := range testKeys {
		for _, text := range said {
			if strings.Contains(text, secret) {
				f.t.Errorf("the secret %s is in %s", secret, text)
			}
		}
	}
}

// TestDeployFirstSteps: settings win in the order of docs/aws.md, and what the
// stack has is kept.
func TestDeployKeepsParameters(t *testing.T) {
	b := newBench(t)
	b.change = func(o *Operator) { o.Settings.Parameters["CPU"] = Value{"1024", "--set cpu"} }
	b.change2("Memory", "4096")
	b.must("live")
	b.change = nil
	b.images.digest = digestOf(2)
	r := b.must("live")
	k := b.f.stacks["shop-production"]
	if k.parameters["CPU"] != "1024" || k.parameters["Memory"] != "4096" {
		t.Errorf("%v", k.parameters)
	}
	for _, p := range r.Changes.Parameters {
		if p.Name == "CPU" {
			t.Errorf("%+v", p)
		}
	}
}

// change2 sets a parameter as well.
func (b *bench) change2(name, value string) {
	before := b.change
	b.change = func(o *Operator) {
		before(o)
		o.Settings.Parameters[name] = Value{value, "selvedge.toml:9"}
	}
}

func TestDryRun(t *testing.T) {
	b := newBench(t)
	b.change = func(o *Operator) { o.DryRun = true }
	r := b.must("planned")
	if !r.Changes.Creates || len(r.Changes.Resources) < 20 {
		t.Errorf("%+v", r.Changes)
	}
	if len(b.f.stacks) > 0 || len(b.f.secrets) > 0 || len(b.images.pushed) > 0 || len(b.asked) > 0 {
		t.Errorf("a dry run made %v %v %q %q", b.f.stacks, b.f.secrets, b.images.pushed, b.asked)
	}
	b.change = nil
	b.must("live")
	b.images.digest = digestOf(2)
	b.f.forget()
	b.change = func(o *Operator) { o.DryRun = true }
	b.must("planned")
	if did := b.f.changing(); !slices.Equal(did, []string{"cloudformation:CreateChangeSet", "cloudformation:DeleteChangeSet"}) || len(b.f.sets) > 0 {
		t.Errorf("changed %q, left %v", did, b.f.sets)
	}
}

func TestDeclined(t *testing.T) {
	b := newBench(t)
	b.change = func(o *Operator) { o.Ask = asked{ErrDeclined} }
	_, err := b.deploy(t.Context())
	if !errors.Is(err, ErrDeclined) {
		t.Errorf("got %v", err)
	}
	if len(b.f.sets) > 0 || b.f.stacks["shop-production"] != nil {
		t.Errorf("left: %v %v", b.f.sets, b.f.stacks)
	}
}

// TestDeployFails: the tasks of a release end at their start.
func TestDeployFails(t *testing.T) {
	b := newBench(t)
	first := b.must("live")
	b.images.digest, b.f.doomed = digestOf(2), true
	_, err := b.deploy(t.Context())
	p := problem(t, err)
	text := p.Error()
	for _, want := range []string{"Circuit Breaker", "task 0123456789abcdef stopped: Essential container in task exited (edge-runtime: OutOfMemoryError", "exit code 137", "the last words", "rolled back", first.Release, "more memory"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if p.Usage {
		t.Error("it is not the user's fault")
	}
	b.f.service.stopped = nil
	if r := b.must("live"); r.Image == first.Image {
		t.Errorf("%+v", r)
	}
}

// TestTakesOver: what an earlier try has left is no obstacle.
func TestTakesOver(t *testing.T) {
	for status, want := range map[string]struct{ deletes, rollsBack bool }{
		"ROLLBACK_COMPLETE":        {deletes: true},
		"CREATE_FAILED":            {deletes: true},
		"DELETE_FAILED":            {deletes: true},
		"UPDATE_ROLLBACK_COMPLETE": {},
		"REVIEW_IN_PROGRESS":       {},
		"UPDATE_FAILED":            {rollsBack: true},
	} {
		t.Run(status, func(t *testing.T) {
			b := newBench(t)
			if !want.deletes && status != "REVIEW_IN_PROGRESS" {
				b.must("live")
				b.images.digest = digestOf(2)
			} else {
				b.f.newStack("shop-production", status)
			}
			b.f.stacks["shop-production"].status = status
			b.must("live")
			if got := b.f.count("cloudformation:DeleteStack") > 0; got != want.deletes {
				t.Errorf("deleted: %v", got)
			}
			if got := b.f.count("cloudformation:RollbackStack") > 0; got != want.rollsBack {
				t.Errorf("rolled back: %v", got)
			}
		})
	}
}

// TestDryRunOfUselessStack: a stack that must go first is not touched.
func TestDryRunOfUselessStack(t *testing.T) {
	b := newBench(t)
	b.f.newStack("shop-production", "ROLLBACK_COMPLETE")
	b.change = func(o *Operator) { o.DryRun = true }
	r := b.must("planned")
	if len(r.Changes.Resources) < 20 || len(b.f.changing()) > 0 || b.f.stacks["shop-production"] == nil {
		t.Errorf("%d resources, changed %q", len(r.Changes.Resources), b.f.changing())
	}
}

func TestStuckStack(t *testing.T) {
	b := newBench(t)
	b.must("live")
	b.f.stacks["shop-production"].status = "UPDATE_ROLLBACK_FAILED"
	b.f.forget()
	_, err := b.deploy(t.Context())
	if text := problem(t, err).Error(); !strings.Contains(text, "continue-update-rollback --stack-name shop-production --region eu-central-1") {
		t.Errorf("got %s", text)
	}
	if did := b.f.changing(); len(did) > 0 {
		t.Errorf("changed %q", did)
	}
}

// TestWaitsForOthers: somebody else changes the stack at the moment.
func TestWaitsForOthers(t *testing.T) {
	b := newBench(t)
	b.must("live")
	k := b.f.stacks["shop-production"]
	k.status = "UPDATE_IN_PROGRESS"
	looks := 0
	b.f.before = func(c *awsCall, _ int) any {
		if c.action == "DescribeStacks" && c.str("StackName") == k.id {
			if looks++; looks == 3 {
				b.f.mu.Lock()
				k.status = "UPDATE_COMPLETE"
				b.f.mu.Unlock()
			}
		}
		return nil
	}
	b.images.digest = digestOf(2)
	b.must("live")
	if !strings.Contains(b.heard.String(), "warn the stack shop-production is UPDATE_IN_PROGRESS: somebody else changes it") {
		t.Errorf("%s", b.heard)
	}

	k.status = "UPDATE_IN_PROGRESS"
	b.f.before = nil
	b.change = func(o *Operator) { o.WaitTimeout = 50 * time.Millisecond }
	_, err := b.deploy(t.Context())
	if text := problem(t, err).Error(); !strings.Contains(text, "gave up after 50ms while waiting for another change") {
		t.Errorf("got %s", text)
	}
}

// TestEventualConsistency: CloudFormation does not know yet what it was told.
func TestEventualConsistency(t *testing.T) {
	b := newBench(t)
	b.f.unseen = 3
	b.must("live")
}

// TestTimeout: a change that takes too long is left to CloudFormation.
func TestTimeout(t *testing.T) {
	b := newBench(t)
	b.must("live")
	b.images.digest, b.f.stuck = digestOf(2), true
	b.change = func(o *Operator) { o.WaitTimeout = 200 * time.Millisecond }
	_, err := b.deploy(t.Context())
	p := problem(t, err)
	if !strings.Contains(p.What, "gave up after 200ms") || !strings.Contains(p.State, "goes on by itself") {
		t.Errorf("got %v", p)
	}
	if b.f.count("cloudformation:CancelUpdateStack") > 0 {
		t.Error("the update was cancelled")
	}
}

// TestSmoke: functions that do not answer bring the release before back.
func TestSmoke(t *testing.T) {
	b := newBench(t)
	b.change = func(o *Operator) { o.Settings.Parameters["CPU"] = Value{"1024", "x"} }
	b.change2("Memory", "2048")
	first := b.must("live")
	b.images.digest = digestOf(2)
	b.change = func(o *Operator) { o.Settings.Parameters["CPU"] = Value{"2048", "x"} }
	b.change2("Memory", "4096")
	b.status.Store(http.StatusUnauthorized)
	_, err := b.deploy(t.Context())
	text := problem(t, err).Error()
	if !errors.Is(err, errSmoke) || !strings.Contains(text, "answers 401") || !strings.Contains(text, "what was deployed before is back, release "+first.Release) {
		t.Errorf("got %s", text)
	}
	if k := b.f.stacks["shop-production"]; k.parameters["ImageUri"] != first.Image || k.parameters["CPU"] != "1024" {
		t.Errorf("%v", k.parameters)
	}

	no := b.change
	b.change = func(o *Operator) { no(o); o.NoRollback = true }
	_, err = b.deploy(t.Context())
	if text := problem(t, err).Error(); !strings.Contains(text, "the release is deployed") {
		t.Errorf("got %s", text)
	}
	if k := b.f.stacks["shop-production"]; k.parameters["ImageUri"] == first.Image {
		t.Error("the release before is back, with NoRollback")
	}
}

// TestMissingKeys: nothing is changed for want of keys.
func TestMissingKeys(t *testing.T) {
	for name, c := range map[string]struct {
		given  map[string]string
		file   string
		verify error
		want   string
	}{
		"none":        {want: "are missing: JWT_SECRET, ANON_KEY, SERVICE_ROLE_KEY"},
		"one":         {given: map[string]string{"JWT_SECRET": "x"}, want: "are missing: ANON_KEY, SERVICE_ROLE_KEY"},
		"example":     {file: "REPLACE_WITH_YOUR_JWT_SECRET", want: "JWT_SECRET in parameters.json is only an example"},
		"placeholder": {given: map[string]string{"JWT_SECRET": "change-me", "ANON_KEY": "a", "SERVICE_ROLE_KEY": "b"}, want: "JWT_SECRET in .env is only an example"},
		"unfit":       {given: testKeys, verify: errors.New("ANON_KEY is refused"), want: "the keys do not fit together: ANON_KEY is refused"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			o := b.operator()
			src := KeySource{Given: map[string]Value{}, Verify: func(context.Context, map[string]string) error { return c.verify }}
			for variable, key := range c.given {
				src.Given[variable] = Value{key, ".env"}
			}
			if c.file != "" {
				o.Settings.Keys = map[string]Value{"JWT_SECRET": {c.file, "parameters.json"}}
			}
			_, err := o.Deploy(t.Context(), b.images, src)
			p := problem(t, err)
			if !p.Usage || !strings.Contains(p.Error(), c.want) {
				t.Errorf("got %v", p)
			}
			if did := b.f.changing(); len(did) > 0 {
				t.Errorf("changed %q", did)
			}
			b.f.checkSecrets(p.Error())
		})
	}
}

// TestKeysStay: once they are in Secrets Manager, nobody has to give them.
func TestKeysStay(t *testing.T) {
	b := newBench(t)
	b.must("live")
	b.f.forget()
	r, err := b.operator().Deploy(t.Context(), b.images, KeySource{})
	if err != nil || r.State != "unchanged" {
		t.Errorf("%+v %v", r, err)
	}
	given := givenKeys()
	given.Given["ANON_KEY"] = Value{"another-anon-key", ".env"}
	r, err = b.operator().Deploy(t.Context(), b.images, given)
	if err != nil || r.State != "live" || len(r.Changes.Parameters) != 1 || r.Changes.Parameters[0].Name != "KeysSecretVersion" {
		t.Errorf("%+v %v", r, err)
	}
	if v := b.f.secrets["shop/production/keys"].value; !strings.Contains(v, "another-anon-key") || !strings.Contains(v, testKeys["JWT_SECRET"]) {
		t.Errorf("the secret is %s", v)
	}
}

// TestWrongSettings: settings that make no stack are told of with their place.
func TestSettingsThatMakeNoStack(t *testing.T) {
	b := newBench(t)
	o := b.operator()
	maps.Copy(o.Settings.Parameters, map[string]Value{"CPU": {"512", "selvedge.toml:3"}, "Memory": {"8192", "selvedge.toml:4"}, "MaxCount": {"many", "--set max_count"}})
	_, err := o.Deploy(t.Context(), b.images, givenKeys())
	p := problem(t, err)
	if text := p.Error(); !p.Usage || !strings.Contains(text, "With CPU 512, Memory must be") || !strings.Contains(text, "--set max_count: ") {
		t.Errorf("got %s", text)
	}
	if did := b.f.changing(); len(did) > 0 {
		t.Errorf("changed %q", did)
	}
}

// TestLocalVariables: what functions have here and not there is named.
func TestLocalVariables(t *testing.T) {
	b := newBench(t)
	b.f.secrets["shop/production/functions"] = &heldSecret{arn: "arn:aws:secretsmanager:x:1:secret:shop/production/functions-AbCdEf", version: b.f.id(), value: `{"THERE":"1"}`, versions: map[string]string{}}
	keys := givenKeys()
	keys.Local = []string{"HERE", "THERE"}
	if _, err := b.operator().Deploy(t.Context(), b.images, keys); err != nil {
		t.Fatal(err)
	}
	if said := b.heard.String(); !strings.Contains(said, "functions/.env has HERE, which the deployment has not: set them with `selvedge secrets set --env-file functions/.env`") {
		t.Errorf("%s", said)
	}
	if p := b.f.stacks["shop-production"].parameters; p["FunctionSecretsArn"] == "" || p["FunctionSecretsVersion"] == "" {
		t.Errorf("%v", p)
	}
}
