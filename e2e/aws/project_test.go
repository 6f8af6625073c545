package aws

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/selvedge-dev/selvedge/e2e/harness"
	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
	"github.com/selvedge-dev/selvedge/internal/function"
)

// A project is a folder as users have it: functions, keys and settings.
type project struct {
	dir  string
	keys map[string]string // of .env
}

const settings = `[deploy]
base = "host"
smoke = ["/hello"]
`

var helloSource = `Deno.serve(() => new Response("Hello from the first version"));
`

// newProject makes one with two functions and new keys, whose secret values
// the account looks for.
func newProject(a *account, more ...string) *project {
	a.t.Helper()
	p := &project{dir: denotest.TempDir(a.t)}
	p.write(a.t, "functions/hello/index.ts", helloSource)
	p.write(a.t, "functions/other/index.ts", `Deno.serve((req) => Response.json({ path: new URL(req.url).pathname }));`+"\n")
	p.write(a.t, "selvedge.toml", settings+strings.Join(more, "\n"))
	out, err := exec.Command(harness.Binary, "keys").Output()
	if err != nil {
		a.t.Fatal(err)
	}
	p.write(a.t, ".env", string(out))
	if p.keys, err = function.ReadDotenv(filepath.Join(p.dir, ".env"), ".env"); err != nil {
		a.t.Fatal(err)
	}
	a.secret(p.keys["JWT_SECRET"], p.keys["ANON_KEY"], p.keys["SERVICE_ROLE_KEY"])
	return p
}

// become has the function say that it is another version.
func (p *project) become(t testing.TB, version string) {
	t.Helper()
	p.write(t, "functions/hello/index.ts", strings.Replace(helloSource, "first", version, 1))
}

func (p *project) write(t testing.TB, name, content string) {
	t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// serve is the project's functions behind an address: what the load balancer's
// would be. It is a real server, with the keys that were deployed.
func (p *project) serve(t *testing.T) string {
	t.Helper()
	s := harness.Start(t, harness.Options{
		Command: "serve", Functions: filepath.Join(p.dir, "functions"), Dir: p.dir,
		Env: []string{
			"REQUIRE_AUTH=true", "JWT_SECRET=" + p.keys["JWT_SECRET"], "ANON_KEY=" + p.keys["ANON_KEY"], "SERVICE_ROLE_KEY=" + p.keys["SERVICE_ROLE_KEY"],
		},
	})
	return s.URL
}

// A front is an address that answers as a test decides, for tests that are
// about something else than functions.
type front struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	asked  []string
}

func newFront(t *testing.T) *front {
	f := &front{status: http.StatusOK}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.asked = append(f.asked, r.URL.Path)
		w.WriteHeader(f.status)
	}))
	t.Cleanup(f.Close)
	return f
}

// answer sets the status of the answers from now on.
func (f *front) answer(status int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status = status
}

// copyExample puts the example's parameters.json into a project.
func copyExample(t *testing.T, p *project) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(harness.Repo, "parameters.json"))
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, "parameters.json", string(raw))
}
