package container

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/e2e/harness"
	"github.com/selvedge-dev/selvedge/internal/auth"
)

var noContext = context.Background()

// An inspected is what an image says of itself.
type inspected struct {
	Config struct {
		User         string
		WorkingDir   string
		Entrypoint   []string
		Cmd          []string
		Env          []string
		ExposedPorts map[string]struct{}
		Healthcheck  struct{ Test []string }
		Labels       map[string]string
	}
}

func TestImage(t *testing.T) {
	eachImage(t, func(t *testing.T, name string) {
		checkConfig(t, inspect(t, name))
		checkFiles(t, contents(t, name))
	})
}

func TestBuildArguments(t *testing.T) {
	if labels := inspect(t, image(t)).Config.Labels; labels["org.opencontainers.image.version"] != "1.2.3" || labels["org.opencontainers.image.revision"] != "abc" {
		t.Errorf("labels %v", labels)
	}
}

func inspect(t *testing.T, name string) inspected {
	t.Helper()
	var all []inspected
	if err := json.Unmarshal([]byte(engine.do(t, "image", "inspect", name)), &all); err != nil {
		t.Fatal(err)
	}
	return all[0]
}

// checkConfig holds for an image however it was made.
func checkConfig(t *testing.T, i inspected) {
	t.Helper()
	c := i.Config
	if c.User != "65532:65532" || c.WorkingDir != "/app" {
		t.Errorf("user %q, folder %q", c.User, c.WorkingDir)
	}
	if command := strings.Join(append(c.Entrypoint, c.Cmd...), " "); command != "selvedge serve" {
		t.Errorf("it runs %q", command)
	}
	if test := strings.Join(c.Healthcheck.Test, " "); test != "CMD selvedge healthcheck" {
		t.Errorf("its health check is %q", test)
	}
	if _, ok := c.ExposedPorts["9000/tcp"]; !ok {
		t.Errorf("exposed are %v", c.ExposedPorts)
	}
	if !slices.Contains(c.Env, "HOME=/tmp") {
		t.Errorf("environment %v", c.Env)
	}
	for _, label := range []string{"title", "description", "licenses"} {
		if c.Labels["org.opencontainers.image."+label] == "" {
			t.Errorf("there is no label %s: %v", label, c.Labels)
		}
	}
}

// contents lists the files of an image with their modes and owners.
func contents(t *testing.T, image string) map[string]*tar.Header {
	t.Helper()
	id := strings.TrimSpace(engine.do(t, "create", image))
	defer func() { _, _ = engine.try("rm", id) }()
	cmd := engine.command(t.Context(), "export", id)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	files := map[string]*tar.Header{}
	for r := tar.NewReader(out); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimSuffix(strings.TrimPrefix(h.Name, "./"), "/")] = h
	}
	_, _ = io.Copy(io.Discard, out)
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return files
}

// checkFiles holds for an image however it was made.
func checkFiles(t *testing.T, files map[string]*tar.Header) {
	t.Helper()
	for _, program := range []string{"usr/local/bin/selvedge", "usr/local/bin/deno"} {
		if h := files[program]; h == nil || h.Mode&0o111 != 0o111 || h.Uid != 0 {
			t.Errorf("%s is not there, or not for all to run: %+v", program, h)
		}
	}
	if files["app/functions/hello-world/index.ts"] == nil || files["app/data/prebuilt.json"] == nil {
		t.Error("the functions or what is prebuilt of them are missing")
	}
	for name, h := range files {
		if base := filepath.Base(name); base == ".env" || strings.HasPrefix(base, ".env.") {
			t.Errorf("%s may hold secrets", name)
		}
		if strings.HasPrefix(name, "app/") && (h.Uid != 0 || h.Typeflag != tar.TypeSymlink && h.Mode&0o022 != 0) {
			t.Errorf("%s can be changed by a function: owner %d, mode %o", name, h.Uid, h.Mode)
		}
	}
}

