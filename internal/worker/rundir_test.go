package worker

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
)

func TestRunDir(t *testing.T) {
	parent := denotest.TempDir(t)
	t.Setenv("TMPDIR", parent)
	live, err := OpenRunDir()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(live.Path); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info, err)
	}
	abandoned := filepath.Join(parent, runDirPattern+"dead")
	foreign := filepath.Join(parent, runDirPattern+"notes") // no lock file in it
	for _, dir := range []string{filepath.Join(abandoned, "w1", "tmp"), foreign} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{filepath.Join(abandoned, "lock"), filepath.Join(abandoned, "w1", "tmp", "x"), filepath.Join(foreign, "x")} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	second, err := OpenRunDir()
	if err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]bool{live.Path: true, second.Path: true, foreign: true, abandoned: false} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s: %v", dir, err)
		}
	}
	for _, d := range []*RunDir{live, second} {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(d.Path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", d.Path, err)
		}
	}
	t.Setenv("TMPDIR", filepath.Join(parent, "missing"))
	if _, err := OpenRunDir(); err == nil || !strings.Contains(err.Error(), "TMPDIR") {
		t.Errorf("error %v", err)
	}
}

// Servers that start at the same moment must not take each other's folder for
// an abandoned one.
func TestRunDirsAtOnce(t *testing.T) {
	t.Setenv("TMPDIR", denotest.TempDir(t))
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 25 {
				d, err := OpenRunDir()
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := os.Stat(filepath.Join(d.Path, "lock")); err != nil {
					t.Errorf("it was taken away: %v", err)
				}
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
