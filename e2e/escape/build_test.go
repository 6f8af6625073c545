package escape

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/selvedge-dev/selvedge/e2e/harness"
	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
)

// A building is an attempt that is made when a function is built: what it gets
// would be in its bundle, or in an error.
type building struct {
	name   string
	source string
	files  map[string]string // beside index.ts
	links  map[string]string // name → where it leads, relative to the project
	config string            // in config.toml, with FN for the function's name
	alone  string            // why the bundler alone is not shown to let it through
	blind  bool              // it may be built, without what the bundler could not read
}

func buildings() []building {
	const outside = "../../outside/"
	return []building{
		{name: "import a file as text", source: `import s from "` + outside + `file" with { type: "text" }; console.log(s);`},
		{name: "as JSON", source: `import s from "` + outside + `file.json" with { type: "json" }; console.log(s);`},
		{name: "as code", source: `import { secret } from "` + outside + `script.ts"; console.log(secret);`},
		{name: "for the error that quotes it", source: `import "` + outside + `broken.ts";`},
		{name: "by a dynamic import with a literal", source: `console.log(await import("` + outside + `file.json", { with: { type: "json" } }));`},
		{name: "by a dynamic import with a pattern", source: "console.log(await import(`" + outside + "${Deno.args[0]}.json`));", alone: "Deno's bundler leaves it for run time", blind: true},
		{name: "by a file URL", source: `import s from "file://PROJECT/outside/file" with { type: "text" }; console.log(s);`},
		{name: "by an absolute path", source: `import s from "PROJECT/outside/file" with { type: "text" }; console.log(s);`},
		{name: "by `require`", source: `console.log(require("` + outside + `file.json"));`},
		{name: "by `require` with a computed name", source: `console.log(require("` + outside + `" + Deno.args[0] + ".json"));`, blind: true},
		{name: "by an import map", source: `import s from "s" with { type: "json" }; console.log(s);`, files: map[string]string{"deno.json": `{ "imports": { "s": "` + outside + `file.json" } }`}},
		{name: "by a module of `_shared`", source: `import s from "../_shared/BY.ts"; console.log(s);`, files: map[string]string{"../_shared/BY.ts": `import s from "` + outside + `file" with { type: "text" }; export default s;`}},
		{name: "by a link to it", source: `import s from "./link" with { type: "text" }; console.log(s);`, links: map[string]string{"link": "outside/file"}},
		{name: "by a link to its folder", source: `import s from "./link/file.json" with { type: "json" }; console.log(s);`, links: map[string]string{"link": "outside"}},
		{name: "by a link in place of the entrypoint", links: map[string]string{"index.ts": "outside/script.ts"}},
		{name: "by a source map", source: `import { x } from "./lib.js"; console.log(x);`, files: map[string]string{"lib.js": "export const x = 1;\n//# sourceMappingURL=" + outside + "script.map\n"}},
		{name: "another function's code", source: `import { secret } from "../victim/index.ts"; console.log(secret);`},
		{name: "the variables of all functions", source: `import s from "../.env" with { type: "text" }; console.log(s);`},
		{name: "another function's variables, as one's own", source: `console.log(1);`, links: map[string]string{".env": "functions/victim/.env"}, alone: "it is no matter of the bundler"},
		{name: "a file as a static one", source: `console.log(1);`, config: `static_files = ["./outside/*"]`, alone: "it is no matter of the bundler"},
		{name: "a link as a static file", source: `console.log(1);`, links: map[string]string{"static.txt": "outside/file"}, config: `static_files = ["./functions/FN/*.txt"]`, alone: "it is no matter of the bundler"},
		{name: "import from a metadata service", source: `import s from "http://169.254.169.254/latest" with { type: "text" }; console.log(s);`, alone: "there is none here"},
		{name: "a metadata service as npm's registry", source: `import x from "npm:x@1"; console.log(x);`, files: map[string]string{".npmrc": "registry=http://0xa9fea9fe/\n"}, alone: "there is none here"},
		{name: "send a variable of the server to a registry", source: `import x from "npm:x@1"; console.log(x);`, files: map[string]string{".npmrc": "registry=http://127.0.0.1:9/${AWS_SECRET_ACCESS_KEY}/\n"}, alone: "it takes a registry"},
	}
}

