package conformance

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// testChromium opens client/page.html in Chromium. The page tells how it goes
// to the server that it is from, so nothing has to drive the browser.
func testChromium(t *testing.T, to target) {
	chromium := lookChromium()
	if chromium == "" {
		need(t, "Chromium is not in PATH: install it, or name it in CHROMIUM")
	}
	installClients(t)

	lines, done := make(chan []byte, 1000), make(chan struct{})
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServer(http.Dir(here("client"))))
	mux.HandleFunc("GET /target", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(to)
	})
	mux.HandleFunc("POST /report", func(_ http.ResponseWriter, r *http.Request) {
		line, _ := io.ReadAll(r.Body)
		lines <- line
	})
	mux.HandleFunc("POST /done", func(http.ResponseWriter, *http.Request) { close(done) })
	pages := httptest.NewServer(mux)
	defer pages.Close()

	browse(t, chromium, pages.URL+"/page.html", done)
	close(lines)
	var all reports
	for line := range lines {
		all.add(t, line)
	}
	all.run(t)
}

func lookChromium() string {
	for _, name := range []string{
		os.Getenv("CHROMIUM"), "chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
		"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
	} {
		if path, err := exec.LookPath(cmp.Or(name, "\x00")); err == nil {
			return path
		}
	}
	return ""
}

// browse opens a page and ends the browser once the page is done.
func browse(t *testing.T, chromium, url string, done <-chan struct{}) {
	t.Helper()
	profile, err := os.MkdirTemp("", "chromium")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(chromium,
		"--headless", "--user-data-dir="+profile, "--no-first-run", "--disable-gpu",
		"--no-proxy-server", "--ignore-certificate-errors",
		// Containers have neither a sandbox nor much shared memory; no page but
		// ours is opened.
		"--no-sandbox", "--disable-dev-shm-usage",
		"--enable-logging=stderr", url)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	log := &lastBytes{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	ended := false
	select {
	case <-done:
	case err := <-exited:
		ended = true
		t.Errorf("Chromium ended by itself: %v\n%s", err, log)
	case <-time.After(3 * time.Minute):
		t.Errorf("the page is not done after 3 minutes\n%s", log)
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if !ended {
		select {
		case <-exited:
		case <-time.After(10 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-exited
		}
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // helpers that outlast it
	os.RemoveAll(profile)
}

// lastBytes keeps the end of what is written. One process writes to it.
type lastBytes struct{ b []byte }

func (l *lastBytes) Write(p []byte) (int, error) {
	l.b = append(l.b, p...)
	l.b = l.b[max(0, len(l.b)-16<<10):]
	return len(p), nil
}

func (l *lastBytes) String() string { return string(l.b) }
