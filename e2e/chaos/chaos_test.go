// Package chaos does to a real server what production does to it, and worse,
// and checks that nobody else suffers. `make test` runs it scaled down, `make
// chaos` at full length; with CHAOS_WRITE set a run that passes writes
// docs/reliability.md. CHAOS_ROWS names a file that keeps the results of tests
// that passed from one run to the next.
package chaos

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/e2e/harness"
	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
)

// full runs at full length; the rest of the time the tests only show that they
// work and that nothing is grossly wrong.
var full = os.Getenv("CHAOS") == "full"

func scaled[T any](short, long T) T {
	if full {
		return long
	}
	return short
}

func TestMain(m *testing.M) {
	if runtime.GOOS != "linux" {
		fmt.Println("skipped: it looks at /proc")
		os.Exit(0)
	}
	if os.Getenv(servePlain) != "" {
		fmt.Fprintln(os.Stderr, answerPlainly())
		os.Exit(1)
	}
	kept := os.Getenv("CHAOS_ROWS")
	if kept != "" {
		if err := loadRows(kept); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	code := harness.Main(m)
	if kept != "" {
		if err := saveRows(kept); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if code == 0 && os.Getenv("CHAOS_WRITE") != "" {
		if err := writeDocument(filepath.Join(harness.Repo, "docs", "reliability.md")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// project writes files and returns the functions folder.
func project(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := denotest.TempDir(t)
	for name, content := range files {
		put(t, filepath.Join(dir, name), content)
	}
	return filepath.Join(dir, "functions")
}

// put writes a file in one step, as editors do.
func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// A client calls one function after the other on connections of its own.
type client struct{ http *http.Client }

func newClient(t *testing.T) *client {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{&http.Client{Transport: transport, Timeout: time.Minute}}
}

// An outcome is what came of one request.
type outcome struct {
	sent, got time.Time
	status    int
	code      string // sb-error-code
	body      string
	err       error
}

func (o outcome) took() time.Duration { return o.got.Sub(o.sent) }

func (o outcome) String() string {
	if o.err != nil {
		return o.err.Error()
	}
	return fmt.Sprintf("%d %s %.80q", o.status, o.code, o.body)
}

// post is not repeated by net/http once it was sent.
func (c *client) post(url string) (o outcome) {
	o.sent = time.Now()
	defer func() { o.got = time.Now() }()
	res, err := c.http.Post(url, "text/plain", strings.NewReader("x"))
	if err != nil {
		o.err = err
		return o
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	o.status, o.code, o.body, o.err = res.StatusCode, res.Header.Get("Sb-Error-Code"), string(body), err
	return o
}

// A load calls until it is stopped.
type load struct {
	mu   sync.Mutex
	all  []outcome
	stop atomic.Bool
	wg   sync.WaitGroup
}

// startLoad has clients call url, each with a pause after each answer.
func startLoad(t *testing.T, url string, clients int, pause time.Duration) *load {
	l := &load{}
	for range clients {
		c := newClient(t)
		l.wg.Go(func() {
			for !l.stop.Load() {
				o := c.post(url)
				l.mu.Lock()
				l.all = append(l.all, o)
				l.mu.Unlock()
				time.Sleep(pause)
			}
		})
	}
	return l
}

func (l *load) end() []outcome {
	l.stop.Store(true)
	l.wg.Wait()
	return l.all
}

// quantile returns the q-th of how long requests took.
func quantile(all []outcome, q float64) time.Duration {
	var took []time.Duration
	for _, o := range all {
		took = append(took, o.took())
	}
	slices.Sort(took)
	if len(took) == 0 {
		return 0
	}
	return took[min(len(took)-1, int(q*float64(len(took))))]
}

func count(all []outcome, is func(outcome) bool) (n int) {
	for _, o := range all {
		if is(o) {
			n++
		}
	}
	return n
}

func failed(o outcome) bool { return o.err != nil || o.status != http.StatusOK }

// report prints a few of those that failed.
func report(t *testing.T, all []outcome, is func(outcome) bool) {
	t.Helper()
	shown := 0
	for _, o := range all {
		if is(o) && shown < 5 {
			shown++
			t.Logf("%s: %s", o.sent.Format("05.000"), o)
		}
	}
}
