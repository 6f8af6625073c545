package release

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// wantError checks the kind, that all of the texts are in the message and that
// nothing is left behind.
func wantError(t *testing.T, o Options, err error, kind Kind, texts ...string) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Kind != kind {
		t.Fatalf("error %v, want one of kind %s", err, kind)
	}
	for _, text := range append(texts, e.Hint) {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q lacks %q", err, text)
		}
	}
	if e.Hint == "" {
		t.Errorf("error %q has no hint", err)
	}
	wantFiles(t, o.testDir(), lockName)
}

func TestRegistryErrors(t *testing.T) {
	const deno = "SELVEDGE_DENO to a Deno 9.8.7 binary"
	status := func(code int) func(*stand) http.HandlerFunc {
		return func(*stand) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
		}
	}
	body := func(data func(*stand) []byte, flush bool) func(*stand) http.HandlerFunc {
		return func(s *stand) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				if flush { // no Content-Length then
					_ = http.NewResponseController(w).Flush()
				}
				_, _ = w.Write(data(s))
			}
		}
	}
	changed := func(s *stand) []byte {
		b := append([]byte{}, s.tarball...)
		b[len(b)/2] ^= 1
		return b
	}
	for _, tc := range []struct {
		name    string
		handler func(*stand) http.HandlerFunc
		kind    Kind
		// hits is how often the first path is asked for.
		hits  int
		texts []string
	}{
		{"401", status(401), KindUnauthorized, 1, []string{"401 Unauthorized", "_authToken", deno}},
		{"403", status(403), KindUnauthorized, 1, []string{"403 Forbidden", deno}},
		{"404", status(404), KindNotFound, 1, []string{"404 Not Found", "npm_config_registry", testPackage, deno}},
		{"418", status(418), KindServer, 1, []string{"418", deno}},
		{"429", status(429), KindServer, 3, []string{"429"}},
		{"500", status(500), KindServer, 3, []string{"500 Internal Server Error", deno}},
		{"503", status(503), KindServer, 3, []string{"503", "try again later"}},
		{"changed", body(changed, false), KindHash, 1, []string{"not Deno 9.8.7 as released", "expected sha512-", deno}},
		{"changed, no length", body(changed, true), KindHash, 1, []string{"expected sha512-"}},
		{"longer", body(func(s *stand) []byte { return append(s.tarball[:len(s.tarball):len(s.tarball)], make([]byte, 1000)...) }, false), KindHash, 1, []string{"not Deno"}},
		{"a login page", body(func(*stand) []byte { return []byte("<html>") }, false), KindHash, 1, []string{"proxy"}},
		{"a login page, no length", body(func(*stand) []byte { return []byte("<html> and some more text") }, true), KindHash, 1, nil},
		{"empty", body(func(*stand) []byte { return nil }, false), KindHash, 1, nil},
		{"cut, no length", body(func(s *stand) []byte { return s.tarball[:5000] }, true), KindTruncated, 3, []string{"5000 of"}},
		{"cut", func(s *stand) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", fmt.Sprint(len(s.tarball)))
				_, _ = w.Write(s.tarball[:5000])
			}
		}, KindTruncated, 3, []string{"5000 of", deno}},
		{"hung up", func(*stand) http.HandlerFunc {
			return func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
		}, KindNetwork, 3, []string{"HTTPS_PROXY", deno}},
		{"no document", func(s *stand) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				if r.URL.EscapedPath() == packument {
					_, _ = w.Write([]byte("<html>"))
					return
				}
				http.NotFound(w, r)
			}
		}, KindServer, 1, []string{"no npm package document"}},
		{"other versions", func(s *stand) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				if r.URL.EscapedPath() == packument {
					_, _ = w.Write([]byte(`{"versions":{"1.0.0":{"dist":{"tarball":"http://x/"}}}}`))
					return
				}
				http.NotFound(w, r)
			}
		}, KindNotFound, 1, []string{"no version 9.8.7 of " + testPackage}},
		{"too many redirects", func(s *stand) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }
		}, KindNetwork, 30, []string{"redirects"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStand(t)
			s.handle(tc.handler(s))
			o := s.options(t, "")
			_, err := ensure(t.Context(), o, s.recipe())
			wantError(t, o, err, tc.kind, append(tc.texts, s.URL)...)
			if n := s.hit(tarballPath); n != tc.hits {
				t.Errorf("%d requests, want %d", n, tc.hits)
			}
		})
	}
}

