package release

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/selvedge-dev/selvedge/internal/wholefile"
)

// What lies beside the binary in its folder.
const (
	binaryName = "deno"
	markerName = "installed.json"
	lockName   = ".lock"
	// tempPrefix begins the name of everything that is not finished.
	tempPrefix = ".partial-"
)

// lockPoll is how often a lock that another process holds is tried.
const lockPoll = 100 * time.Millisecond

// A marker says what was verified when the binary was put in its place.
type marker struct {
	// Integrity is the tarball's, as in the pin.
	Integrity string `json:"integrity"`
	// SHA512 is the binary's, in base64, for whoever wants to check it again.
	SHA512 string `json:"sha512"`
	// Size is the binary's, in bytes.
	Size int64 `json:"size"`
}

// A sink is the temporary file that a download is written to; *os.File is one.
type sink interface {
	io.WriteCloser
	Name() string
	Chmod(fs.FileMode) error
	Sync() error
}

func createTemp(dir string) (sink, error) {
	f, err := os.CreateTemp(dir, tempPrefix)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// An installation puts one pinned binary into its folder.
type installation struct {
	recipe
	pin      pin
	platform Platform
	options  Options
	dir      string
	// report is set by run.
	report func(Event)
}

func (in *installation) path() string { return filepath.Join(in.dir, binaryName) }

// installed tells by the marker and a stat that the verified binary is there.
// It does not hash 100 MB at every start: who can write the folder can replace
// the marker as well.
func (in *installation) installed() bool {
	data, err := os.ReadFile(filepath.Join(in.dir, markerName))
	if err != nil {
		return false
	}
	var m marker
	if json.Unmarshal(data, &m) != nil || m.Integrity != in.pin.integrity {
		return false
	}
	info, err := os.Stat(in.path())
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 && info.Size() == m.Size
}

// run installs the binary unless somebody else has meanwhile.
func (in *installation) run(ctx context.Context, report func(Event)) error {
	in.report = func(e Event) {
		e.Version, e.Platform = in.version, in.platform
		report(e)
	}
	if err := os.MkdirAll(in.dir, 0o755); err != nil {
		return diskError("make folder "+in.dir, in.options.DataDir, in.pin.size, err)
	}
	unlock, err := in.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if in.installed() {
		return nil
	}
	if err := in.download(ctx); err != nil {
		return err
	}
	in.report(Event{Stage: StageInstalled, Path: in.path()})
	return nil
}

// lock takes the folder's lock. The kernel drops it when its holder dies, so a
// file that is left behind blocks nobody; it is never removed, because another
// process may be about to lock it.
func (in *installation) lock(ctx context.Context) (unlock func(), err error) {
	path := filepath.Join(in.dir, lockName)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, diskError("open lock "+path, in.options.DataDir, 0, err)
	}
	told := false
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			in.clean()
			return func() { f.Close() }, nil
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.ENOLCK), errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.ENOSYS):
			// Some network file systems have no locks. Without one a second
			// process downloads too, and the last rename stands.
			return func() { f.Close() }, nil
		case !errors.Is(err, syscall.EWOULDBLOCK):
			f.Close()
			return nil, diskError("lock "+path, in.options.DataDir, 0, err)
		}
		if !told {
			told = true
			in.report(Event{Stage: StageWaiting})
		}
		if err := sleep(ctx, lockPoll); err != nil {
			f.Close()
			return nil, err
		}
	}
}

// clean removes what killed processes have left. The caller holds the lock, so
// nobody is writing.
func (in *installation) clean() {
	entries, err := os.ReadDir(in.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix) {
			// What cannot be removed wastes space and does no other harm.
			_ = os.Remove(filepath.Join(in.dir, e.Name()))
		}
	}
}

// place makes the verified temporary file the binary. The marker goes first
// and comes last: between, the binary counts as not installed.
func (in *installation) place(temp string, m marker) error {
	fail := func(op string, err error) error { return diskError(op, in.options.DataDir, 0, err) }
	path := filepath.Join(in.dir, markerName)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fail("remove "+path, err)
	}
	if err := os.Rename(temp, in.path()); err != nil {
		return fail("move binary to "+in.path(), err)
	}
	data, err := json.Marshal(m)
	if err != nil {
		return fail("encode "+path, err)
	}
	err = wholefile.Write(path, wholefile.Options{Mode: 0o644, Temp: tempPrefix, Sync: true}, wholefile.Bytes(append(data, '\n')))
	if err != nil {
		return fail("write "+path, err)
	}
	return in.syncDir()
}

// syncDir makes the renames outlast a power cut.
func (in *installation) syncDir() error {
	d, err := os.Open(in.dir)
	if err != nil {
		return diskError("open folder "+in.dir, in.options.DataDir, 0, err)
	}
	defer d.Close()
	// Some file systems cannot sync a folder; the binary itself is synced.
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return diskError("sync folder "+in.dir, in.options.DataDir, 0, err)
	}
	return nil
}

// sleep waits for d, or less when the context ends, whose cause it returns.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
