package e2e

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/selvedge-dev/selvedge/e2e/harness"
	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
)

// An imageReport is what `selvedge image --json` says.
type imageReport struct{ Digest string }

// makeImage runs `selvedge image` on a project, with a data folder of its own
// unless data names one.
func makeImage(t *testing.T, project, data string, args ...string) imageReport {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("--base host, and so an image without a registry, needs Linux")
	}
	if data == "" {
		data = denotest.TempDir(t)
	}
	cmd := exec.Command(harness.Binary, append([]string{"image", "--base", "host", "--json", "--functions", filepath.Join(project, "functions")}, args...)...)
	cmd.Env = harness.Environ("SELVEDGE_DATA_DIR="+data, "SELVEDGE_DENO="+denotest.Binary(t), "DOCKER_CONFIG="+t.TempDir())
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if strings.Contains(errs.String(), "to make a base image from") {
			t.Skipf("this machine cannot be a base: %s", &errs)
		}
		t.Fatalf("%v\n%s", err, &errs)
	}
	var r imageReport
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	return r
}

// imageProject is a copy of the examples with what must stay at home.
func imageProject(t *testing.T) string {
	t.Helper()
	dir := denotest.TempDir(t)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(harness.Repo, "examples"))); err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string]string{
		"functions/.env": "TOKEN=" + imageSecret, "functions/hello-world/.env": "TOKEN=" + imageSecret, "functions/.env.local": imageSecret,
		"functions/hello-world/key.pem": imageSecret, ".env": "TOKEN=" + imageSecret, "functions/hello-world/.npmrc": "//npm.example.com/:_authToken=" + imageSecret,
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	toml, err := os.ReadFile(filepath.Join(dir, "config.toml"))
	if err == nil {
		toml = append(toml, "\n[auth.external.github]\nsecret = \""+imageSecret+"\"\n"...)
		err = os.WriteFile(filepath.Join(dir, "config.toml"), toml, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

const imageSecret = "do-not-ship-this-7f3a"

// TestImage makes the image of the examples, twice, and looks at every file.
func TestImage(t *testing.T) {
	project := imageProject(t)
	dir := filepath.Join(t.TempDir(), "layout")
	first := makeImage(t, project, "", "--oci", dir)
	if second := makeImage(t, imageProject(t), "", "--oci", filepath.Join(t.TempDir(), "again")); second.Digest != first.Digest {
		t.Errorf("the same input made %s and %s", first.Digest, second.Digest)
	}
	files := imageFiles(t, imageIn(t, dir))
	for _, want := range []string{
		"usr/local/bin/selvedge", "usr/local/bin/deno", "usr/local/share/sbom/selvedge.spdx.json", "etc/ssl/certs/ca-certificates.crt",
		"app/config.toml", "app/functions/hello-world/index.ts", "app/functions/wasm/add.wasm", "app/data/prebuilt.json", "app/data/index/express.json",
	} {
		if files[want] == nil {
			t.Errorf("%s is missing", want)
		}
	}
	for path, f := range files {
		if bytes.Contains(f.content, []byte(imageSecret)) || strings.Contains(filepath.Base(path), ".env") || filepath.Base(path) == ".npmrc" {
			t.Errorf("%s has a secret in it", path)
		}
		if bytes.Contains(f.content, []byte(project)) {
			t.Errorf("%s names a folder of the machine it was built on", path)
		}
		if f.Uid != 0 || f.Gid != 0 || f.ModTime.Unix() != 0 {
			t.Errorf("%s: %+v", path, f.Header)
		}
		if f.Mode&0o022 != 0 && path != "tmp" {
			t.Errorf("%s can be written to: %o", path, f.Mode)
		}
	}
	if mode := files["app/data/bundles"].Mode; mode != 0o711 {
		t.Errorf("app/data/bundles has mode %o: a function could list it", mode)
	}
	var sbom struct {
		Packages []struct{ Name, VersionInfo string }
	}
	if err := json.Unmarshal(files["usr/local/share/sbom/selvedge.spdx.json"].content, &sbom); err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, p := range sbom.Packages {
		listed[p.Name] = p.VersionInfo != ""
	}
	for _, want := range []string{"deno", "selvedge", "github.com/spf13/cobra", "express", "@supabase/supabase-js"} {
		if !listed[want] {
			t.Errorf("the list of components has no %s", want)
		}
	}

	// What is in it serves, laid out anywhere.
	root := denotest.TempDir(t)
	for path, f := range files {
		if strings.HasPrefix(path, "app/") && f.Typeflag == tar.TypeReg {
			to := filepath.Join(root, path)
			if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, f.content, 0o444)); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := start(t, options{
		Command: "serve", Functions: filepath.Join(root, "app", "functions"), Args: []string{"--prebuilt", filepath.Join(root, "app", "data")},
		Env: append([]string{"SELVEDGE_DATA_DIR=" + filepath.Join(root, "tmp")}, noNetwork...),
	})
	for path, want := range map[string]string{"/express": "Hello from Express!", "/wasm?a=2&b=3": `{"imported":5,"instantiated":5}`, "/hono": "Hello from Hono!"} {
		if a := s.call("GET", path, ""); a.status != 200 || a.body != want {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if strings.Contains(s.Err.String(), "not prebuilt") {
		t.Errorf("%s", s.Err)
	}
}

// TestImagePush changes one function and counts what a registry is sent for it.
func TestImagePush(t *testing.T) {
	var sent atomic.Int64
	store := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = &countedBody{r.Body, &sent}
		store.ServeHTTP(w, r)
	}))
	defer server.Close()
	ref := strings.TrimPrefix(server.URL, "http://") + "/team/functions:1"
	project, data := imageProject(t), denotest.TempDir(t)
	first := makeImage(t, project, data, "--push", ref)
	all := sent.Swap(0)
	if same := makeImage(t, project, data, "--push", ref); same.Digest != first.Digest {
		t.Errorf("the same input made %s and %s", first.Digest, same.Digest)
	}
	unchanged := sent.Swap(0)
	source := filepath.Join(project, "functions", "hello-world", "index.ts")
	code, err := os.ReadFile(source)
	if err == nil {
		err = os.WriteFile(source, bytes.ReplaceAll(code, []byte("Hello"), []byte("Goodbye")), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	changed := makeImage(t, project, data, "--push", ref)
	if changed.Digest == first.Digest {
		t.Error("a change of a function left the digest as it was")
	}
	one := sent.Load()
	t.Logf("sent: %d bytes at first, %d unchanged, %d for one function", all, unchanged, one)
	if one > 100_000 || unchanged > one {
		t.Errorf("%d bytes were sent for one function, %d for none", one, unchanged)
	}
	parsed, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(parsed)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := img.Digest(); err != nil || d.String() != changed.Digest {
		t.Errorf("the registry has %v, error %v", d, err)
	}
}

// TestImageWrongUsage: nothing is built before it is known to be of use.
func TestImageWrongUsage(t *testing.T) {
	for want, args := range map[string][]string{
		"nowhere to put the image":       {"image"},
		"use linux/amd64 or linux/arm64": {"image", "--oci", "x", "--platform", "windows/amd64"},
		"--tarball holds one platform":   {"image", "--tarball", "x", "--platform", "linux/amd64,linux/arm64"},
		"use PLATFORM=FILE":              {"image", "--oci", "x", "--binary", "selvedge"},
		"name a base image with --base":  {"image", "--oci", "x", "--base", "host", "--platform", "linux/" + map[string]string{"amd64": "arm64"}[runtime.GOARCH] + map[string]string{"arm64": "amd64"}[runtime.GOARCH]},
		"use seconds since 1970":         {"image", "--oci", "x"},
	} {
		cmd := exec.Command(harness.Binary, append(args, "--functions", filepath.Join(harness.Repo, "examples", "functions"))...)
		cmd.Dir = t.TempDir()
		cmd.Env = harness.Environ("SELVEDGE_DATA_DIR=" + t.TempDir())
		if strings.Contains(want, "seconds") {
			cmd.Env = append(cmd.Env, "SOURCE_DATE_EPOCH=today")
		}
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), want) {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
	}
}

type countedBody struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c *countedBody) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}

type imageFile struct {
	*tar.Header
	content []byte
}

// imageFiles are the files of an image as a container has them. Programs and
// libraries come without their content.
func imageFiles(t *testing.T, img v1.Image) map[string]*imageFile {
	t.Helper()
	r := mutate.Extract(img)
	defer r.Close()
	files := map[string]*imageFile{}
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		f := &imageFile{Header: h}
		if h.Size < 4<<20 {
			if f.content, err = io.ReadAll(in); err != nil {
				t.Fatal(err)
			}
		}
		files[strings.Trim(h.Name, "/")] = f
	}
}

func imageIn(t *testing.T, dir string) v1.Image {
	t.Helper()
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil || len(m.Manifests) != 1 {
		t.Fatalf("%+v, error %v", m, err)
	}
	img, err := index.Image(m.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return img
}
