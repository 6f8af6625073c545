package watch

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

func TestNoRoots(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Fatal("want an error")
	}
}

func TestLatency(t *testing.T) {
	b := box{t, tempDir(t)}
	for i := range 100 {
		b.write(fmt.Sprintf("root/fn%d/index.ts", i), "one")
	}
	w := start(t, Options{Roots: []string{b.path("root")}})
	// The best of some: what else the machine does is not the watcher's.
	best := time.Hour
	for i := range 10 {
		begin := time.Now()
		b.write("root/fn7/index.ts", strings.Repeat("x", i+5))
		collect(t, w, b.path("root/fn7/index.ts"))
		best = min(best, time.Since(begin))
		settle(w)
	}
	t.Logf("write to change: %s", best)
	if best > 30*time.Millisecond {
		t.Errorf("write to change took %s at best, want 30ms", best)
	}
}

func TestBurstIsOneChange(t *testing.T) {
	b := box{t, tempDir(t)}
	b.mkdir("root")
	w := start(t, Options{
		Roots: []string{b.path("root")}, Quiet: 200 * time.Millisecond, MaxDelay: 2 * time.Second,
	})
	var want []string
	for i := range 20 {
		name := fmt.Sprintf("root/%02d.ts", i)
		b.write(name, "x")
		want = append(want, b.path(name))
	}
	if c := <-w.Changes(); !slices.Equal(c.Paths, want) {
		t.Errorf("told %q\nwant %q", c.Paths, want)
	}
	silent(t, w)
}

func TestNeverQuietIsToldAfterMaxDelay(t *testing.T) {
	b := box{t, tempDir(t)}
	source(b)
	w := start(t, Options{
		Roots: []string{b.path("root")}, Quiet: time.Minute, MaxDelay: 50 * time.Millisecond,
	})
	b.write("root/fn/index.ts", "two, longer")
	collect(t, w, b.path("root/fn/index.ts"))
}

// A write that leaves size and time as they were is seen by the kernel alone.
func TestSameSizeSameTime(t *testing.T) {
	b := box{t, tempDir(t)}
	source(b)
	then := time.Now().Add(-time.Hour)
	b.must(os.Chtimes(b.path("root/fn/index.ts"), then, then))
	w := start(t, Options{Roots: []string{b.path("root")}})
	b.write("root/fn/index.ts", "two")
	b.must(os.Chtimes(b.path("root/fn/index.ts"), then, then))
	collect(t, w, b.path("root/fn/index.ts"))
}

func TestChangesGatherWhileNobodyReceives(t *testing.T) {
	b := box{t, tempDir(t)}
	b.mkdir("root")
	w := start(t, Options{Roots: []string{b.path("root")}})
	for _, name := range []string{"root/a", "root/b", "root/c"} {
		b.write(name, "x")
		time.Sleep(50 * time.Millisecond)
	}
	want := absolute(b, []string{"root/a", "root/b", "root/c"})
	if c := <-w.Changes(); !slices.Equal(c.Paths, want) {
		t.Errorf("told %q, want %q", c.Paths, want)
	}
}

func TestCloseEndsChanges(t *testing.T) {
	b := box{t, tempDir(t)}
	b.mkdir("root")
	w := start(t, Options{Roots: []string{b.path("root")}})
	b.write("root/untaken", "x")
	time.Sleep(50 * time.Millisecond)
	for range 2 {
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if c, ok := <-w.Changes(); ok {
		t.Errorf("told %q after Close", c.Paths)
	}
}

// fakeKernel is the real one with some calls refused.
type fakeKernel struct {
	kernel
	refuse func(dir string) error
	errs   chan error
}

func (k *fakeKernel) Add(dir string) error {
	if err := k.refuse(dir); err != nil {
		return err
	}
	return k.kernel.Add(dir)
}

func (k *fakeKernel) Errors() <-chan error { return k.errs }
func (k *fakeKernel) Close() error         { close(k.errs); return k.kernel.Close() }

// log is a writer for slog that may be read while in use.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func TestFallsBackToPolling(t *testing.T) {
	full := func(dir string) error {
		if filepath.Base(dir) == "fn" {
			return fmt.Errorf("add watch: %w", syscall.ENOSPC)
		}
		return nil
	}
	never := func(string) error { return nil }
	for name, test := range map[string]struct {
		refuse func(string) error
		err    error // told by the kernel
		open   error
		hint   string
	}{
		"watch limit":    {refuse: full, hint: "max_user_watches"},
		"instance limit": {open: syscall.EMFILE, hint: "max_user_instances"},
		"overflow":       {refuse: never, err: fsnotify.ErrEventOverflow, hint: "max_queued_events"},
	} {
		t.Run(name, func(t *testing.T) {
			b := box{t, tempDir(t)}
			source(b)
			var out log
			errs := make(chan error, 1)
			w := start(t, Options{
				Roots:     []string{b.path("root")},
				PollEvery: 20 * time.Millisecond,
				Log:       slog.New(slog.NewTextHandler(&out, nil)),
				openKernel: func() (kernel, error) {
					if test.open != nil {
						return nil, test.open
					}
					k, err := openFsnotify()
					return &fakeKernel{kernel: k, refuse: test.refuse, errs: errs}, err
				},
			})
			if test.err != nil {
				errs <- test.err
				time.Sleep(50 * time.Millisecond)
			}
			for i := range 3 {
				b.write("root/fn/index.ts", strings.Repeat("x", i+5))
				collect(t, w, b.path("root/fn/index.ts"))
			}
			if n := strings.Count(out.String(), "by polling"); n != 1 {
				t.Errorf("reported %d times, want once:\n%s", n, out.String())
			}
			if !strings.Contains(out.String(), test.hint) {
				t.Errorf("no %q in the report:\n%s", test.hint, out.String())
			}
		})
	}
}

