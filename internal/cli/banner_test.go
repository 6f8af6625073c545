package cli

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSampleBody(t *testing.T) {
	const body = ` -d '{"name":"Functions"}'`
	for source, want := range map[string]string{
		"Deno.serve(async (req) => new Response((await req.json()).name))":               body,
		"Deno.serve(async (request) => { const { name } = await request.json(); })":      body,
		"Deno.serve(() => Response.json({}))":                                            "",
		"app.get('/x', (c) => c.json(await prereq.json()))":                              "",
		"const res = await fetch('https://example.com'); const data = await res.json();": "",
	} {
		file := filepath.Join(t.TempDir(), "index.ts")
		if err := os.WriteFile(file, []byte(source), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := sampleBody(file); got != want {
			t.Errorf("%s: %q, want %q", source, got, want)
		}
	}
	if got := sampleBody(filepath.Join(t.TempDir(), "missing.ts")); got != "" {
		t.Errorf("a function that cannot be read: %q", got)
	}
}
