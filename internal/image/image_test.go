package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

var amd64 = v1.Platform{OS: "linux", Architecture: "amd64"}

func build(t *testing.T, s Spec) v1.Image {
	t.Helper()
	img, err := Build(s)
	if err != nil {
		t.Fatal(err)
	}
	// As others read it.
	dir := filepath.Join(t.TempDir(), "layout")
	if err := (Artifact{Image: img}).Layout(dir, "x"); err != nil {
		t.Fatal(err)
	}
	at, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(at); err != nil {
		t.Fatal(err)
	}
	return img
}

func digest(t *testing.T, a interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	d, err := a.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

// TestSameFilesSameDigest: neither order, owner, mode nor time of the files on
// this machine show.
func TestSameFilesSameDigest(t *testing.T) {
	made := map[string]bool{}
	for i := range 3 {
		dir := t.TempDir()
		for _, name := range [][]string{{"b", "a", "sub/c"}, {"sub/c", "a", "b"}, {"a", "b", "sub/c"}}[i] {
			file := filepath.Join(dir, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(name), []os.FileMode{0o600, 0o644, 0o755}[i])); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(file, time.Time{}, time.Unix(int64(1e9+i), 0)); err != nil {
				t.Fatal(err)
			}
		}
		entries, err := Tree(dir, "app")
		if err != nil {
			t.Fatal(err)
		}
		made[digest(t, build(t, Spec{Platform: amd64, Layers: []Layer{{"files", entries}}, Created: time.Unix(0, 0)}))] = true
	}
	if len(made) != 1 {
		t.Errorf("digests differ: %v", made)
	}
}

func TestLayerHasItsFoldersOnce(t *testing.T) {
	layer, err := Layer{"x", []Entry{
		Dir("app/data/bundles", 0o711),
		{Path: "app/data/bundles/n/index.js", Mode: 0o644, Content: []byte("x")},
		{Path: "/tmp", Mode: os.ModeDir | os.ModeSticky | 0o777},
		{Path: "lib/l", Link: "l.6"},
	}}.build(time.Unix(7, 0), types.OCILayer)
	if err != nil {
		t.Fatal(err)
	}
	r, err := layer.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var got []string
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.ModTime.Unix() != 7 {
			t.Errorf("%+v", h)
		}
		got = append(got, fmt.Sprintf("%s %o %s", h.Name, h.Mode, h.Linkname))
	}
	want := []string{"app/ 755 ", "app/data/ 755 ", "app/data/bundles/ 711 ", "app/data/bundles/n/ 755 ", "app/data/bundles/n/index.js 644 ", "lib/ 755 ", "lib/l 0 l.6", "tmp/ 1777 "}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestConfiguration(t *testing.T) {
	base := build(t, Spec{Platform: amd64, Env: []string{"PATH=/bin"}, Layers: []Layer{{"base", []Entry{Dir("etc", 0o755)}}}})
	img := build(t, Spec{
		Base: base, Platform: amd64, Env: []string{"HOME=/tmp"}, Created: time.Unix(5, 0),
		Labels: map[string]string{"l": "1"}, Annotations: map[string]string{"a": "2"},
		Layers: []Layer{{"files", []Entry{{Path: "f", Mode: 0o644}}}},
	})
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := file.Config
	if c.User != "65532:65532" || c.WorkingDir != "/app" || fmt.Sprint(c.Entrypoint) != "[selvedge serve]" || c.Cmd != nil ||
		fmt.Sprint(c.Env) != "[PATH=/bin HOME=/tmp]" || fmt.Sprint(c.Healthcheck.Test) != "[CMD selvedge healthcheck]" || c.Labels["l"] != "1" {
		t.Errorf("%+v", c)
	}
	if _, ok := c.ExposedPorts["9000/tcp"]; !ok || file.Created.Unix() != 5 || file.Architecture != "amd64" || len(file.RootFS.DiffIDs) != 2 {
		t.Errorf("%+v", file)
	}
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if m.Annotations["a"] != "2" || m.MediaType != types.OCIManifestSchema1 || m.Config.MediaType != types.OCIConfigJSON || m.Layers[1].MediaType != types.OCILayer {
		t.Errorf("%+v", m)
	}
}

