package chaos

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/selvedge-dev/selvedge/e2e/harness"
)

// A heap is what Go's runtime says of a server's memory, in bytes.
type heap struct {
	live       int64 // what is still referred to, after a collection
	goroutines int
}

func (h heap) String() string {
	return fmt.Sprintf("%.1f MB live, %d goroutines", float64(h.live)/(1<<20), h.goroutines)
}

// lookInside has a server collect its garbage and asks it what is left. Where
// CHAOS_PROFILES names a folder, the whole profile is kept there under name.
func lookInside(t *testing.T, s *harness.Server, name string) (h heap) {
	t.Helper()
	sockets, _ := filepath.Glob(filepath.Join(s.Tmp, "selvedge-*", "admin"))
	if len(sockets) != 1 {
		t.Fatalf("the server has the sockets %q, want one", sockets)
	}
	c := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", sockets[0])
		},
	}}
	get := func(path string) string {
		res, err := c.Get("http://localhost/debug/pprof/" + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s, %v", path, res.Status, err)
		}
		return string(body)
	}
	profile := get("heap?gc=1&debug=1")
	lines := bufio.NewScanner(strings.NewReader(profile))
	for lines.Scan() {
		if n, ok := strings.CutPrefix(lines.Text(), "# HeapAlloc = "); ok {
			h.live, _ = strconv.ParseInt(n, 10, 64)
		}
	}
	first, _, _ := strings.Cut(get("goroutine?debug=1"), "\n")
	h.goroutines, _ = strconv.Atoi(strings.TrimPrefix(first, "goroutine profile: total "))
	if h.live == 0 || h.goroutines == 0 {
		t.Fatalf("cannot read the profiles: %q, %q", harness.Tail(profile, 1000), first)
	}
	if dir := os.Getenv("CHAOS_PROFILES"); dir != "" {
		for kind, text := range map[string]string{"heap": get("heap"), "goroutine": get("goroutine?debug=1"), "memstats": profile} {
			if err := os.WriteFile(filepath.Join(dir, name+"."+kind), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return h
}
