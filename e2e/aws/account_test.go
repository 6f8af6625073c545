package aws

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/e2e/harness"
	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
)

const region = "eu-central-1"

var lastAccount atomic.Int64

// An account of AWS that a test has for itself, with a recorder of all calls
// and a registry. What was called and said is checked when the test ends.
type account struct {
	t        *testing.T
	id       string
	emulator *emulated
	calls    *recorder
	endpoint *httptest.Server // the API, recorded
	registry *registry
	home     string
	secrets  []string // must appear nowhere but in Secrets Manager
	said     harness.Buffer
	free     bool // calls are the test's own, and not to be in the policy
}

// newAccount makes an empty account.
func newAccount(t *testing.T) *account {
	t.Helper()
	a := &account{t: t, emulator: needEmulator(t), home: denotest.TempDir(t)}
	a.id = fmt.Sprintf("1%011d", lastAccount.Add(1))
	a.calls = &recorder{account: a.id}
	a.endpoint = httptest.NewServer(a.calls.before(a.forward()))
	t.Cleanup(a.endpoint.Close)
	a.registry = newRegistry(a)
	t.Cleanup(a.registry.server.Close)
	t.Cleanup(a.check)
	return a
}

// forward hands a request on to the emulator, as one of this account.
func (a *account) forward() http.Handler {
	to, err := url.Parse(a.emulator.url)
	if err != nil {
		a.t.Fatal(err)
	}
	quiet := log.New(io.Discard, "", 0) // of clients that went away
	return &httputil.ReverseProxy{ErrorLog: quiet, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Header.Set("x-moto-account-id", a.id)
	}}
}

// check looks at everything that was called and said.
func (a *account) check() {
	if !a.free {
		a.calls.checkPolicy(a.t, a.stackCalls())
	}
	a.checkSecrets()
	if strings.Contains(a.emulator.stderr.String(), "Traceback") {
		a.t.Errorf("a fault in the emulator:\n%s", harness.Tail(a.emulator.stderr.String(), 4000))
	}
	if a.t.Failed() {
		a.t.Logf("calls:\n%s", a.calls.summary())
	}
}

// environ is what a command needs to reach this account and nothing else.
func (a *account) environ(extra ...string) []string {
	env := slices.DeleteFunc(harness.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "AWS_") })
	env = append(env,
		"HOME="+a.home, "DOCKER_CONFIG="+a.home, "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=",
		"AWS_ENDPOINT_URL="+a.endpoint.URL, "AWS_ENDPOINT_URL_ECR="+a.registry.server.URL,
		"AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY=an-example-of-a-secret-access-key", "AWS_REGION="+region, "AWS_DEFAULT_REGION="+region,
		"SELVEDGE_DATA_DIR="+harness.DataDir, "SELVEDGE_DENO="+denotest.Binary(a.t),
	)
	return append(env, extra...)
}

// A result is what a command left.
type result struct {
	code           int
	stdout, stderr string
	args           []string
	from, to       time.Time
}

func (r *result) String() string {
	return fmt.Sprintf("selvedge %s: exit code %d\nstdout:\n%s\nstderr:\n%s", strings.Join(r.args, " "), r.code, r.stdout, r.stderr)
}

// selvedge runs the binary in a folder and returns when it has ended.
func (a *account) selvedge(dir string, args ...string) *result {
	a.t.Helper()
	return a.command(dir, nil, args...)
}

// command is selvedge with more environment.
func (a *account) command(dir string, env []string, args ...string) *result {
	a.t.Helper()
	r := a.start(dir, env, args...)
	return r.wait()
}

// A running command.
type running struct {
	*result
	a              *account
	cmd            *exec.Cmd
	stdout, stderr harness.Buffer
}

func (a *account) start(dir string, env []string, args ...string) *running {
	a.t.Helper()
	r := &running{a: a, result: &result{args: args, from: time.Now()}, cmd: exec.Command(harness.Binary, args...)}
	r.cmd.Dir = dir
	r.cmd.Env = a.environ(env...)
	r.cmd.Stdout, r.cmd.Stderr = &r.stdout, &r.stderr
	if err := r.cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	return r
}

// interrupt is Ctrl-C.
func (r *running) interrupt() {
	if err := r.cmd.Process.Signal(syscall.SIGINT); err != nil {
		r.a.t.Error(err)
	}
}

// wait returns when the command has ended.
func (r *running) wait() *result {
	r.a.t.Helper()
	stop := time.AfterFunc(2*time.Minute, func() { _ = r.cmd.Process.Kill() })
	err := r.cmd.Wait()
	r.to = time.Now()
	if !stop.Stop() {
		r.a.t.Errorf("selvedge %s did not end within 2 minutes", strings.Join(r.args, " "))
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.a.t.Fatal(err)
	}
	r.code, r.result.stdout, r.result.stderr = r.cmd.ProcessState.ExitCode(), r.stdout.String(), r.stderr.String()
	fmt.Fprintf(&r.a.said, "%s\n%s\n%s\n", strings.Join(r.args, " "), r.result.stdout, r.result.stderr)
	return r.result
}

// must runs a command that has to succeed.
func (a *account) must(dir string, args ...string) *result {
	a.t.Helper()
	r := a.selvedge(dir, args...)
	if r.code != 0 {
		a.t.Fatalf("%s", r)
	}
	return r
}

// aws runs the AWS CLI, which has to succeed, and returns its output.
func (a *account) aws(args ...string) string {
	a.t.Helper()
	cmd := exec.Command(needCLI(a.t), args...)
	cmd.Env = append(a.environ(), "AWS_MAX_ATTEMPTS=1", "PYTHONDONTWRITEBYTECODE=1")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		a.t.Fatalf("aws %s: %v\n%s%s", strings.Join(args, " "), err, &out, &errs)
	}
	return out.String()
}

// inventory is everything that the account has.
func (a *account) inventory() map[string][]string {
	a.t.Helper()
	var found map[string][]string
	a.emulator.control(a.t, a.id, "inventory?region="+region, nil, &found)
	return found
}

// added is what an inventory has and an earlier one had not.
func added(before, after map[string][]string) map[string][]string {
	more := map[string][]string{}
	for kind, names := range after {
		for _, name := range names {
			if !slices.Contains(before[kind], name) {
				more[kind] = append(more[kind], name)
			}
		}
	}
	return more
}

// doom makes the next deployment of a service fail: how is exit, health or pull.
func (a *account) doom(service, how string, lines ...string) {
	a.t.Helper()
	a.emulator.control(a.t, a.id, "set", map[string]any{"doomed": map[string]any{service: map[string]any{"how": how, "lines": lines}}}, nil)
}

// slow makes services settle that many times slower than they do.
func (a *account) slow(times float64) {
	a.t.Helper()
	a.emulator.control(a.t, a.id, "set", map[string]any{"pace": times}, nil)
}

// log writes lines to the log stream of a task of a service.
func (a *account) log(service string, at time.Time, lines ...string) {
	a.t.Helper()
	a.emulator.control(a.t, a.id, "log?region="+region, map[string]any{"service": service, "lines": lines, "at": unixSeconds(at)}, nil)
}

// A stackCall is one that CloudFormation made in the account's name.
type stackCall struct {
	Service, Operation string
	Params             map[string]any
}

func (a *account) stackCalls() []stackCall {
	var calls []stackCall
	a.emulator.control(a.t, a.id, "calls", nil, &calls)
	return calls
}
