package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/e2e/harness"
)

const hello = `Deno.serve(() => new Response("%s"));`

// becomes polls until the function answers with body and returns how long it
// took. Until then it may answer with one of before, and with nothing else.
func (s *server) becomes(path, body string, before ...string) time.Duration {
	s.t.Helper()
	began := time.Now()
	for {
		a := s.call("GET", path, "")
		if a.body == body {
			return time.Since(began)
		}
		old := false
		for _, b := range before {
			old = old || a.body == b
		}
		if !old && len(before) > 0 {
			s.t.Fatalf("%s answered %d %q, want %q or one of %q", path, a.status, a.body, body, before)
		}
		if time.Since(began) > 10*time.Second {
			s.t.Fatalf("%s still answers %d %q, want %q", path, a.status, a.body, body)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func TestDevReloadsOnSave(t *testing.T) {
	dir := project(t, map[string]string{
		"functions/a/index.ts":      fmt.Sprintf(hello, "a1"),
		"functions/b/index.ts":      `import { x } from "../_shared/x.ts"; Deno.serve(() => new Response(x + Deno.env.get("V")));`,
		"functions/_shared/x.ts":    `export const x = "x1 ";`,
		"functions/.env":            "V=v1\n",
		"functions/c/index.ts":      `import { y } from "lib"; Deno.serve(() => new Response(y));`,
		"functions/c/deno.json":     `{"imports":{"lib":"./one.ts"}}`,
		"functions/c/one.ts":        `export const y = "one";`,
		"functions/c/two.ts":        `export const y = "two";`,
		"elsewhere/linked/index.ts": fmt.Sprintf(hello, "l1"),
	})
	fn := filepath.Join(dir, "functions")
	if err := os.Symlink(filepath.Join(dir, "elsewhere", "linked"), filepath.Join(fn, "linked")); err != nil {
		t.Fatal(err)
	}
	s := start(t, options{Functions: fn})
	s.becomes("/a", "a1")
	s.becomes("/b", "x1 v1")
	s.becomes("/c", "one")
	s.becomes("/linked", "l1")
	executionOfA := s.call("GET", "/a", "").header.Get("x-deno-execution-id")

	t.Run("shared module", func(t *testing.T) {
		write(t, filepath.Join(fn, "_shared/x.ts"), `export const x = "x2 ";`)
		s.becomes("/b", "x2 v1", "x1 v1")
	})
	t.Run("import map", func(t *testing.T) {
		write(t, filepath.Join(fn, "c/deno.json"), `{"imports":{"lib":"./two.ts"}}`)
		s.becomes("/c", "two", "one")
	})
	t.Run("behind a symbolic link", func(t *testing.T) {
		write(t, filepath.Join(dir, "elsewhere/linked/index.ts"), fmt.Sprintf(hello, "l2"))
		s.becomes("/linked", "l2", "l1")
	})
	t.Run("only what changed is swapped", func(t *testing.T) {
		if id := s.call("GET", "/a", "").header.Get("x-deno-execution-id"); id != executionOfA {
			t.Errorf("the worker of a was replaced although nothing of a changed")
		}
	})
	t.Run("editor that replaces the file", func(t *testing.T) {
		tmp := filepath.Join(fn, "a/.index.ts.new")
		write(t, tmp, fmt.Sprintf(hello, "a2"))
		if err := os.Rename(tmp, filepath.Join(fn, "a/index.ts")); err != nil {
			t.Fatal(err)
		}
		s.becomes("/a", "a2", "a1")
	})
	t.Run("env file", func(t *testing.T) {
		write(t, filepath.Join(fn, ".env"), "V=v2\n")
		s.becomes("/b", "x2 v2", "x2 v1")
	})
	t.Run("config.toml appears", func(t *testing.T) {
		write(t, filepath.Join(dir, "config.toml"), "[functions.b.env]\nV = \"v3\"\n")
		s.becomes("/b", "x2 v3", "x2 v2")
	})
	t.Run("new and removed function", func(t *testing.T) {
		write(t, filepath.Join(fn, "d/index.ts"), fmt.Sprintf(hello, "d1"))
		s.becomes("/d", "d1")
		if err := os.RemoveAll(filepath.Join(fn, "d")); err != nil {
			t.Fatal(err)
		}
		eventually(t, 5*time.Second, "d is gone", func() bool { return s.call("GET", "/d", "").status == 404 })
	})
}

func TestDevShowsASyntaxError(t *testing.T) {
	dir := project(t, map[string]string{"functions/a/index.ts": fmt.Sprintf(hello, "good")})
	entry := filepath.Join(dir, "functions/a/index.ts")
	s := start(t, options{Functions: filepath.Join(dir, "functions")})
	s.becomes("/a", "good")
	write(t, entry, "Deno.serve(() => {\n  const a = ;\n  return new Response(\"x\");\n});\n")
	eventually(t, 5*time.Second, "the terminal shows the error without a request", func() bool {
		return len(s.Logged("boot_failure")) > 0
	})
	a := s.call("GET", "/a", "")
	var body struct{ Code, Message, Detail string }
	if err := json.Unmarshal([]byte(a.body), &body); err != nil {
		t.Fatal(err)
	}
	if a.status != 503 || body.Code != "BOOT_ERROR" || a.header.Get("sb-error-code") != "BOOT_ERROR" {
		t.Errorf("got %d %q: the last good version must not be served", a.status, a.body)
	}
	if !strings.Contains(body.Message, "functions/a/index.ts:2:13") || !strings.Contains(body.Detail, "const a = ;") {
		t.Errorf("the answer names no file, line and excerpt: %+v", body)
	}
	failure := s.Logged("boot_failure")[0]
	if !strings.Contains(fmt.Sprint(failure["msg"]), "functions/a/index.ts:2:13") || !strings.Contains(fmt.Sprint(failure["detail"]), "const a = ;") {
		t.Errorf("the log names no file, line and excerpt: %v", failure)
	}
	write(t, entry, fmt.Sprintf(hello, "fixed"))
	eventually(t, 5*time.Second, "the fixed version is served", func() bool { return s.call("GET", "/a", "").body == "fixed" })
}

func TestServeHidesErrorsFromCallers(t *testing.T) {
	dir := project(t, map[string]string{"functions/a/index.ts": `throw new Error("secret detail");`})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions")})
	a := s.call("GET", "/a", "")
	if a.status != 503 || a.body != `{"code":"BOOT_ERROR","message":"Function failed to start (please check logs)"}`+"\n" &&
		a.body != `{"code":"BOOT_ERROR","message":"Function failed to start (please check logs)"}` {
		t.Errorf("got %d %q", a.status, a.body)
	}
	eventually(t, 5*time.Second, "the log has the failure", func() bool { return len(s.Logged("boot_failure")) > 0 })
	failures := s.Logged("boot_failure")
	if len(failures) == 0 || !strings.Contains(fmt.Sprint(failures[0]["msg"], failures[0]["detail"]), "secret detail") ||
		!strings.Contains(fmt.Sprint(failures[0]["detail"]), "functions/a/index.ts:1:7") {
		t.Errorf("the log does not say why with file, line and column: %v", failures)
	}
}

func TestDevFinishesRequestsOnTheOldWorker(t *testing.T) {
	dir := project(t, map[string]string{
		"functions/a/index.ts": `Deno.serve(async (r) => { const ms = Number(new URL(r.url).searchParams.get("ms")); await new Promise((d) => setTimeout(d, ms)); return new Response("old"); });`,
	})
	s := start(t, options{Functions: filepath.Join(dir, "functions")})
	s.becomes("/a", "old")
	var wg sync.WaitGroup
	var slow answer
	wg.Go(func() { slow, _ = s.try("GET", "/a?ms=1500", "") })
	eventually(t, 5*time.Second, "the slow request runs", func() bool { return s.metric("requests_in_worker") == 1 })
	write(t, filepath.Join(dir, "functions/a/index.ts"), fmt.Sprintf(hello, "new"))
	s.becomes("/a", "new")
	wg.Wait()
	if slow.status != 200 || slow.body != "old" {
		t.Errorf("the running request got %d %q", slow.status, slow.body)
	}
}

func TestDevInspector(t *testing.T) {
	dir := project(t, map[string]string{"functions/a/index.ts": fmt.Sprintf(hello, "a")})
	addr := freeAddr(t)
	s := start(t, options{Functions: filepath.Join(dir, "functions"), Args: []string{"--inspect", "a", "--inspect-addr", addr}})
	s.becomes("/a", "a")
	other := &server{&harness.Server{URL: "http://" + addr}, t}
	a := other.call("GET", "/json", "")
	if a.status != 200 || !strings.Contains(a.body, "webSocketDebuggerUrl") {
		t.Errorf("the inspector answers %d %q", a.status, a.body)
	}
}
