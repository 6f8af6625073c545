package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/selvedge-dev/selvedge/internal/npmrc"
)

func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) != "" {
		os.Exit(helper())
	}
	goleak.VerifyTestMain(m)
}

const (
	testVersion = "9.8.7"
	testPackage = "@deno/test-box"
	tarballPath = "/@deno/test-box/-/test-box-9.8.7.tgz"
	packument   = "/@deno%2ftest-box"
)

var testPlatform = Platform{"plan9", "sparc"}

// A stand is a registry that holds one small release. What it answers may be
// replaced with handle.
type stand struct {
	*httptest.Server
	tarball []byte
	binary  []byte

	mu      sync.Mutex
	handler http.HandlerFunc
	// hits counts requests by escaped path.
	hits map[string]int
}

func newStand(t *testing.T) *stand {
	t.Helper()
	s := newStandData(t)
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func newStandData(t *testing.T) *stand {
	t.Helper()
	packOnce.Do(func() {
		packedBinary = make([]byte, 300_000)
		if _, err := rand.NewChaCha8([32]byte{1}).Read(packedBinary); err != nil {
			t.Fatal(err)
		}
		packed = tarball(t, map[string][]byte{"package/package.json": []byte("{}"), entryName: packedBinary})
	})
	s := &stand{hits: map[string]int{}, binary: packedBinary, tarball: packed}
	s.handler = s.serveTarball
	return s
}

// One release serves all tests: compressing it is most of what a test costs.
var (
	packOnce     sync.Once
	packedBinary []byte
	packed       []byte
)

func (s *stand) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.hits[r.URL.EscapedPath()]++
	handler := s.handler
	s.mu.Unlock()
	handler(w, r)
}

func (s *stand) handle(h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = h
}

func (s *stand) serveTarball(w http.ResponseWriter, r *http.Request) {
	if r.URL.EscapedPath() != tarballPath {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write(s.tarball)
}

func (s *stand) hit(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hits[path]
}

func (s *stand) recipe() recipe {
	sum := sha512.Sum512(s.tarball)
	return recipe{
		version: testVersion,
		pins: map[Platform]pin{testPlatform: {
			pkg:       testPackage,
			integrity: "sha512-" + base64.StdEncoding.EncodeToString(sum[:]),
			size:      int64(len(s.tarball)),
		}},
		stall:   10 * time.Second,
		backoff: []time.Duration{time.Millisecond, 2 * time.Millisecond},
		create:  createTemp,
	}
}

// options are for this registry; more is further text for .npmrc.
func (s *stand) options(t *testing.T, more string) Options {
	t.Helper()
	return Options{DataDir: t.TempDir(), Platform: testPlatform, NPM: npmConfig(t, "registry="+s.URL+"\n"+more)}
}

func npmConfig(t *testing.T, text string) *npmrc.Config {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".npmrc"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := npmrc.Load(npmrc.Options{HomeDir: dir, GlobalFile: filepath.Join(dir, "none"), Environ: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func tarball(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	tw := tar.NewWriter(gz)
	for name, data := range files {
		if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tw.Close(), gz.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// wantInstalled checks the binary and that only what belongs there is beside it.
func wantInstalled(t *testing.T, b Binary, want []byte) {
	t.Helper()
	got, err := os.ReadFile(b.Path)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("binary: %d bytes, %v; want %d", len(got), err, len(want))
	}
	info, err := os.Stat(b.Path)
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("mode %v, %v; want 0755", info.Mode(), err)
	}
	wantFiles(t, filepath.Dir(b.Path), lockName, binaryName, markerName)
}

func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	var got []string
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if len(got) != len(want) {
		t.Errorf("%s holds %q, want %q", dir, got, want)
		return
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%s holds %q, want %q", dir, got, want)
			return
		}
	}
}

func (o Options) testDir() string {
	return filepath.Join(o.DataDir, "deno", testVersion+"-plan9-sparc")
}

func TestInstall(t *testing.T) {
	s := newStand(t)
	o := s.options(t, "")
	var events []Event
	o.Progress = func(e Event) { events = append(events, e) }
	b, err := ensure(t.Context(), o, s.recipe())
	if err != nil {
		t.Fatal(err)
	}
	wantInstalled(t, b, s.binary)
	if b.Path != filepath.Join(o.testDir(), "deno") || b.Version != testVersion || b.Override || b.Warning != "" {
		t.Errorf("binary %+v", b)
	}
	last := events[len(events)-1]
	if last.Stage != StageInstalled || last.Path != b.Path || last.Version != testVersion || last.Platform != testPlatform {
		t.Errorf("last event %+v", last)
	}
	if e := events[len(events)-2]; e.Stage != StageDownload || e.Done != int64(len(s.tarball)) || e.Total != e.Done {
		t.Errorf("last download event %+v", e)
	}

	// The second time needs no registry, nor a folder that can be written.
	s.Close()
	events = nil
	if _, err := ensure(t.Context(), o, s.recipe()); err != nil || len(events) != 0 {
		t.Errorf("second time: %v, events %v", err, events)
	}
}

func TestReinstall(t *testing.T) {
	for name, damage := range map[string]func(dir string) error{
		"binary of another size": func(dir string) error { return os.Truncate(filepath.Join(dir, binaryName), 10) },
		"binary missing":         func(dir string) error { return os.Remove(filepath.Join(dir, binaryName)) },
		"binary not executable":  func(dir string) error { return os.Chmod(filepath.Join(dir, binaryName), 0o644) },
		"marker missing":         func(dir string) error { return os.Remove(filepath.Join(dir, markerName)) },
		"marker broken":          func(dir string) error { return os.WriteFile(filepath.Join(dir, markerName), []byte("{"), 0o644) },
		"marker of another tarball": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, markerName), []byte(`{"integrity":"sha512-x","size":300000}`), 0o644)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t)
			o := s.options(t, "")
			b, err := ensure(t.Context(), o, s.recipe())
			if err != nil {
				t.Fatal(err)
			}
			if err := damage(filepath.Dir(b.Path)); err != nil {
				t.Fatal(err)
			}
			if b, err = ensure(t.Context(), o, s.recipe()); err != nil {
				t.Fatal(err)
			}
			wantInstalled(t, b, s.binary)
			if n := s.hit(tarballPath); n != 2 {
				t.Errorf("%d downloads, want 2", n)
			}
		})
	}
}

