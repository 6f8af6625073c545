package watch

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds the wait for a change, which on a busy machine takes seconds
// where there are many files. Nothing waits for its end.
const patience = time.Minute

// modes are the ways a watcher can work; every pattern must hold in each.
var modes = map[string]Options{
	"kernel": {},
	"poll":   {Poll: true, PollEvery: 10 * time.Millisecond},
}

func start(t *testing.T, opts Options) *Watcher {
	t.Helper()
	w, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// collect gathers changes until all of want were told.
func collect(t *testing.T, w *Watcher, want ...string) (seen []string) {
	t.Helper()
	got := map[string]bool{}
	timeout := time.After(patience)
	for {
		missing := slices.DeleteFunc(slices.Clone(want), func(p string) bool { return got[p] })
		if len(missing) == 0 {
			return slices.Sorted(maps.Keys(got))
		}
		select {
		case c := <-w.Changes():
			for _, p := range c.Paths {
				got[p] = true
			}
		case <-timeout:
			t.Fatalf("not told: %q\ntold: %q", missing, slices.Sorted(maps.Keys(got)))
		}
	}
}

// silent fails when a change is told within a time that is long enough for it.
func silent(t *testing.T, w *Watcher) {
	t.Helper()
	select {
	case c := <-w.Changes():
		t.Fatalf("told %q, want nothing", c.Paths)
	case <-time.After(100 * time.Millisecond):
	}
}

// settle takes the changes that are still under way.
func settle(w *Watcher) {
	for {
		select {
		case <-w.Changes():
		case <-time.After(100 * time.Millisecond):
			return
		}
	}
}

// tempDir is t.TempDir without links in its path.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// box does file operations below one folder and fails the test on errors.
type box struct {
	t   *testing.T
	dir string
}

func (b box) path(name string) string { return filepath.Join(b.dir, name) }

func (b box) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b box) mkdir(name string) { b.t.Helper(); b.must(os.MkdirAll(b.path(name), 0o755)) }

// write makes the folders it needs.
func (b box) write(name, content string) {
	b.t.Helper()
	b.must(os.MkdirAll(filepath.Dir(b.path(name)), 0o755))
	b.must(os.WriteFile(b.path(name), []byte(content), 0o644))
}

func (b box) rename(from, to string) { b.t.Helper(); b.must(os.Rename(b.path(from), b.path(to))) }
func (b box) remove(name string)     { b.t.Helper(); b.must(os.RemoveAll(b.path(name))) }
func (b box) link(target, name string) {
	b.t.Helper()
	b.must(os.Symlink(target, b.path(name)))
}

// relink points a link elsewhere in one step, as ln -sfn does where it can.
func (b box) relink(target, name string) {
	b.t.Helper()
	b.link(target, name+".new")
	b.rename(name+".new", name)
}
