package e2e

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestLimitsAreAnswered546(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("what workers use is known only on Linux")
	}
	dir := project(t, map[string]string{
		"functions/loop/index.ts":    `Deno.serve(() => { for (;;); });`,
		"functions/heap/index.ts":    `Deno.serve(() => { const all: unknown[] = []; for (;;) all.push(new Array(1000).fill(all.length)); });`,
		"functions/buffers/index.ts": `const all: unknown[] = []; Deno.serve(async () => { for (;;) { all.push(new Uint8Array(4 << 20).fill(1)); await new Promise((r) => setTimeout(r, 5)); } });`,
		"functions/tmp/index.ts":     `let n = 0; Deno.serve(async () => { for (;;) { await Deno.writeFile(Deno.env.get("TMPDIR") + "/" + n++, new Uint8Array(1 << 20)); await new Promise((r) => setTimeout(r, 20)); } });`,
		"functions/clock/index.ts":   `Deno.serve(() => new Promise(() => {}));`,
		"functions/cut/index.ts":     `Deno.serve(() => new Response(new ReadableStream({ start(c) { c.enqueue(new TextEncoder().encode("begun")); setTimeout(() => { for (;;); }, 50); } })));`,
		"config.toml":                "[edge_runtime]\nmemory_mb = 96\ntmp_mb = 8\ncpu_ms = 500\n[functions.clock]\ntimeout_s = 1\n",
	})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions")})
	for slug, reason := range map[string]string{"loop": "cpu_time", "heap": "memory", "buffers": "memory", "tmp": "tmp_size", "clock": "wall_clock_time"} {
		a := s.call("GET", "/"+slug, "")
		if a.status != 546 || a.header.Get("sb-error-code") != "WORKER_RESOURCE_LIMIT" || !strings.Contains(a.body, `"WORKER_RESOURCE_LIMIT"`) || a.header.Get("x-relay-error") != "" {
			t.Errorf("%s: %d %q %v", slug, a.status, a.body, a.header)
		}
		if strings.Contains(a.body, "_mb") || strings.Contains(a.body, "_ms") {
			t.Errorf("%s: the body tells too much in production: %q", slug, a.body)
		}
		var end map[string]any
		eventually(t, 10*time.Second, "the end of "+slug+" is logged", func() bool {
			for _, e := range s.Logged("shutdown") {
				if e["slug"] == slug {
					end = e
				}
			}
			return end != nil
		})
		msg, _ := end["msg"].(string)
		if cpu, _ := end["cpu_time_used"].(float64); end["reason"] != reason || cpu <= 0 || !strings.Contains(msg, "1 requests in flight failed with it") {
			t.Errorf("%s: %v", slug, end)
		}
	}
	if a, err := s.try("GET", "/cut", ""); err == nil {
		t.Errorf("an answer that was cut looks whole: %d %q", a.status, a.body)
	}
}

// TestOpenFilesAndLogAreBounded: both bounds are what the function is configured
// for.
func TestOpenFilesAndLogAreBounded(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("a worker's open files are bounded on Linux only")
	}
	const open = `Deno.serve(async () => {
		const all = [];
		try { for (;;) all.push(await Deno.open(Deno.env.get("TMPDIR") + "/f", { write: true, create: true })); } catch { /* no more */ }
		for (const f of all) f.close();
		return new Response(String(all.length));
	});`
	dir := project(t, map[string]string{
		"functions/few/index.ts":  open,
		"functions/more/index.ts": open,
		"functions/talk/index.ts": `Deno.serve(() => { for (let i = 0; i < 100; i++) console.log("line", i); return new Response(); });`,
		"config.toml":             "[edge_runtime]\nopen_files = 300\n[functions.few]\nopen_files = 100\n[functions.talk]\nlog_lines_s = 2\n",
	})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions")})
	for slug, most := range map[string]int{"few": 100, "more": 300} {
		a := s.call("GET", "/"+slug, "")
		// What Deno has open itself counts as well.
		if n, err := strconv.Atoi(a.body); err != nil || n < most-60 || n >= most {
			t.Errorf("%s: %d %q, want a little less than %d", slug, a.status, a.body, most)
		}
	}
	s.call("GET", "/talk", "")
	var lines []string
	eventually(t, 10*time.Second, "it is logged that lines were dropped", func() bool {
		lines = nil
		for _, e := range s.Logged("log") {
			if e["slug"] == "talk" {
				lines = append(lines, fmt.Sprint(e["msg"]))
			}
		}
		return len(lines) > 0 && strings.Contains(lines[len(lines)-1], "more than 2 lines or 2048 bytes a second")
	})
	if len(lines) < 9 || len(lines) > 30 { // four seconds' worth at once, and that line
		t.Errorf("%d lines: %q", len(lines), lines)
	}
}

func TestServesOnWhileHealthSaysNo(t *testing.T) {
	dir := project(t, map[string]string{"functions/a/index.ts": `Deno.serve(() => new Response("a"));`})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions"), Args: []string{"--drain-delay", "60s"}})
	s.becomes("/a", "a")
	_ = s.Cmd.Process.Signal(syscall.SIGTERM)
	eventually(t, 10*time.Second, "/health is 503", func() bool {
		a, err := s.try("GET", "/health", "")
		return err == nil && a.status == 503
	})
	for range 3 {
		if a := s.call("GET", "/a", ""); a.status != 200 || a.body != "a" {
			t.Errorf("after SIGTERM: %d %q", a.status, a.body)
		}
	}
	if code := s.Stop(); code != 0 { // the second signal ends the delay
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(s.Err.String(), "serving on for 1m0s, with /health at 503") {
		t.Errorf("stderr: %s", s.Err)
	}
}
