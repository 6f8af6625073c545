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

// TestConformance starts two servers, and everything that calls them. The
// second one has TLS, --cors and a proxy that it trusts.
func TestConformance(t *testing.T) {
	to := target{Keys: newKeys(t)}
	to.certificate, to.key = newCertificate(t)
	serve := func(args ...string) *harness.Server {
		return harness.Start(t, harness.Options{
			Command:   "serve",
			Functions: here("functions"),
			Args:      args,
			Env: append(to.Keys.environ(), "REQUIRE_AUTH=true", "SB_REGION=eu-central-1",
				"SUPABASE_URL=http://127.0.0.1:1", "SUPABASE_DB_URL=postgresql://db", "AWS_SECRET_ACCESS_KEY=of-the-host"),
		})
	}
	first := serve()
	to.URL = first.URL
	to.Secure = serve("--tls-cert", to.certificate, "--tls-key", to.key, "--cors", "--trusted-proxies", "loopback").URL
	if release.Version == "2.9.5" {
		to.Duplex = "Deno 2.9.5 stops reading an upload once its answer has begun; 2.9.6 goes on"
	}
	t.Run("node", func(t *testing.T) { testNode(t, to) })
	t.Run("chromium", func(t *testing.T) { testChromium(t, to) })
	t.Run("curl", func(t *testing.T) { testCurl(t, to) })
	t.Run("inside", func(t *testing.T) { testInside(t, to, first) })
}

// A target is what clients are told about the servers.
type target struct {
	URL    string `json:"url"`
	Secure string `json:"secure"` // the second server's
	Keys   keys   `json:"keys"`
	// Duplex is why answers cannot come while an upload goes on, "" where they can.
	Duplex string `json:"duplex"`

	certificate, key string // files
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
