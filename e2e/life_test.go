package e2e

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
)

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestHundredFirstCallsShareOneStart(t *testing.T) {
	dir := project(t, map[string]string{"functions/a/index.ts": fmt.Sprintf(hello, "a")})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions")})
	var wg sync.WaitGroup
	errs := make(chan error, 100)
	for range 100 {
		wg.Go(func() {
			a, err := s.try("GET", "/a", "")
			if err == nil && (a.status != 200 || a.body != "a") {
				err = fmt.Errorf("got %d %q", a.status, a.body)
			}
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if n := len(s.Logged("boot")); n < 1 || n > 4 {
		t.Errorf("%d workers were started, want 1 to 4 (max_workers)", n)
	}
}

func TestScalesToZeroWhenIdle(t *testing.T) {
	dir := project(t, map[string]string{"functions/a/index.ts": fmt.Sprintf(hello, "a")})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions"), Args: []string{"--worker-idle", "300ms"}})
	s.becomes("/a", "a")
	eventually(t, 5*time.Second, "the idle worker is gone", func() bool { return s.metric("workers") == 0 })
	eventually(t, 5*time.Second, "the end is logged", func() bool { return len(s.Logged("shutdown")) > 0 })
	if ends := s.Logged("shutdown"); len(ends) != 1 || ends[0]["reason"] != "early_drop" {
		t.Errorf("shutdown events: %v", ends)
	}
	s.becomes("/a", "a")
}

func TestCrashIsNoticedAndReplaced(t *testing.T) {
	dir := project(t, map[string]string{
		"functions/a/index.ts": `Deno.serve((r) => { if (r.url.endsWith("/die")) Deno.exit(7); return new Response("alive"); });`,
	})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions")})
	for range 3 {
		s.becomes("/a", "alive")
		a := s.call("GET", "/a/die", "")
		if a.status != 500 || !strings.Contains(a.body, "WORKER_ERROR") {
			t.Errorf("the request that ended its worker got %d %q", a.status, a.body)
		}
		if a = s.call("GET", "/a", ""); a.status != 200 || a.body != "alive" {
			t.Errorf("the next request got %d %q", a.status, a.body)
		}
	}
	eventually(t, 5*time.Second, "the ends are logged", func() bool { return len(s.Logged("uncaught_exception")) >= 3 })
	if got := s.Logged("uncaught_exception"); len(got) != 3 || got[0]["exit_code"] != float64(7) {
		t.Errorf("the log tells of the ends: %v", got)
	}
}

func TestBootFailuresBackOff(t *testing.T) {
	dir := project(t, map[string]string{"functions/a/index.ts": `throw new Error("no");`})
	s := start(t, options{Functions: filepath.Join(dir, "functions")})
	for range 20 {
		if a := s.call("GET", "/a", ""); a.status != 503 {
			t.Fatalf("got %d %q", a.status, a.body)
		}
	}
	eventually(t, 5*time.Second, "the failures are logged", func() bool { return len(s.Logged("boot_failure")) >= 3 })
	if n := len(s.Logged("boot_failure")); n != 3 {
		t.Errorf("20 calls made %d starts, want 3", n)
	}
	if a := s.call("GET", "/a", ""); !strings.Contains(a.body, "failed 3 times in a row") {
		t.Errorf("the answer does not say that it backs off: %q", a.body)
	}
}

func TestPrintingWithoutEndHurtsNobody(t *testing.T) {
	dir := project(t, map[string]string{
		"functions/loud/index.ts":  `Deno.serve(() => { const line = "x".repeat(1023); for (let i = 0; i < 100 * 1024; i++) console.log(line); return new Response("printed"); });`,
		"functions/quiet/index.ts": fmt.Sprintf(hello, "quiet"),
	})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions")})
	s.becomes("/quiet", "quiet")
	done := make(chan answer, 1)
	go func() {
		a, _ := s.try("GET", "/loud", "")
		done <- a
	}()
	for {
		select {
		case a := <-done:
			if a.body != "printed" {
				t.Fatalf("got %d %q", a.status, a.body)
			}
			eventually(t, 5*time.Second, "what was dropped is counted", func() bool {
				return strings.Contains(s.saidBy("loud"), "were dropped")
			})
			if kept := len(s.Out.String()); kept > 32<<20 {
				t.Errorf("%d bytes of 100 MiB were logged", kept)
			}
			return
		default:
			if a := s.call("GET", "/quiet", ""); a.status != 200 {
				t.Fatalf("a neighbour got %d", a.status)
			}
		}
	}
}

func TestShutdownFinishesRequests(t *testing.T) {
	dir := project(t, map[string]string{
		"functions/a/index.ts": `Deno.serve(async () => { await new Promise((d) => setTimeout(d, 1200)); return new Response("whole"); });`,
	})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions")})
	done := make(chan answer, 1)
	go func() {
		a, _ := s.try("GET", "/a", "")
		done <- a
	}()
	eventually(t, 5*time.Second, "the request runs", func() bool { return s.metric("requests_in_worker") == 1 })
	if code := s.Stop(); code != 0 {
		t.Errorf("exit code %d, want 0: nothing was cut", code)
	}
	if a := <-done; a.status != 200 || a.body != "whole" {
		t.Errorf("got %d %q", a.status, a.body)
	}
}

func TestSecondSignalCutsAndSaysSo(t *testing.T) {
	dir := project(t, map[string]string{
		"functions/a/index.ts": `Deno.serve(async () => { await new Promise((d) => setTimeout(d, 60000)); return new Response("late"); });`,
	})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions")})
	failed := make(chan error, 1)
	go func() {
		_, err := s.try("GET", "/a", "")
		failed <- err
	}()
	eventually(t, 5*time.Second, "the request runs", func() bool { return s.metric("requests_in_worker") == 1 })
	_ = s.Cmd.Process.Signal(syscall.SIGTERM)
	eventually(t, 5*time.Second, "the first signal is acknowledged", func() bool { return strings.Contains(s.Err.String(), "finishing requests") })
	_ = s.Cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.Exited:
	case <-time.After(10 * time.Second):
		t.Fatal("the second signal did not end the server")
	}
	if code := s.Cmd.ProcessState.ExitCode(); code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
	if err := <-failed; err == nil {
		t.Error("the request that was cut looks whole to its client")
	}
	if !strings.Contains(s.Err.String(), "1 requests were cut short") {
		t.Errorf("stderr does not say what was cut: %s", s.Err)
	}
}

func TestKilledServerLeavesNoOrphan(t *testing.T) {
	dir := project(t, map[string]string{"functions/a/index.ts": `Deno.serve(() => { queueMicrotask(() => { for (;;); }); return new Response("a"); });`})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions"), Args: []string{"--prestart", "2"}})
	go func() { _, _ = s.try("GET", "/a", "") }() // an endless loop, so that only the kernel can end it
	eventually(t, 10*time.Second, "the worker loops", func() bool { return len(s.Logged("boot")) == 1 })
	if len(denotest.Processes(t, s.Tmp+"/")) == 0 {
		t.Fatal("no worker is found: the check cannot fail")
	}
	_ = s.Cmd.Process.Kill()
	<-s.Exited
	eventually(t, 5*time.Second, "no worker is left", func() bool { return len(denotest.Processes(t, s.Tmp+"/")) == 0 })
}

func TestWorksOfflineWithAFilledCache(t *testing.T) {
	dir := project(t, map[string]string{
		"functions/a/index.ts": `import "jsr:@supabase/functions-js@2.4.5/edge-runtime.d.ts"; import "https://esm.sh/@supabase/functions-js@2.4.1/src/edge-runtime.d.ts"; import { Hono } from "npm:hono@4.13.19"; const app = new Hono(); app.get("*", (c) => c.text("v1")); Deno.serve(app.fetch);`,
	})
	fn := filepath.Join(dir, "functions")
	s := start(t, options{Command: "serve", Functions: fn})
	s.becomes("/a", "v1")
	s.Stop()
	// Everything that could reach a network points at a port nobody listens on.
	dead := "http://" + freeAddr(t)
	offline := []string{
		"HTTPS_PROXY=" + dead, "HTTP_PROXY=" + dead, "https_proxy=" + dead, "http_proxy=" + dead, "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1",
		"npm_config_registry=" + dead, "NPM_CONFIG_REGISTRY=" + dead, "JSR_URL=" + dead,
	}
	s = start(t, options{Command: "serve", Functions: fn, Env: offline})
	s.becomes("/a", "v1")
	s.Stop() // so that all it said has been read
	if boots := s.Logged("boot"); len(boots) != 1 || boots[0]["bundle_cached"] != true {
		t.Errorf("unchanged source was built again: %v", boots)
	}
	write(t, filepath.Join(fn, "a/index.ts"), `import "jsr:@supabase/functions-js/edge-runtime.d.ts"; Deno.serve(() => new Response("v2"));`)
	s = start(t, options{Command: "serve", Functions: fn, Env: offline})
	s.becomes("/a", "v2")
}

func TestThousandFunctionsStartAtOnce(t *testing.T) {
	files := map[string]string{}
	for i := range 1000 {
		files[fmt.Sprintf("functions/f%d/index.ts", i)] = fmt.Sprintf(hello, fmt.Sprint(i))
	}
	dir := project(t, files)
	began := time.Now()
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions")})
	if a := s.call("GET", "/health", ""); a.status != 200 || strings.TrimSpace(a.body) != `{"message":"ok"}` {
		t.Errorf("health: %d %q", a.status, a.body)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("1,000 functions took %s to the first /health", took)
	}
	s.becomes("/f777", "777")
}

func TestFunctionEnvironment(t *testing.T) {
	dir := project(t, map[string]string{
		"functions/a/index.ts": `Deno.serve(() => Response.json(Deno.env.toObject()));`,
		"functions/.env":       "MINE=yes\n",
	})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions"), Env: []string{
		"JWT_SECRET=super-secret-value-of-the-gateway-alone", "ANON_KEY=anon-key", "SERVICE_ROLE_KEY=service-key",
		"AWS_SECRET_ACCESS_KEY=aws-secret", "SUPABASE_URL=http://127.0.0.1:1", "SOMETHING_OF_THE_HOST=host",
	}})
	a := s.call("GET", "/a", "")
	for _, want := range []string{`"MINE":"yes"`, `"SUPABASE_URL":"http://127.0.0.1:1"`, `"SUPABASE_ANON_KEY":"anon-key"`, `"SUPABASE_SERVICE_ROLE_KEY":"service-key"`, `"SUPABASE_FUNCTION_SLUG":"a"`, `"SB_EXECUTION_ID":"` + a.header.Get("x-deno-execution-id") + `"`, `"DENO_DEPLOYMENT_ID":"`} {
		if !strings.Contains(a.body, want) {
			t.Errorf("%s is missing in %s", want, a.body)
		}
	}
	for _, secret := range []string{"super-secret-value", "aws-secret", "SOMETHING_OF_THE_HOST", "DENO_DIR", "PATH\":"} {
		if strings.Contains(a.body, secret) {
			t.Errorf("%s is visible to the function: %s", secret, a.body)
		}
	}
}
