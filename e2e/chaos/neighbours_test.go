package chaos

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/e2e/harness"
)

// TestNeighbours: what one function does costs another one next to nothing, and
// is stopped by the limit that is meant for it.
func TestNeighbours(t *testing.T) {
	bad := []struct {
		name, slug, source, reason string
		codes                      []string
	}{
		{"an endless loop", "loop", `Deno.serve(() => { for (;;); });`, "cpu_time", []string{"WORKER_RESOURCE_LIMIT"}},
		{"heap without end", "heap", `Deno.serve(() => { const all: unknown[] = []; for (;;) all.push(new Array(1000).fill(all.length)); });`, "memory", []string{"WORKER_RESOURCE_LIMIT"}},
		// Past the limit of the process the allocation itself fails; which of
		// the two comes first depends on the machine.
		{"buffers without end", "buffers", `Deno.serve(() => { const all: unknown[] = []; for (;;) all.push(new Uint8Array(1 << 20).fill(1)); });`, "memory",
			[]string{"WORKER_RESOURCE_LIMIT", "EDGE_FUNCTION_ERROR"}},
		{"WebAssembly memory without end", "wasm", `const m = new WebAssembly.Memory({ initial: 1, maximum: 65536 });
			Deno.serve(async () => { for (;;) { const at = m.grow(64); new Uint8Array(m.buffer, at * 65536).fill(1); await new Promise((r) => setTimeout(r)); } });`, "memory",
			[]string{"WORKER_RESOURCE_LIMIT", "EDGE_FUNCTION_ERROR"}},
		{"printing without end", "print", `const line = "x".repeat(1000); Deno.serve(() => { for (;;) console.log(line); });`, "cpu_time", []string{"WORKER_RESOURCE_LIMIT"}},
		{"files without end", "tmp", `let n = 0; const chunk = new Uint8Array(1 << 20);
			Deno.serve(async () => { for (;;) await Deno.writeFile(Deno.env.get("TMPDIR") + "/" + n++, chunk); });`, "tmp_size",
			[]string{"WORKER_RESOURCE_LIMIT", "EDGE_FUNCTION_ERROR"}},
		{"open files and sockets without end", "open", `const all: unknown[] = []; const l = Deno.listen;
			Deno.serve(async () => { for (let i = 0;; i++) { all.push(await Deno.open(Deno.env.get("TMPDIR") + "/" + i, { write: true, create: true })); } });`, "cpu_time",
			[]string{"WORKER_RESOURCE_LIMIT", "EDGE_FUNCTION_ERROR"}},
	}
	files := map[string]string{
		"functions/healthy/index.ts": `Deno.serve(async (r) => new Response("healthy" + await r.text()));`,
		"config.toml":                "[edge_runtime]\nmemory_mb = 128\ntmp_mb = 32\n",
	}
	for _, b := range bad {
		files["functions/"+b.slug+"/index.ts"] = b.source
	}
	s := harness.Start(t, harness.Options{Command: "serve", Functions: project(t, files)})
	for range 50 {
		newClient(t).post(s.URL + "/healthy")
	}
	span := scaled(2*time.Second, 10*time.Second)
	measure := func() []outcome {
		l := startLoad(t, s.URL+"/healthy", 2, 5*time.Millisecond)
		time.Sleep(span)
		return l.end()
	}
	base := quantile(measure(), 0.99)
	for _, b := range bad {
		// Its own start is not what is measured.
		l := startLoad(t, s.URL+"/"+b.slug, 1, 0)
		healthy := measure()
		all := l.end()
		p99 := quantile(healthy, 0.99)
		if n := count(healthy, failed); n > 0 {
			t.Errorf("%s: %d of %d requests of the healthy function failed", b.name, n, len(healthy))
			report(t, healthy, failed)
		}
		wrong := func(o outcome) bool { return o.err != nil || !slices.Contains(b.codes, o.code) }
		if n := count(all, wrong); n > 0 {
			t.Errorf("%s: %d of %d answers are not one of %q", b.name, n, len(all), b.codes)
			report(t, all, wrong)
		}
		// A machine with other work has pauses that are nobody's fault here.
		if limit := max(3*base, scaled(250*time.Millisecond, 10*time.Millisecond)); p99 > limit {
			t.Errorf("%s: the healthy function's p99 is %s, alone %s", b.name, p99, base)
		}
		for _, e := range s.Logged("shutdown") {
			if e["slug"] == b.slug && e["reason"] != b.reason {
				t.Errorf("%s: stopped for %v, want %s: %v", b.name, e["reason"], b.reason, e["msg"])
			}
		}
		codes := map[string]int{}
		for _, o := range all {
			codes[fmt.Sprint(o.status)]++
		}
		note(t, "neighbour: "+b.name, "its limit stops it; the other's p99 ≤ 3 × its own", "%s, answers %v; the other's p99 %.1f ms, alone %.1f ms, of %d requests 0 failed",
			b.reason, codes, p99.Seconds()*1e3, base.Seconds()*1e3, len(healthy))
	}
}
