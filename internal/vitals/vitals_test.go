package vitals

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestMonitor: a problem is told once when it begins and once when it is over,
// and a symptom only where its cause is not known.
func TestMonitor(t *testing.T) {
	var cause, symptom atomic.Bool
	check := func(on *atomic.Bool, f Fault) Check {
		return func() *Fault {
			if on.Load() {
				return &f
			}
			return nil
		}
	}
	told := make(chan string, 10)
	cause.Store(true)
	symptom.Store(true)
	m := Start(Options{
		Checks: []Check{
			check(&cause, Fault{Code: "cause", StopsStarts: true}),
			check(&cause, Fault{Code: "cause", Message: "another that found it too"}),
		},
		Symptom: check(&symptom, Fault{Code: "symptom"}),
		Found:   func(p Problem) { told <- "found " + p.Code + p.Message },
		Over:    func(p Problem) { told <- "over " + p.Code },
	})
	defer m.Close()
	expect := func(want ...string) {
		t.Helper()
		for _, w := range want {
			select {
			case got := <-told:
				if got != w {
					t.Errorf("told %q, want %q", got, w)
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("nobody was told %q", w)
			}
		}
	}
	expect("found cause") // at the start already
	since := m.Problems()[0].Since
	time.Sleep(soon + soon/2)
	if p := m.Problems(); len(p) != 1 || !p[0].Since.Equal(since) {
		t.Errorf("%+v, since %s", p, since)
	}
	cause.Store(false)
	expect("over cause", "found symptom")
	symptom.Store(false)
	expect("over symptom")
	if p := m.Problems(); len(p) != 0 {
		t.Errorf("%+v", p)
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	folder := func(path string) string {
		f := Folder("data", path, "the data folder", "do this", true)()
		if f == nil {
			return ""
		}
		if !strings.Contains(f.Message, path) || !strings.Contains(f.Message, "do this") || !f.StopsStarts {
			t.Errorf("%+v", f)
		}
		return f.Code
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{dir: "", filepath.Join(dir, "none"): "data_missing", file: "data_unusable"} {
		if got := folder(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("%v is left", left)
	}
	if os.Getuid() == 0 {
		t.Log("root may write to any folder: not tested without the right to")
		return
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700)
	if got := folder(dir); got != "data_read_only" {
		t.Errorf("%q", got)
	}
}

func TestBinary(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	changes := 0
	check := Binary("deno", path, "the Deno binary", "put it back", func() { changes++ })
	write := func(mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path+".new", nil, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	var codes []string
	look := func() {
		if f := check(); f != nil {
			codes = append(codes, f.Code)
		} else {
			codes = append(codes, "")
		}
	}
	look()
	write(0o755)
	look()
	look()
	write(0o755)
	look()
	write(0o644)
	look()
	if want := []string{"deno_missing", "", "", "", "deno_unusable"}; !slices.Equal(codes, want) || changes != 1 {
		t.Errorf("%q, %d changes; want %q and one", codes, changes, want)
	}
}

func TestOpenFiles(t *testing.T) {
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	low := before
	low.Cur = 8
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	f, inFolder := OpenFiles(), Folder("data", t.TempDir(), "", "", true)
	err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before)
	if err != nil {
		t.Fatal(err)
	}
	if f == nil || f.Code != CodeOpenFiles || f.StopsStarts {
		t.Errorf("%+v", f)
	}
	if f := OpenFiles(); f != nil {
		t.Errorf("%+v", f)
	}
	if f := inFolder(); f != nil {
		t.Errorf("%+v", f)
	}
}