// TestBuilds builds a function for each attempt, and looks for the secret in
// all that this leaves and says.
func TestBuilds(t *testing.T) {
	root := denotest.TempDir(t)
	data := filepath.Join(root, "data")
	t.Cleanup(func() { harness.Reveal(data) })
	denotest.IsolatedPackages(t, filepath.Join(data, "packages"))
	write := func(name, content string) {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	write("outside/file", secret)
	write("outside/file.json", `{"s":"`+secret+`"}`)
	write("outside/script.ts", `export const secret: string = "`+secret+`"; console.log(secret);`)
	write("outside/broken.ts", "const "+strings.ReplaceAll(secret, "-", "_")+" = ;\n// "+secret)
	write("outside/script.map", `{"version":3,"sources":["webpack://x.ts"],"sourcesContent":["`+secret+`"],"names":[],"mappings":"AAAA"}`)
	write("functions/victim/index.ts", `export const secret = "`+secret+`"; Deno.serve(() => new Response(secret));`)
	write("functions/victim/.env", "KEY="+secret)
	write("functions/.env", "ALL="+secret)
	var config strings.Builder
	all := buildings()
	for i, b := range all {
		fn := fmt.Sprintf("fn%d", i)
		fill := func(s string) string {
			return strings.NewReplacer("PROJECT", root, "FN", fn, "BY", fn).Replace(s)
		}
		if b.source != "" {
			write("functions/"+fn+"/index.ts", fill(b.source)+"\nDeno.serve(() => new Response());\n")
		}
		for name, content := range b.files {
			write("functions/"+fn+"/"+fill(name), fill(content))
		}
		for name, to := range b.links {
			at := filepath.Join(root, "functions", fn, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.Symlink(filepath.Join(root, to), at)); err != nil {
				t.Fatal(err)
			}
		}
		fmt.Fprintf(&config, "[functions.%s]\n%s\n", fn, fill(b.config))
	}
	write("config.toml", config.String())

	for _, walls := range []string{"auto", "off"} {
		t.Run("walls "+walls, func(t *testing.T) { buildAll(t, root, data, walls, all) })
	}

	// What the bundler itself lets through, with a cache of its own.
	alone := filepath.Join(root, "alone")
	denotest.IsolatedPackages(t, alone)
	for i, b := range all {
		if b.alone != "" {
			continue
		}
		t.Run("bundler alone/"+b.name, func(t *testing.T) {
			slug := fmt.Sprintf("fn%d", i)
			out := filepath.Join(t.TempDir(), "out.js")
			args := []string{"bundle", "--quiet", "--no-lock", "--sourcemap=inline", "--node-modules-dir=none", "--output=" + out}
			if _, ok := b.files["deno.json"]; !ok {
				args = append(args, "--no-config")
			}
			cmd := exec.Command(denotest.Binary(t), append(args, filepath.Join(root, "functions", slug, "index.ts"))...)
			cmd.Dir = filepath.Join(root, "functions", slug)
			cmd.Env = append(harness.Environ(), "DENO_DIR="+alone, "NO_COLOR=1")
			said, _ := cmd.CombinedOutput()
			made, _ := os.ReadFile(out)
			plain := strings.ReplaceAll(string(made)+string(said)+unbase64(string(made)), "_", "-")
			if !strings.Contains(plain, secret) {
				t.Errorf("the bundler alone does not let it through, so that it shows nothing: %s", said)
			}
		})
	}
}

// buildAll has all functions of the project built, and looks at what is left.
func buildAll(t *testing.T, root, data, walls string, all []building) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(filepath.Join(data, "bundles")), os.RemoveAll(filepath.Join(data, "index"))); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(harness.Binary, "bundle", "--json", "--no-warm", "--system-walls", walls, "--data-dir", data, "--functions", filepath.Join(root, "functions"))
	cmd.Dir = root
	cmd.Env = harness.Environ("SELVEDGE_DENO="+denotest.Binary(t), "AWS_SECRET_ACCESS_KEY="+secret, "HTTP_PROXY=http://127.0.0.1:9", "HTTPS_PROXY=http://127.0.0.1:9")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	harness.Reveal(data) // what is in it is looked at, and removed, by its owner
	var rows []struct{ Slug, Error, Detail string }
	if jerr := json.Unmarshal(stdout, &rows); jerr != nil {
		t.Fatalf("%v %v\n%s%s", err, jerr, stdout, stderr.String())
	}
	refused := map[string]string{}
	for _, r := range rows {
		if r.Error != "" {
			refused[r.Slug] = r.Error
		}
		if strings.Contains(r.Error+r.Detail, secret) && r.Slug != "victim" {
			t.Errorf("%s: the error has the secret: %s %s", r.Slug, r.Error, r.Detail)
		}
	}
	for line := range strings.Lines(stderr.String()) {
		if slug, what, ok := strings.Cut(strings.TrimPrefix(line, "error: function "), ": "); ok && strings.HasPrefix(line, "error: function ") {
			refused[slug] = what
		}
		if strings.Contains(line, secret) {
			t.Errorf("the output has the secret: %s", line)
		}
	}
	// The victim's own bundle is the only place where it may be.
	own := 0
	err = filepath.WalkDir(data, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(raw), secret) {
			switch {
			case strings.HasPrefix(path, filepath.Join(data, "packages", "gen")) && walls == "off":
				// Deno's own cache of what it has translated, which it shows no function.
			case strings.Contains(path, "/functions/victim/"):
				own++
			default:
				t.Errorf("%s has the secret", path)
			}
		}
		return err
	})
	if err != nil || own == 0 {
		t.Errorf("the victim's bundle: %d files, %v", own, err)
	}

	for i, b := range all {
		t.Run(b.name, func(t *testing.T) {
			why := refused[fmt.Sprintf("fn%d", i)]
			// What Landlock hides from the bundler it may pass over.
			if why == "" && !(b.blind && (walls == "auto" || b.alone != "")) {
				t.Error("it was built")
			}
			t.Logf("%.300q", why)
		})
	}
}

// unbase64 decodes the source map at the end of a module.
func unbase64(module string) string {
	_, encoded, _ := strings.Cut(module, "base64,")
	raw, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	return string(raw)
}