// keyed are the variables of a server with keys, and tokens for it.
func keyed(t *testing.T) (flags []string, anon string) {
	t.Helper()
	sign := func(role string) string {
		token, err := auth.Sign(jwtSecret, map[string]any{"role": role, "iss": "supabase", "exp": time.Now().Add(time.Hour).Unix()})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	anon = sign("anon")
	return []string{"-e", "JWT_SECRET=" + jwtSecret, "-e", "ANON_KEY=" + anon, "-e", "SERVICE_ROLE_KEY=" + sign("service_role")}, anon
}

func TestServes(t *testing.T) {
	eachImage(t, func(t *testing.T, name string) {
		flags, anon := keyed(t)
		b := start(t, name, flags...)
		for _, e := range exampleCalls {
			if a := b.call(e.method(), e.path, e.body, ""); a.status != 401 || a.code != "UNAUTHORIZED_NO_AUTH_HEADER" {
				t.Errorf("%s without a key: %d %s", e.path, a.status, a.body)
			}
		}
		b.callExamples(anon)
		b.exec("selvedge", "healthcheck")
		// What was prebuilt is used as it is.
		for line := range strings.Lines(b.log()) {
			if strings.Contains(line, `"event":"boot"`) && !strings.Contains(line, `"bundle_cached":true`) {
				t.Errorf("a function was built at its call: %s", line)
			}
			if strings.HasPrefix(line, "warning: ") {
				t.Errorf("it warns: %s", line)
			}
		}
		if code := b.stop(); code != "0" {
			t.Errorf("exit code %s after SIGTERM", code)
		}
	})
}

func TestRefusesToServeWithoutKeys(t *testing.T) {
	out, err := engine.orSkip(t).try("run", "--rm", "--network", "none", image(t))
	if err == nil || !strings.Contains(err.Error(), "JWT_SECRET") {
		t.Errorf("it served, or did not say what is missing: %s %v", out, err)
	}
}

func (d *docker) orSkip(t *testing.T) *docker {
	t.Helper()
	needEngine(t)
	return d
}

func TestNoNetwork(t *testing.T) {
	eachImage(t, func(t *testing.T, name string) {
		b := start(t, name, "--network", "none", "-e", "REQUIRE_AUTH=false")
		for _, fn := range []string{"hello-world", "supabase-js", "express", "hono", "wasm"} {
			out, err := engine.try("exec", b.name, "selvedge", "invoke", fn, "--url", b.URL, "--data", `{"name":"Nobody"}`)
			if err != nil && !strings.Contains(err.Error(), "404") { // express has no POST /
				t.Errorf("%s: %v", fn, err)
			}
			if fn == "hello-world" && !strings.Contains(out, "Hello Nobody!") {
				t.Errorf("%s answered %s", fn, out)
			}
		}
	})
}

func TestDoctor(t *testing.T) {
	eachImage(t, func(t *testing.T, name string) {
		b := start(t, name, "-e", "REQUIRE_AUTH=false")
		var findings []struct{ Check, State, Found string }
		out := b.exec("selvedge", "doctor", "--json")
		if err := json.Unmarshal([]byte(out), &findings); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, f := range findings {
			t.Logf("%-18s %-5s %s", f.Check, f.State, f.Found)
			// The address is taken: by the server.
			if f.State == "fail" || f.State == "warn" && f.Check != "address" {
				t.Errorf("%s: %s", f.Check, f.Found)
			}
		}
	})
}

// TestLimits: what the server makes of the machine is made of the container.
func TestLimits(t *testing.T) {
	eachImage(t, func(t *testing.T, name string) {
		b := start(t, name, "-e", "REQUIRE_AUTH=false", "--memory", "512m")
		var config struct {
			Settings []struct{ Name, Value string }
		}
		out := b.exec("selvedge", "config", "--json")
		if err := json.Unmarshal([]byte(out), &config); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		values := map[string]string{}
		for _, s := range config.Settings {
			values[s.Name] = s.Value
		}
		// 3 % of the memory at 16 MB each, but two; a quarter of it at 64 KiB each.
		if values["prestart"] != "2" || values["max-requests"] != "2048" {
			t.Errorf("prestart %q, max-requests %q: the limit of 512 MB was not seen", values["prestart"], values["max-requests"])
		}
	})
}

// TestStopUnderLoad: a container that is replaced loses no request.
func TestStopUnderLoad(t *testing.T) {
	eachImage(t, func(t *testing.T, name string) {
		flags := []string{"-e", "REQUIRE_AUTH=false", "-e", "SELVEDGE_DRAIN_DELAY=3s"}
		old := start(t, name, flags...)
		p := harness.NewProxy(t)
		p.Add(old.URL)
		var sent, failed atomic.Int64
		var stop atomic.Bool
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for !stop.Load() {
					sent.Add(1)
					res, err := http.Post(p.URL+"/hello-world", "application/json", strings.NewReader(`{"name":"x"}`))
					if err == nil {
						_, err = io.Copy(io.Discard, res.Body)
						res.Body.Close()
					}
					if err != nil || res.StatusCode != http.StatusOK {
						if failed.Add(1) < 5 {
							t.Logf("%v %v", res, err)
						}
					}
					time.Sleep(2 * time.Millisecond)
				}
			})
		}
		next := start(t, name, flags...)
		p.Add(next.URL)
		time.Sleep(time.Second)
		if code := old.stop(); code != "0" {
			t.Errorf("exit code %s", code)
		}
		time.Sleep(time.Second)
		stop.Store(true)
		wg.Wait()
		if failed.Load() > 0 || sent.Load() < 100 {
			t.Errorf("%d of %d requests failed", failed.Load(), sent.Load())
		}
		t.Logf("%d requests, %d failed", sent.Load(), failed.Load())
	})
}

