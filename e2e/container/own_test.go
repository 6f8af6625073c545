package container

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/selvedge-dev/selvedge/e2e/harness"
)

// eachImage runs a test for the Dockerfile's image and for that of `selvedge
// image`: users must not notice which one they have.
func eachImage(t *testing.T, test func(t *testing.T, image string)) {
	t.Run("Dockerfile", func(t *testing.T) { test(t, image(t)) })
	t.Run("selvedge image", func(t *testing.T) { test(t, ownImage(t)) })
}

const ownRepository = "selvedge-e2e-own"

// theOwn is the image of `selvedge image`, as Docker pulled it.
var theOwn struct {
	once   sync.Once
	name   string
	digest string
	binary string
}

// ownImage makes an image without Docker, pushes it to a registry, and has
// Docker pull it from there.
func ownImage(t *testing.T) string {
	t.Helper()
	needEngine(t)
	theOwn.once.Do(func() {
		server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
		defer server.Close()
		binary := filepath.Join(containerDir, "selvedge")
		if out, err := build(binary); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		theOwn.binary = binary
		ref := strings.TrimPrefix(server.URL, "http://") + "/" + ownRepository + ":1"
		digest := pushOwn(t, ref)
		engine.do(t, "pull", ref)
		engine.do(t, "tag", ref, ownRepository)
		theOwn.name, theOwn.digest = ownRepository, digest
	})
	if theOwn.name == "" {
		t.Fatal("the image could not be made, pushed or pulled; the first test says why")
	}
	return theOwn.name
}

func build(to string) ([]byte, error) {
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", to, "./cmd/selvedge")
	cmd.Dir = repo
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	return cmd.CombinedOutput()
}

// pushOwn returns the digest of what was pushed.
func pushOwn(t *testing.T, ref string) string {
	t.Helper()
	cmd := exec.Command(theOwn.binary, "image", "--json", "--base", "host", "--functions", filepath.Join(repo, "examples", "functions"), "--push", ref)
	cmd.Env = append(os.Environ(), "DOCKER_CONFIG="+t.TempDir())
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	var report struct{ Digest string }
	if err == nil {
		err = json.Unmarshal(out, &report)
	}
	if err != nil || report.Digest == "" {
		t.Fatalf("selvedge image: %v\n%s%s", err, out, said.String())
	}
	return report.Digest
}

// TestRegistryOfDebian pushes to the registry that Debian ships, which is the
// distribution project's own, and runs what Docker pulls from it.
func TestRegistryOfDebian(t *testing.T) {
	ownImage(t)
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Skip("skipped: docker-registry is not installed (Debian package docker-registry)")
	}
	dir := t.TempDir()
	addr := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	config := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: %q}\n", filepath.Join(dir, "data"), addr)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	server := exec.Command(program, "serve", config)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	harness.Eventually(t, 30*time.Second, "the registry answers", func() bool {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	ref := addr + "/" + ownRepository + ":1"
	if digest := pushOwn(t, ref); digest != theOwn.digest {
		t.Errorf("made again the image is %s, not %s", digest, theOwn.digest)
	}
	if out := engine.do(t, "pull", ref); !strings.Contains(out, theOwn.digest) {
		t.Errorf("Docker pulled something else than %s:\n%s", theOwn.digest, out)
	}
	defer func() { _, _ = engine.try("rmi", ref) }()
	b := start(t, ref, "-e", "REQUIRE_AUTH=false")
	if a := b.call("POST", "/hello-world", `{"name":"Debian"}`, ""); a.status != http.StatusOK || !strings.Contains(a.body, "Hello Debian!") {
		t.Errorf("got %d %s", a.status, a.body)
	}
}