func TestHarmlessErrorsDoNotPoll(t *testing.T) {
	b := box{t, tempDir(t)}
	source(b)
	var out log
	w := start(t, Options{
		Roots: []string{b.path("root")},
		Log:   slog.New(slog.NewTextHandler(&out, nil)),
		openKernel: func() (kernel, error) {
			k, err := openFsnotify()
			return &fakeKernel{kernel: k, errs: make(chan error), refuse: func(dir string) error {
				if dir == "/" {
					return syscall.EACCES
				}
				return nil
			}}, err
		},
	})
	w.inbox.fail(errors.New("some folder was gone already"))
	b.write("root/fn/index.ts", "two, longer")
	collect(t, w, b.path("root/fn/index.ts"))
	if out.String() != "" {
		t.Errorf("reported: %s", out.String())
	}
}

func TestUnwatchesWhatIsNoLongerNeeded(t *testing.T) {
	b := box{t, tempDir(t)}
	source(b)
	b.write("real/sub/index.ts", "one")
	b.link("../real", "root/link")
	var list func() []string
	w := start(t, Options{
		Roots: []string{b.path("root")},
		openKernel: func() (kernel, error) {
			k, err := openFsnotify()
			list = k.(fsnotifyKernel).WatchList
			return k, err
		},
	})
	if !slices.Contains(list(), b.path("real/sub")) {
		t.Fatalf("what the link leads to is not watched: %q", list())
	}
	b.remove("root/link")
	collect(t, w, b.path("root/link"))
	b.remove("root/fn")
	collect(t, w, b.path("root/fn"))
	for _, dir := range list() {
		if strings.HasPrefix(dir, b.path("real")) || strings.HasPrefix(dir, b.path("root")+"/") {
			t.Errorf("still watched: %s", dir)
		}
	}
}

func TestCropped(t *testing.T) {
	if testing.Short() {
		t.Skip("makes many folders")
	}
	b := box{t, tempDir(t)}
	// Two links in each of 16 folders double the paths each time.
	for i := range 17 {
		b.write(fmt.Sprintf("root/%02d/f", i), "x")
		if i > 0 {
			b.link(fmt.Sprintf("../%02d", i-1), fmt.Sprintf("root/%02d/a", i))
			b.link(fmt.Sprintf("../%02d", i-1), fmt.Sprintf("root/%02d/b", i))
		}
	}
	var out log
	w := start(t, Options{
		Roots: []string{b.path("root")},
		Log:   slog.New(slog.NewTextHandler(&out, nil)),
	})
	b.write("root/00/f", "two, longer")
	collect(t, w, b.path("root/00/f"))
	if n := strings.Count(out.String(), "too many files"); n != 1 {
		t.Errorf("reported %d times, want once:\n%s", n, out.String())
	}
}

// TestHammer changes 200 files in every way at once and wants what is there in
// the end to have been told.
func TestHammer(t *testing.T) {
	b := box{t, tempDir(t)}
	b.mkdir("root")
	b.write("real/index.ts", "one")
	w := start(t, Options{Roots: []string{b.path("root")}})

	const files, rounds = 200, 5
	told := make(chan map[string]bool)
	last := b.path("root/last")
	go func() {
		got := map[string]bool{}
		defer func() { told <- got }()
		timeout := time.After(30 * time.Second)
		for !got[last] {
			select {
			case c := <-w.Changes():
				for _, p := range c.Paths {
					got[p] = true
				}
			case <-timeout:
				return
			}
		}
	}()

	name := func(i int) string { return fmt.Sprintf("root/d%02d/s%d/f%03d.ts", i%20, i%3, i) }
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for range rounds {
				for i := g; i < files; i += 8 {
					switch rand.IntN(4) {
					case 0:
						b.write(name(i)+".tmp", "y")
						b.rename(name(i)+".tmp", name(i))
					case 1:
						b.remove(name(i))
						fallthrough
					default:
						b.write(name(i), strings.Repeat("x", rand.IntN(100)))
					}
				}
			}
		})
	}
	// Meanwhile whole folders come, move and go.
	wg.Go(func() {
		for i := range 50 {
			b.write("root/moving/fn/index.ts", "x")
			b.rename("root/moving", fmt.Sprintf("root/moved%d", i))
			b.remove(fmt.Sprintf("root/moved%d", i))
			b.link("../real", "root/link")
			b.remove("root/link")
		}
	})
	wg.Wait()
	time.Sleep(300 * time.Millisecond)
	b.write("root/last", "x")
	got := <-told
	for i := range files {
		if !got[b.path(name(i))] {
			t.Errorf("not told: %s", name(i))
		}
	}
	if !got[last] {
		t.Error("not told: the last file")
	}

	// After all that, every folder must still be watched.
	settle(w)
	for i := range 60 {
		b.write(name(i), "written after the storm, longer than before "+strings.Repeat("z", 100))
		collect(t, w, b.path(name(i)))
	}
}