// TestProject builds the image of somebody's own functions.
func TestProject(t *testing.T) {
	needEngine(t)
	dir := checkout(t)
	for name, content := range map[string]string{
		"functions/hello/index.ts": `Deno.serve(() => Response.json({ secret: Deno.env.get("SECRET") ?? null, given: Deno.env.get("GIVEN") ?? null }));`,
		"functions/.env":           "SECRET=it-must-not-be-in-an-image\n",
		"functions/hello/.env":     "SECRET=it-must-not-be-in-an-image\n",
		"supabase/config.toml":     "[edge_runtime.secrets]\nGIVEN = \"env(GIVEN)\"\n",
		".env":                     "JWT_SECRET=it-must-not-be-in-an-image\n",
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	image(t) // the stages before the functions are shared
	const tag = dockerfileImage + ":project"
	engine.build(t, dir, tag, "--build-arg", "VERSION=1.2.3", "--build-arg", "REVISION=abc")
	for name := range contents(t, tag) {
		if strings.HasPrefix(filepath.Base(name), ".env") || strings.Contains(name, "hello-world") {
			t.Errorf("%s is in the image", name)
		}
	}
	b := start(t, tag, "-e", "REQUIRE_AUTH=false", "-e", "GIVEN=at run time")
	if a := b.call("GET", "/hello", "", ""); a.body != `{"secret":null,"given":"at run time"}` {
		t.Errorf("got %d %s", a.status, a.body)
	}
}

// checkout copies what git tracks, and what is new and not ignored.
func checkout(t *testing.T) string {
	t.Helper()
	list := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard")
	list.Dir = repo
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name := range strings.Lines(string(out)) {
		name = strings.TrimSuffix(name, "\n")
		info, err := os.Stat(filepath.Join(repo, name))
		if errors.Is(err, os.ErrNotExist) {
			continue // removed, and not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(filepath.Join(repo, name))
		to := filepath.Join(dir, name)
		if err = errors.Join(err, os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, raw, info.Mode().Perm())); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
