package scaffold

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/selvedge-dev/selvedge/examples"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCreate(t *testing.T) {
	want := map[string][]string{
		"hello":       {"index.ts"},
		"supabase-js": {"index.ts"},
		"sse":         {"index.ts"},
		"websocket":   {"index.ts"},
		"wasm":        {"add.wasm", "add.wat", "index.ts"},
		"hono":        {"deno.json", "index.ts"},
	}
	if len(want) != len(Templates()) {
		t.Fatalf("%d templates, want %d", len(Templates()), len(want))
	}
	for _, tmpl := range templates {
		t.Run(tmpl.Name, func(t *testing.T) {
			if tmpl.Description == "" {
				t.Error("no description")
			}
			// The functions folder does not exist yet.
			root := filepath.Join(t.TempDir(), "supabase", "functions")
			files, err := Create(root, "my_Fn-2", tmpl.Name)
			if err != nil {
				t.Fatal(err)
			}
			var expected []string
			for _, name := range want[tmpl.Name] {
				expected = append(expected, filepath.Join(root, "my_Fn-2", name))
			}
			if !slices.Equal(files, expected) {
				t.Errorf("wrote %q, want %q", files, expected)
			}
			for _, f := range files {
				got, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				orig, err := examples.FS.ReadFile("functions/" + tmpl.example + "/" + filepath.Base(f))
				if err != nil {
					t.Fatal(err)
				}
				if bytes.Contains(got, []byte(":9000/"+tmpl.example)) || bytes.Contains(got, []byte(`"/`+tmpl.example)) {
					t.Errorf("%s still names the example:\n%s", f, got)
				}
				back := bytes.ReplaceAll(got, []byte("/my_Fn-2"), []byte("/"+tmpl.example))
				if !bytes.Equal(back, orig) {
					t.Errorf("%s differs from the example in more than the name:\n%s", f, got)
				}
			}
			onlyEntry(t, root, "my_Fn-2")
		})
	}
}

func TestRename(t *testing.T) {
	hono, err := find("hono")
	if err != nil {
		t.Fatal(err)
	}
	const before = `import { Hono } from "npm:hono@4";
import { cors } from "npm:/hono@4/cors";
// http://localhost:9000/hono?x and :9000/hono/greet, :9000/hono-extra
app.basePath("/hono"); route('/hono/a', ` + "`/hono`)"
	const want = `import { Hono } from "npm:hono@4";
import { cors } from "npm:/hono@4/cors";
// http://localhost:9000/api?x and :9000/api/greet, :9000/hono-extra
app.basePath("/api"); route('/api/a', ` + "`/api`)"
	if got := string(hono.rename("index.ts", "api", []byte(before))); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestCreateRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		slug, template string
		before         func(root string) error
		want           error
		hint           string
	}{
		"a name with a dot":      {slug: "a.b", template: "hello", want: ErrSlug, hint: "letter"},
		"a path":                 {slug: "../up", template: "hello", want: ErrSlug, hint: "letter"},
		"no name":                {slug: "", template: "hello", want: ErrSlug, hint: "letter"},
		"a shared folder":        {slug: "_shared", template: "hello", want: ErrSlug, hint: "letter"},
		"Supabase's router":      {slug: "main", template: "hello", want: ErrSlug, hint: "another name"},
		"a reserved name":        {slug: "health", template: "hello", want: ErrSlug, hint: "another name"},
		"an unknown template":    {slug: "fn", template: "cobol", want: ErrTemplate, hint: "hello, supabase-js"},
		"the name of an example": {slug: "fn", template: "hello-world", want: ErrTemplate, hint: "hello"},
		"a folder in the way":    {slug: "fn", template: "hello", before: mkdir, want: ErrExists, hint: "move"},
		"a file in the way":      {slug: "fn", template: "hello", before: touch, want: ErrExists, hint: "move"},
		"a dead link as well":    {slug: "fn", template: "hello", before: dangle, want: ErrExists, hint: "move"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			if test.before != nil {
				if err := test.before(root); err != nil {
					t.Fatal(err)
				}
			}
			files, err := Create(root, test.slug, test.template)
			var e *Error
			if !errors.Is(err, test.want) || !errors.As(err, &e) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if !strings.Contains(e.Hint, test.hint) {
				t.Errorf("hint %q does not say %q", e.Hint, test.hint)
			}
			if files != nil {
				t.Errorf("wrote %q", files)
			}
			if test.before != nil {
				onlyEntry(t, root, "fn")
			} else {
				onlyEntry(t, root)
			}
		})
	}
}

func mkdir(root string) error  { return os.Mkdir(filepath.Join(root, "fn"), 0o755) }
func touch(root string) error  { return os.WriteFile(filepath.Join(root, "fn"), nil, 0o644) }
func dangle(root string) error { return os.Symlink("nowhere", filepath.Join(root, "fn")) }

func TestCreateWhereTheRootIsAFile(t *testing.T) {
	root := filepath.Join(t.TempDir(), "functions")
	if err := os.WriteFile(root, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(root, "fn", "hello"); err == nil {
		t.Fatal("want an error")
	}
}

func TestHintsFor(t *testing.T) {
	for name, want := range map[string]Hints{
		"hello": {
			Curl:   `curl http://localhost:9000/fn -d '{"name":"Functions"}'`,
			Answer: `{"message":"Hello Functions!"}`,
		},
		"wasm": {
			Curl:   `curl "http://localhost:9000/fn?a=2&b=3"`,
			Answer: `{"imported":5,"instantiated":5}`,
			Config: "[functions.fn]\nstatic_files = [\"./functions/fn/*.wasm\"]\n",
		},
		"hono": {Curl: `curl http://localhost:9000/fn/greet/Ada`, Answer: `{"hello":"Ada"}`},
	} {
		got, err := HintsFor("http://localhost:9000/", "fn", name)
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v\nwant %+v", name, got, err, want)
		}
	}
	for _, tmpl := range Templates() {
		h, err := HintsFor("http://localhost:9000", "fn", tmpl.Name)
		if err != nil || !strings.Contains(h.Curl, "http://localhost:9000/fn") || h.Answer == "" {
			t.Errorf("%s: %+v, %v", tmpl.Name, h, err)
		}
	}
	if _, err := HintsFor("http://localhost:9000", "fn", "cobol"); !errors.Is(err, ErrTemplate) {
		t.Errorf("got %v, want %v", err, ErrTemplate)
	}
}

// onlyEntry fails when dir holds anything but names: a temporary folder that
// was left behind, above all.
func onlyEntry(t *testing.T, dir string, names ...string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range list {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, names) {
		t.Errorf("%s holds %q, want %q", dir, got, names)
	}
}
