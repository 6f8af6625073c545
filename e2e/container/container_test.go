package container

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/e2e/harness"
)

// The image of the Dockerfile is built once for all tests.
var theImage = struct {
	once  sync.Once
	built bool
}{}

const dockerfileImage = "selvedge-e2e"

// image returns the Dockerfile's image; without an engine the test is skipped.
func image(t *testing.T) string {
	t.Helper()
	needEngine(t)
	theImage.once.Do(func() {
		began := time.Now()
		engine.build(t, repo, dockerfileImage, "--build-arg", "VERSION=1.2.3", "--build-arg", "REVISION=abc")
		t.Logf("built in %s", time.Since(began).Round(time.Second))
		theImage.built = true
	})
	if !theImage.built {
		t.Fatal("the image could not be built; the first test says why")
	}
	return dockerfileImage
}

func needEngine(t *testing.T) {
	t.Helper()
	if engine == nil {
		t.Skip("no container engine: " + noEngine)
	}
}

// Keys that the tests' servers know.
const jwtSecret = "a-secret-of-the-container-tests-of-more-than-32-bytes"

// A box is a running container.
type box struct {
	t    testing.TB
	name string
	URL  string
	// began is when it was asked for.
	began time.Time
}

// strict is how production runs the image.
var strict = []string{
	"--read-only", "--tmpfs", "/tmp:size=256m", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
	"--memory", "512m", "--cpus", "1", "--pids-limit", "256", "--user", "65532:65532",
}

// start runs a container and waits until it is healthy, unless flags cut it off
// from the network.
func start(t *testing.T, image string, flags ...string) *box {
	t.Helper()
	port := freePort(t)
	b := &box{t: t, name: fmt.Sprintf("selvedge-e2e-%d", port), URL: fmt.Sprintf("http://127.0.0.1:%d", port)}
	args := append([]string{"run", "-d", "--name", b.name, "-e", "PORT=" + strconv.Itoa(port)}, strict...)
	alone := strings.Contains(strings.Join(flags, " "), "--network none")
	switch {
	case alone:
	case engine.host != "":
		args = append(args, engine.network()...)
	default:
		args = append(args, "-p", fmt.Sprintf("127.0.0.1:%d:%d", port, port))
	}
	var command []string
	for i, f := range flags {
		if f == "--" {
			flags, command = flags[:i], flags[i+1:]
			break
		}
	}
	b.began = time.Now()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of %s:\n%s", b.name, tail(b.log()))
		}
		_, _ = engine.try("rm", "-f", b.name)
	})
	engine.do(t, append(append(append(args, flags...), image), command...)...)
	if alone {
		harness.Eventually(t, 30*time.Second, "the container is healthy", func() bool {
			_, err := engine.try("exec", b.name, "selvedge", "healthcheck")
			return err == nil
		})
		return b
	}
	harness.Eventually(t, 30*time.Second, "the container is healthy", func() bool {
		a, err := b.try("GET", "/health", "", "")
		if err != nil && !b.running() {
			t.Fatalf("the container has ended:\n%s", b.log())
		}
		return err == nil && a.status == http.StatusOK
	})
	return b
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (b *box) running() bool {
	out, err := engine.try("inspect", "-f", "{{.State.Running}}", b.name)
	return err == nil && strings.TrimSpace(out) == "true"
}

// log is what the container has written to both of its streams.
func (b *box) log() string {
	cmd := engine.command(b.t.Context(), "logs", b.name)
	if b.t.Context().Err() != nil { // in a cleanup
		cmd = engine.command(noContext, "logs", b.name)
	}
	out, _ := cmd.CombinedOutput()
	return string(out)
}

func (b *box) exec(args ...string) string {
	b.t.Helper()
	return engine.do(b.t, append([]string{"exec", b.name}, args...)...)
}

// stop sends SIGTERM and returns the exit code.
func (b *box) stop() string {
	b.t.Helper()
	engine.do(b.t, "kill", "-s", "TERM", b.name)
	return strings.TrimSpace(engine.do(b.t, "wait", b.name))
}

type answer struct {
	status int
	code   string
	body   string
}

var httpClient = &http.Client{Timeout: 30 * time.Second}

// try calls with a bearer token, "" for none.
func (b *box) try(method, path, body, token string) (answer, error) {
	req, err := http.NewRequest(method, b.URL+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := httpClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header.Get("Sb-Error-Code"), string(raw)}, err
}

func (b *box) call(method, path, body, token string) answer {
	b.t.Helper()
	a, err := b.try(method, path, body, token)
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

// An example is a call of an example function and its answer.
type example struct {
	path, body string
	status     int
	want       string
}

var exampleCalls = []example{
	{"/background-task", `{"ms":50}`, 202, `{"accepted":true}`},
	{"/express/users/42", "", 200, `{"id":"42"}`},
	{"/hello-world", `{"name":"Functions"}`, 200, `{"message":"Hello Functions!"}`},
	{"/hono/greet/Ada", "", 200, `{"hello":"Ada"}`},
	{"/json-body", `{"item":"tea","quantity":2}`, 201, `{"ordered":"tea","quantity":2}`},
	{"/node-http", "some text", 200, `{"method":"POST","url":"/node-http","bytes":9}`},
	{"/path-params/users/1", "", 200, `{"id":"1","name":"Ada"}`},
	{"/functions/v1/shared-import", "", 200, `{"shared":true}`},
	{"/sse?count=1&every=1", "", 200, ""},
	{"/supabase-js", "", 200, ""},
	{"/wasm?a=2&b=3", "", 200, `{"imported":5,"instantiated":5}`},
	{"/websocket-echo", "", 426, ""},
}

func (e example) method() string {
	if e.body == "" {
		return "GET"
	}
	return "POST"
}

// callExamples calls all example functions with a token.
func (b *box) callExamples(token string) {
	b.t.Helper()
	for _, e := range exampleCalls {
		a := b.call(e.method(), e.path, e.body, token)
		if a.status != e.status || e.want != "" && a.body != e.want {
			b.t.Errorf("%s: got %d %s, want %d %s", e.path, a.status, a.body, e.status, e.want)
		}
	}
}
