package admin

import (
	"io"
	"strings"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/recent"
)

// TestProfiles: what `go tool pprof` asks for is there on the private socket,
// and, as TestPrivateStaysInside shows, nowhere else.
func TestProfiles(t *testing.T) {
	c := serveInside(t, recent.DefaultLimits()).dial(t)
	for path, want := range map[string]string{
		"":                  "goroutine",
		"heap?gc=1&debug=1": "# HeapAlloc = ",
		"goroutine?debug=1": "goroutine profile: total ",
		"trace?seconds=.01": "go 1.",
		"profile?seconds=1": "\x1f\x8b", // what is packed by gzip begins so
	} {
		body, err := c.get(t.Context(), "/debug/pprof/"+path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(body)
		body.Close()
		if err != nil || !strings.Contains(string(got), want) {
			t.Errorf("%s has no %q: %.200q, %v", path, want, got, err)
		}
	}
}