func TestPublish(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	one := build(t, Spec{Platform: amd64, Layers: []Layer{{"f", []Entry{{Path: "f", Mode: 0o644, Content: []byte("1")}}}}})
	two := build(t, Spec{Platform: v1.Platform{OS: "linux", Architecture: "arm64"}, Layers: []Layer{{"f", []Entry{{Path: "f", Mode: 0o644, Content: []byte("2")}}}}})
	index, err := Index([]v1.Image{one, two})
	if err != nil {
		t.Fatal(err)
	}
	both := Artifact{Image: one, Index: index}
	heard := false
	if err := both.Push(t.Context(), host+"/app:1", PushOptions{Progress: func(done, total int64) { heard = heard || done == total }}); err != nil {
		t.Fatal(err)
	}
	if !heard {
		t.Error("nothing was heard of the push")
	}
	back, of, err := Pull(t.Context(), host+"/app:1", v1.Platform{OS: "linux", Architecture: "arm64"})
	if err != nil {
		t.Fatal(err)
	}
	if digest(t, back) != digest(t, two) || of != digest(t, both) {
		t.Errorf("%s of %s came back", digest(t, back), of)
	}

	if err := (Artifact{Image: one}).Push(t.Context(), host+"/one:1", PushOptions{}); err != nil {
		t.Fatal(err)
	}
	_, _, err = Pull(t.Context(), host+"/one:1", v1.Platform{OS: "linux", Architecture: "arm64"})
	if err == nil || !strings.Contains(err.Error(), "is for linux/amd64, not for linux/arm64") {
		t.Errorf("a base of another platform: error %v", err)
	}

	dir := filepath.Join(t.TempDir(), "layout")
	for range 2 { // the second takes the first one's place
		if err := both.Layout(dir, "app:1"); err != nil {
			t.Fatal(err)
		}
	}
	at, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(at); err != nil {
		t.Error(err)
	}
	if m, err := at.IndexManifest(); err != nil || len(m.Manifests) != 1 || m.Manifests[0].Digest.String() != digest(t, both) {
		t.Errorf("%+v, error %v", m, err)
	}

	archive := filepath.Join(t.TempDir(), "image.tar")
	if err := (Artifact{Image: one}).Tarball(archive, "app:1"); err != nil {
		t.Fatal(err)
	}
	if loaded, err := tarball.ImageFromPath(archive, nil); err != nil {
		t.Error(err)
	} else if err := validate.Image(loaded); err != nil {
		t.Error(err)
	}
	if err := both.Tarball(archive, "app:1"); err == nil || !strings.Contains(err.Error(), "--oci") {
		t.Errorf("error %v", err)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	one := Artifact{Image: build(t, Spec{Platform: amd64})}
	_, _, pull := Pull(t.Context(), "127.0.0.1:1/none", amd64)
	_, host := HostBase(full, "amd64")
	for want, err := range map[string]error{
		"name an empty folder":   one.Layout(full, "x"),
		"log in to the registry": one.Push(t.Context(), "127.0.0.1:1/none", PushOptions{}),
		"--base host":            pull,
		"name one with --base":   host,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestHostBase(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has a C library to make a base from")
	}
	l, err := HostBase("/", runtime.GOARCH)
	if err != nil {
		t.Skipf("this machine cannot be a base: %v", err)
	}
	has := map[string]bool{}
	for _, e := range l.Entries {
		has[filepath.Base(e.Path)] = true
	}
	for _, want := range []string{"libc.so.6", "libgcc_s.so.1", "ca-certificates.crt", "passwd", "tmp"} {
		if !has[want] {
			t.Errorf("%s is missing", want)
		}
	}
}

// TestSBOM checks what the SPDX 2.3 specification requires of a document.
func TestSBOM(t *testing.T) {
	list := []Component{{"selvedge", "1.0.0", "pkg:golang/x@1.0.0"}, {"@scope/a_b", "2.0.0", "pkg:npm/%40scope/a_b@2.0.0"}}
	raw, err := SBOM(list, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := SBOM(list, time.Unix(0, 0)); !bytes.Equal(raw, again) {
		t.Error("the same components make other bytes")
	}
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": "selvedge",
	} {
		if doc[key] != want {
			t.Errorf("%s is %v", key, doc[key])
		}
	}
	if ns, _ := doc["documentNamespace"].(string); !strings.HasPrefix(ns, "https://") || strings.Contains(ns, "#") {
		t.Errorf("documentNamespace %q", ns)
	}
	if info := doc["creationInfo"].(map[string]any); info["created"] != "1970-01-01T00:00:00Z" || fmt.Sprint(info["creators"]) != "[Tool: selvedge-1.0.0]" {
		t.Errorf("%v", info)
	}
	ids := map[any]bool{"SPDXRef-DOCUMENT": true}
	for _, p := range doc["packages"].([]any) {
		p := p.(map[string]any)
		if id := p["SPDXID"]; ids[id] || !regexp.MustCompile(`^SPDXRef-[a-zA-Z0-9.-]+$`).MatchString(id.(string)) {
			t.Errorf("SPDXID %v", id)
		}
		ids[p["SPDXID"]] = true
		if p["name"] == "" || p["downloadLocation"] == "" || p["filesAnalyzed"] != false {
			t.Errorf("%v", p)
		}
	}
	relations := doc["relationships"].([]any)
	if len(ids) != 3 || len(relations) != 2 {
		t.Errorf("%v %v", ids, relations)
	}
	for _, r := range relations {
		r := r.(map[string]any)
		if !ids[r["spdxElementId"]] || !ids[r["relatedSpdxElement"]] {
			t.Errorf("%v names what is not there", r)
		}
	}
}