func TestTarballElsewhere(t *testing.T) {
	for name, dist := range map[string]string{"absolute": "%s/files/x.tgz", "relative": "/files/x.tgz"} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t)
			s.handle(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.EscapedPath() {
				case packument:
					url := dist
					if name == "absolute" {
						url = s.URL + "/files/x.tgz"
					}
					_, _ = w.Write([]byte(`{"versions":{"9.8.7":{"dist":{"tarball":"` + url + `"}}}}`))
				case "/files/x.tgz":
					if r.Header.Get("Authorization") != "Bearer abc" {
						w.WriteHeader(http.StatusUnauthorized)
						return
					}
					_, _ = w.Write(s.tarball)
				default:
					http.NotFound(w, r)
				}
			})
			o := s.options(t, "//"+s.Listener.Addr().String()+"/:_authToken=abc")
			b, err := ensure(t.Context(), o, s.recipe())
			if err != nil {
				t.Fatal(err)
			}
			wantInstalled(t, b, s.binary)
		})
	}
}

func TestRetry(t *testing.T) {
	s := newStand(t)
	var n atomic.Int32
	s.handle(func(w http.ResponseWriter, r *http.Request) {
		switch n.Add(1) {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			_, _ = w.Write(s.tarball[:100_000])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		default:
			s.serveTarball(w, r)
		}
	})
	o := s.options(t, "")
	var kinds []Kind
	o.Progress = func(e Event) {
		if e.Stage == StageRetry {
			err, _ := errors.AsType[*Error](e.Err)
			kinds = append(kinds, err.Kind)
		}
	}
	b, err := ensure(t.Context(), o, s.recipe())
	if err != nil {
		t.Fatal(err)
	}
	wantInstalled(t, b, s.binary)
	if len(kinds) != 2 || kinds[0] != KindServer || kinds[1] != KindTruncated {
		t.Errorf("retries after %q", kinds)
	}
}

// TestRealRegistry installs the real pins of every platform: it is what shows
// that they are right.
func TestRealRegistry(t *testing.T) {
	if os.Getenv("SELVEDGE_TEST_NETWORK") != "1" {
		t.Skip("downloads 170 MB from the configured npm registry; set SELVEDGE_TEST_NETWORK=1 to run it")
	}
	dir := t.TempDir()
	for p := range pinned.pins {
		t.Run(p.String(), func(t *testing.T) {
			b, err := Ensure(t.Context(), Options{DataDir: dir, Platform: p, Progress: ProgressBar(os.Stderr)})
			if err != nil {
				t.Fatal(err)
			}
			if p != HostPlatform() {
				return
			}
			own, err := Ensure(context.Background(), Options{Override: b.Path})
			if err != nil || own.Version != Version || own.Warning != "" {
				t.Errorf("its own version: %+v, %v", own, err)
			}
		})
	}
}