func TestTarballWithoutBinary(t *testing.T) {
	s := newStand(t)
	s.tarball = tarball(t, map[string][]byte{"package/other": []byte("x")})
	o := s.options(t, "")
	_, err := ensure(t.Context(), o, s.recipe())
	wantError(t, o, err, KindHash, "no package/deno", "bug of Selvedge")
}

func TestNoSuchHost(t *testing.T) {
	s := newStand(t)
	o := s.options(t, "@deno:registry=http://registry.invalid/")
	_, err := ensure(t.Context(), o, s.recipe())
	wantError(t, o, err, KindNetwork, "registry.invalid cannot be resolved", "npm_config_registry")
}

func TestConnectionRefused(t *testing.T) {
	s := newStand(t)
	o := s.options(t, "")
	s.Close()
	_, err := ensure(t.Context(), o, s.recipe())
	wantError(t, o, err, KindNetwork, "refused", "SELVEDGE_DENO")
}

func TestStall(t *testing.T) {
	for name, bytes := range map[string]int{"before the answer": 0, "within the answer": 1000} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t)
			s.handle(func(w http.ResponseWriter, r *http.Request) {
				if bytes > 0 {
					_, _ = w.Write(s.tarball[:bytes])
					_ = http.NewResponseController(w).Flush()
				}
				<-r.Context().Done()
			})
			o := s.options(t, "")
			r := s.recipe()
			r.stall = 50 * time.Millisecond
			_, err := ensure(t.Context(), o, r)
			wantError(t, o, err, KindStalled, "no data came for 50ms", "SELVEDGE_DENO")
		})
	}
}

// A download that is slow but alive is no stall.
func TestSlowIsNoStall(t *testing.T) {
	s := newStand(t)
	s.handle(func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(s.tarball); i += 40_000 {
			_, _ = w.Write(s.tarball[i:min(i+40_000, len(s.tarball))])
			_ = http.NewResponseController(w).Flush()
			time.Sleep(100 * time.Millisecond)
		}
	})
	o := s.options(t, "")
	r := s.recipe()
	r.stall = 500 * time.Millisecond
	b, err := ensure(t.Context(), o, r)
	if err != nil {
		t.Fatal(err)
	}
	wantInstalled(t, b, s.binary)
}

func TestCertificates(t *testing.T) {
	s := newStandData(t)
	s.Server = httptest.NewUnstartedServer(s)
	s.Server.Config.ErrorLog = discardLog
	s.StartTLS()
	t.Cleanup(s.Close)
	o := s.options(t, "")
	_, err := ensure(t.Context(), o, s.recipe())
	wantError(t, o, err, KindTLS, "cafile", "SSL_CERT_FILE")

	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, setting := range []string{"cafile=" + file, "strict-ssl=false"} {
		if _, err := ensure(t.Context(), s.options(t, setting), s.recipe()); err != nil {
			t.Errorf("with %s: %v", setting, err)
		}
	}

	o = s.options(t, "ca=nonsense")
	_, err = ensure(t.Context(), o, s.recipe())
	wantError(t, o, err, KindConfig, ".npmrc:2", "no PEM certificate")
}

func TestHTTPSToPlainServer(t *testing.T) {
	s := newStand(t)
	s.Config.ErrorLog = discardLog
	o := s.options(t, "registry="+strings.Replace(s.URL, "http:", "https:", 1))
	_, err := ensure(t.Context(), o, s.recipe())
	wantError(t, o, err, KindTLS, "is http rather than https")
}

// A fullDisk takes so many bytes and then has no space.
type fullDisk struct {
	sink
	room     int
	syncFail error
}

