package npmrc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// load writes the files into fresh folders and loads them with no global file
// unless one is given.
func load(t *testing.T, project, user, global string, env ...string) (*Config, error) {
	t.Helper()
	root := t.TempDir()
	o := Options{
		ProjectDir: filepath.Join(root, "home", "project", "supabase", "functions"),
		HomeDir:    filepath.Join(root, "home"),
		GlobalFile: filepath.Join(root, "etc", "npmrc"),
		Environ:    append([]string{}, env...),
	}
	for _, dir := range []string{o.ProjectDir, filepath.Dir(o.GlobalFile)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for path, text := range map[string]string{
		filepath.Join(root, "home", "project", ".npmrc"): project,
		filepath.Join(o.HomeDir, ".npmrc"):               user,
		o.GlobalFile:                                     global,
	} {
		if text == "" {
			continue
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Load(o)
}

func mustLoad(t *testing.T, project, user, global string, env ...string) *Config {
	t.Helper()
	c, err := load(t, project, user, global, env...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestRegistryFor(t *testing.T) {
	const deno = "@deno/linux-x64-glibc"
	for _, tc := range []struct {
		name                  string
		project, user, global string
		env                   []string
		pkg, want             string
	}{
		{name: "default", pkg: deno, want: DefaultRegistry},
		{name: "global", global: "registry=https://g.example", pkg: deno, want: "https://g.example/"},
		{name: "user over global", user: "registry = https://u.example/npm", global: "registry=https://g.example", pkg: deno, want: "https://u.example/npm/"},
		{name: "project over user", project: "registry=https://p.example/", user: "registry=https://u.example/", pkg: deno, want: "https://p.example/"},
		{name: "environment over project", project: "registry=https://p.example/", env: []string{"npm_config_registry=https://e.example"}, pkg: deno, want: "https://e.example/"},
		{name: "environment in capitals", env: []string{"NPM_CONFIG_REGISTRY=https://e.example/"}, pkg: deno, want: "https://e.example/"},
		{name: "empty environment variable", user: "registry=https://u.example/", env: []string{"npm_config_registry="}, pkg: deno, want: "https://u.example/"},
		{name: "scope", user: "@deno:registry=https://d.example/x/\nregistry=https://u.example/", pkg: deno, want: "https://d.example/x/"},
		{name: "other scope", user: "@jsr:registry=https://d.example/", pkg: deno, want: DefaultRegistry},
		{name: "no scope", user: "@deno:registry=https://d.example/", pkg: "deno", want: DefaultRegistry},
		{name: "scope from environment", env: []string{"npm_config_@deno:registry=https://d.example/"}, pkg: deno, want: "https://d.example/"},
		{name: "variable", user: "registry=https://${HOST}/", env: []string{"HOST=v.example"}, pkg: deno, want: "https://v.example/"},
		{name: "variable in key", user: "@${SCOPE}:registry=https://v.example/", env: []string{"SCOPE=deno"}, pkg: deno, want: "https://v.example/"},
		{name: "default of a variable", user: "registry=https://${HOST-d.example}/", pkg: deno, want: "https://d.example/"},
		{name: "null", user: "registry=null", pkg: deno, want: DefaultRegistry},
		{name: "query and fragment", user: `registry="https://u.example/a?x=1#y"`, pkg: deno, want: "https://u.example/a/"},
		{name: "byte order mark", user: "\uFEFFregistry=https://u.example/", pkg: deno, want: "https://u.example/"},
		{name: "below a section", user: "[x]\nregistry=https://u.example/", pkg: deno, want: DefaultRegistry},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := mustLoad(t, tc.project, tc.user, tc.global, tc.env...)
			if got := c.RegistryFor(tc.pkg).String(); got != tc.want {
				t.Errorf("RegistryFor(%q) = %s, want %s", tc.pkg, got, tc.want)
			}
		})
	}
}

func TestRegistryForReturnsACopy(t *testing.T) {
	c := mustLoad(t, "", "", "")
	c.RegistryFor("x").Host = "changed.example"
	if got := c.RegistryFor("x").String(); got != DefaultRegistry {
		t.Errorf("registry became %s", got)
	}
}

func TestFilesAndTheirPlaces(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	home := write("home/.npmrc", "registry=https://home.example/")
	other := write("other", "registry=https://other.example/")
	prefix := write("prefix/etc/npmrc", "registry=https://prefix.example/")
	global := write("global", "registry=https://global.example/")
	none := filepath.Join(dir, "none")
	if err := os.Mkdir(filepath.Join(dir, "home", "sub"), 0o755); err != nil {
		t.Fatal(err)
	}

	for _, tc := range []struct {
		name string
		o    Options
		want []string
	}{
		{"user file by environment", Options{HomeDir: filepath.Dir(home), GlobalFile: none, Environ: []string{"NPM_CONFIG_USERCONFIG=" + other}}, []string{other}},
		{"home by environment", Options{GlobalFile: none, Environ: []string{"HOME=" + filepath.Dir(home)}}, []string{home}},
		{"global file by environment", Options{Environ: []string{"npm_config_globalconfig=" + global, "PREFIX=" + filepath.Join(dir, "prefix")}}, []string{global}},
		{"global file by PREFIX", Options{Environ: []string{"PREFIX=" + filepath.Join(dir, "prefix")}}, []string{prefix}},
		{"global file by prefix setting", Options{Environ: []string{"npm_config_prefix=" + filepath.Join(dir, "prefix")}}, []string{prefix}},
		{"the user's file is no project's", Options{ProjectDir: filepath.Join(dir, "home", "sub"), HomeDir: filepath.Dir(home), GlobalFile: none, Environ: []string{}}, []string{home}},
		{"nothing", Options{HomeDir: none, GlobalFile: none, Environ: []string{}}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := Load(tc.o)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.Files(); fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("Files() = %q, want %q", got, tc.want)
			}
		})
	}
}

func TestErrorsNameThePlace(t *testing.T) {
	for _, tc := range []struct{ name, user, at, want string }{
		{"not a URL", "; first\nregistry=nowhere", ".npmrc:2", "not an http or https URL"},
		{"scheme", "@deno:registry=ftp://x/", ".npmrc:1", "not an http or https URL"},
		{"password in a broken URL", "registry=https://u:hunter2@[::/", ".npmrc:1", "not an http or https URL"},
		{"unset variable", "registry=https://${NOPE}/", ".npmrc:1", "${NOPE}"},
		{"password", "\n\n//h/:username=u\n//h/:_password=!!hunter2", ".npmrc:4", "not base64"},
		{"line break in token", `//h/:_authToken="hunter2\nX: y"`, ".npmrc:1", "line break"},
		{"proxy", "proxy=http://u:hunter2@", ".npmrc:1", "not a proxy URL"},
		{"UTF-16", "\xFF\xFEr\x00", ".npmrc:1", "UTF-16"},
		{"binary", "a=b\nx=\xC3\x28", ".npmrc:2", "not text"},
		{"huge", "a=" + strings.Repeat("x", maxFileSize), ".npmrc", "larger than"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := load(t, "", tc.user, "")
			e, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("Load = %v, want an *Error", err)
			}
			if !strings.HasSuffix(e.Origin, tc.at) {
				t.Errorf("origin %q, want one ending in %q", e.Origin, tc.at)
			}
			if !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %q: want %q in it and no password", err, tc.want)
			}
		})
	}
}

