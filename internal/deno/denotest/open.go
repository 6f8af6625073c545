package denotest

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/wholefile"
)

// A server that runs as root has workers run as users of their own, where those
// can get at what they need. Root's own folder, which Binary is in, and folders
// of tests are closed to others.

// OpenBinary is Binary at a place that all users may execute it from.
func OpenBinary(t testing.TB) string {
	t.Helper()
	path := Binary(t)
	if !closed(path) {
		return path
	}
	path, err := openBinary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var openBinary = sync.OnceValues(func() (string, error) {
	from, err := binary()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(os.TempDir(), "selvedge-test-"+filepath.Base(filepath.Dir(from)))
	to := filepath.Join(dir, filepath.Base(from))
	have, err1 := os.Stat(to)
	want, err2 := os.Stat(from)
	if err1 == nil && err2 == nil && have.Size() == want.Size() {
		return to, nil
	}
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chmod(dir, 0o755)); err != nil {
		return "", err
	}
	in, err := os.Open(from)
	if err != nil {
		return "", err
	}
	defer in.Close()
	return to, wholefile.Write(to, wholefile.Options{Mode: 0o755, Temp: ".copy-*"}, func(w io.Writer) error {
		_, err := io.Copy(w, in)
		return err
	})
})

// Open lets all users enter a temporary folder of a test, if they know its name.
func Open(t testing.TB, dir string) {
	t.Helper()
	for top := filepath.Clean(os.TempDir()); len(dir) > len(top); dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err == nil && info.Mode()&0o001 == 0 {
			err = os.Chmod(dir, info.Mode().Perm()|0o011)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// closed reports whether other users cannot get to a path.
func closed(path string) bool {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err != nil || info.Mode()&0o001 == 0 {
			return true
		}
		if dir == filepath.Dir(dir) {
			return false
		}
	}
}