func (d *fullDisk) Write(p []byte) (int, error) {
	if len(p) > d.room {
		n, _ := d.sink.Write(p[:d.room])
		d.room = 0
		return n, &fs.PathError{Op: "write", Path: d.Name(), Err: syscall.ENOSPC}
	}
	d.room -= len(p)
	return d.sink.Write(p)
}

func (d *fullDisk) Sync() error { return errors.Join(d.syncFail, d.sink.Sync()) }

func TestDiskErrors(t *testing.T) {
	for _, tc := range []struct {
		name   string
		create func(dir string) (sink, error)
		kind   Kind
		texts  []string
	}{
		{"full while writing", func(dir string) (sink, error) {
			f, err := createTemp(dir)
			return &fullDisk{sink: f, room: 100_000}, err
		}, KindDiskFull, []string{"no space left", "free 1 MB in ", "--data-dir"}},
		{"full at the first byte", func(dir string) (sink, error) {
			f, err := createTemp(dir)
			return &fullDisk{sink: f}, err
		}, KindDiskFull, []string{"no space left"}},
		{"full at sync", func(dir string) (sink, error) {
			f, err := createTemp(dir)
			return &fullDisk{sink: f, room: 1 << 30, syncFail: syscall.EDQUOT}, err
		}, KindDiskFull, []string{"quota exceeded"}},
		{"full when made", func(string) (sink, error) { return nil, syscall.ENOSPC }, KindDiskFull, []string{"make a file"}},
		{"read-only", func(string) (sink, error) { return nil, syscall.EROFS }, KindReadOnly, []string{"read-only file system", "--data-dir"}},
		{"broken", func(dir string) (sink, error) {
			f, err := createTemp(dir)
			return &fullDisk{sink: f, room: 1 << 30, syncFail: syscall.EIO}, err
		}, KindDisk, []string{"input/output error", "--data-dir"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStand(t)
			o := s.options(t, "")
			r := s.recipe()
			r.create = tc.create
			_, err := ensure(t.Context(), o, r)
			wantError(t, o, err, tc.kind, append(tc.texts, o.DataDir)...)
			if n := s.hit(tarballPath); n > 1 {
				t.Errorf("%d downloads: a full disk is not tried again", n)
			}
		})
	}
}

func TestDataDirIsAFile(t *testing.T) {
	s := newStand(t)
	o := s.options(t, "")
	o.DataDir = filepath.Join(o.DataDir, "file")
	if err := os.WriteFile(o.DataDir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := ensure(t.Context(), o, s.recipe())
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != KindReadOnly {
		t.Errorf("error %v", err)
	}
}

func TestNoDataDir(t *testing.T) {
	s := newStand(t)
	o := s.options(t, "")
	o.DataDir = ""
	_, err := ensure(t.Context(), o, s.recipe())
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != KindDisk {
		t.Errorf("error %v", err)
	}
}

func TestUnknownPlatform(t *testing.T) {
	_, err := Ensure(t.Context(), Options{DataDir: t.TempDir(), Platform: Platform{"windows", "amd64"}})
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != KindPlatform || !strings.Contains(err.Error(), "windows/amd64") {
		t.Errorf("error %v", err)
	}
}

func TestCancel(t *testing.T) {
	cause := errors.New("stopped by the user")
	for name, bytes := range map[string]int{"before the answer": 0, "within the answer": 1000} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			s.handle(func(w http.ResponseWriter, r *http.Request) {
				_, _ = w.Write(s.tarball[:bytes])
				_ = http.NewResponseController(w).Flush()
				cancel(cause)
				<-r.Context().Done()
			})
			o := s.options(t, "")
			_, err := ensure(ctx, o, s.recipe())
			if !errors.Is(err, cause) {
				t.Errorf("error %v, want the cause", err)
			}
			wantFiles(t, o.testDir(), lockName)
		})
	}
	t.Run("between attempts", func(t *testing.T) {
		s := newStand(t)
		s.handle(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		o := s.options(t, "")
		r := s.recipe()
		r.backoff = []time.Duration{time.Hour}
		if _, err := ensure(ctx, o, r); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		wantFiles(t, o.testDir(), lockName)
	})
}
