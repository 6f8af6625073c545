// Package conformance calls the real server with clients that others wrote:
// supabase-js in three ages, functions-js and ws in Node, supabase-js in
// Chromium from another origin, and curl.
//
// A client that is missing skips its tests, and fails them where
// SELVEDGE_REQUIRE_CLIENTS=1.
package conformance

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/selvedge-dev/selvedge/e2e/harness"
	"github.com/selvedge-dev/selvedge/internal/deno/release"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// TestConformance is one server, and everything that calls it.
func TestConformance(t *testing.T) {
	keys := newKeys(t)
	options := func(args ...string) harness.Options {
		return harness.Options{
			Command:   "serve",
			Functions: here("functions"),
			Args:      args,
			Env:       append(keys.environ(), "REQUIRE_AUTH=true", "SB_REGION=eu-central-1"),
		}
	}
	to := target{URL: harness.Start(t, options()).URL, Keys: keys}
	if release.Version == "2.9.5" {
		to.Duplex = "Deno 2.9.5 stops reading an upload once its answer has begun; 2.9.6 goes on"
	}
	t.Run("node", func(t *testing.T) { testNode(t, to) })
	t.Run("chromium", func(t *testing.T) {
		to.CORSURL = harness.Start(t, options("--cors")).URL
		testChromium(t, to)
	})
}

// A target is what clients are told about the server.
type target struct {
	URL  string `json:"url"`
	Keys keys   `json:"keys"`
	// CORSURL is a server with --cors.
	CORSURL string `json:"corsURL"`
	// Duplex is why answers cannot come while an upload goes on, "" where they can.
	Duplex string `json:"duplex"`
}

// here returns the path of a file of this folder.
func here(parts ...string) string {
	return filepath.Join(append([]string{harness.Repo, "e2e", "conformance"}, parts...)...)
}

// need ends the test unless the client is there: with a skip, or with a
// failure where clients are required.
func need(t *testing.T, missing string) {
	t.Helper()
	switch {
	case missing == "":
	case os.Getenv("SELVEDGE_REQUIRE_CLIENTS") == "1":
		t.Fatal(missing)
	default:
		t.Skip(missing)
	}
}
