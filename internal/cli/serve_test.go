package cli

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
)

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestServersLeaveNothingBehind runs the servers inside the test, answers a
// request, stops them, and looks for goroutines and processes.
func TestServersLeaveNothingBehind(t *testing.T) {
	deno := denotest.Binary(t)
	for _, command := range []string{"serve", "dev"} {
		t.Run(command, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			tmp, err := os.MkdirTemp("", "svc") // short: sockets lie below it
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(tmp)
			dir := filepath.Join(denotest.TempDir(t), "functions")
			if err := os.MkdirAll(filepath.Join(dir, "a"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "a", "index.ts"), []byte(`Deno.serve(() => new Response("a"));`), 0o644); err != nil {
				t.Fatal(err)
			}
			for name, value := range map[string]string{
				"TMPDIR": tmp, "SELVEDGE_DATA_DIR": t.TempDir(), "SELVEDGE_DENO": deno, "REQUIRE_AUTH": "false", "PORT": "",
			} {
				t.Setenv(name, value)
			}
			var out, errs lockedBuffer
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			code := make(chan int, 1)
			go func() {
				code <- Main(ctx, []string{command, "--functions", dir, "--listen", "127.0.0.1:0"}, Streams{In: bytes.NewReader(nil), Out: &out, Err: &errs})
			}()
			url := waitForURL(t, &errs, code)
			transport := &http.Transport{}
			res, err := (&http.Client{Transport: transport, Timeout: 20 * time.Second}).Get(url + "/a")
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			transport.CloseIdleConnections()
			if string(body) != "a" {
				t.Errorf("got %d %q", res.StatusCode, body)
			}
			cancel()
			if c := <-code; c != exitOK {
				t.Errorf("exit code %d: %s", c, errs.String())
			}
			if left := denotest.Processes(t, tmp+"/"); len(left) > 0 {
				t.Errorf("processes are left: %q", left)
			}
			goleak.VerifyNone(t, before)
		})
	}
}

var urlInBanner = regexp.MustCompile(` on (http://\S+)`)

func waitForURL(t *testing.T, errs *lockedBuffer, code chan int) string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if m := urlInBanner.FindStringSubmatch(errs.String()); m != nil {
			return m[1]
		}
		select {
		case c := <-code:
			t.Fatalf("the server ended with code %d: %s", c, errs.String())
		default:
		}
	}
	t.Fatalf("the server does not listen: %s", errs.String())
	return ""
}