func TestErrorNamesTheVariable(t *testing.T) {
	_, err := load(t, "", "", "", "NPM_CONFIG_REGISTRY=nowhere")
	if err == nil || !strings.Contains(err.Error(), "NPM_CONFIG_REGISTRY") {
		t.Errorf("error %v does not name the variable", err)
	}
}

func TestUnreadableFileIsAWarning(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read everything")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".npmrc"), nil, 0); err != nil {
		t.Fatal(err)
	}
	c, err := Load(Options{HomeDir: dir, GlobalFile: filepath.Join(dir, "none"), Environ: []string{}})
	if err != nil || len(c.Warnings()) != 1 {
		t.Errorf("Load = %v, %v; want one warning", c, err)
	}
}

func TestNothingPrintsCredentials(t *testing.T) {
	c := mustLoad(t, "", `
registry=https://user:hunter2@u.example/npm?key=hunter2
//u.example/:_authToken=hunter2
//v.example/:_auth=hunter2
_authToken=hunter2
`, "")
	var text, js bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).Info("x", "c", c, "copy", *c)
	slog.New(slog.NewJSONHandler(&js, nil)).Info("x", "c", c, "in", struct{ C Config }{*c})
	encoded, err := json.Marshal(map[string]any{"c": c})
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]string{
		"v": fmt.Sprintf("%v", c), "+v": fmt.Sprintf("%+v", c), "#v": fmt.Sprintf("%#v", c), "s": c.String(), "copy": fmt.Sprintf("%+v", *c),
		"text": text.String(), "json": js.String(), "marshal": string(encoded), "warnings": fmt.Sprint(c.Warnings()),
	} {
		if strings.Contains(s, "hunter2") {
			t.Errorf("%s shows a credential: %s", name, s)
		}
	}
	if want := "registry=https://u.example/npm/ //u.example/=Bearer *** //v.example/=Basic ***"; c.String() != want {
		t.Errorf("String() = %s, want %s", c.String(), want)
	}
}
