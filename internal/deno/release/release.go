// Package release provides the Deno binary that Selvedge was built and tested
// against: it downloads the pinned release once from the user's npm registry,
// checks it against the hash in this package, and keeps it in the data folder.
//
// The binary lies at DATADIR/deno/VERSION-OS-ARCH/deno. Whatever is in its
// place has been verified as a whole; a download that fails or is killed never
// shows there.
package release

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"runtime"
	"time"

	"github.com/selvedge-dev/selvedge/internal/npmrc"
)

// Options say which binary is wanted and how it may be fetched.
type Options struct {
	// DataDir is Selvedge's data folder; it is made if it does not exist.
	DataDir string
	// Platform is the one the binary runs on; the zero value is this one. An
	// image build names another.
	Platform Platform
	// NPM names the registry, its credentials, proxy and certificates. nil
	// means the environment's and the user's own, as npmrc.Load finds them.
	NPM *npmrc.Config
	// Override is the path of a Deno binary to use in place of the pinned one,
	// or a name to look for in PATH. "" for none.
	Override string
	// Progress is told how an installation goes; nil for nobody. Its calls do
	// not overlap, and none comes after Ensure has returned.
	Progress func(Event)
	// HTTPClient is used in place of one made from NPM. Its redirect policy is
	// replaced, so that credentials stay with the registry.
	HTTPClient *http.Client
}

// A Binary is a Deno executable.
type Binary struct {
	// Path is absolute.
	Path string
	// Version is that of the binary, like "2.9.5"; "" for an override that is
	// for another platform and so could not be asked.
	Version string
	// Platform is the one it was asked for.
	Platform Platform
	// Override says that the user chose it and Selvedge did not verify it.
	Override bool
	// Warning is one line for the user, "" for none.
	Warning string
}

// A Platform is an operating system and a processor, by Go's names.
type Platform struct {
	OS, Arch string
}

// HostPlatform is the one this program runs on.
func HostPlatform() Platform { return Platform{runtime.GOOS, runtime.GOARCH} }

func (p Platform) String() string { return p.OS + "/" + p.Arch }

// An Event is one step of an installation.
type Event struct {
	Stage Stage
	// Version and Platform say what is being installed.
	Version  string
	Platform Platform
	// Done and Total count the bytes of the download, at StageDownload. They
	// begin anew after a retry.
	Done, Total int64
	// Err says why the last attempt failed and Wait when the next one begins,
	// at StageRetry.
	Err  error
	Wait time.Duration
	// Path is the finished binary's, at StageInstalled.
	Path string
}

// A Stage is where an installation has come to.
type Stage string

// The stages. Each but StageInstalled may come more than once, or not at all.
const (
	// StageWaiting: another process is installing the same binary.
	StageWaiting Stage = "waiting"
	// StageDownload: bytes have arrived.
	StageDownload Stage = "download"
	// StageRetry: an attempt has failed in a way that may pass.
	StageRetry Stage = "retry"
	// StageInstalled: the binary is verified and in its place.
	StageInstalled Stage = "installed"
)

// Ensure returns the override, or else the pinned binary, which it installs
// unless that is done already; finding it installed costs a few system calls
// and no network. Any number of goroutines and processes may call it at once:
// they share one download.
//
// It ends early with the context, whose cause it wraps, and then leaves nothing
// behind. Every other failure is an *Error.
func Ensure(ctx context.Context, o Options) (Binary, error) {
	return ensure(ctx, o, pinned)
}

// A recipe is everything about an installation that is the same for all
// callers; tests have their own.
type recipe struct {
	version string
	pins    map[Platform]pin
	// stall is how long a request may go without a byte.
	stall time.Duration
	// backoff is the wait before each further attempt.
	backoff []time.Duration
	// create makes the temporary file in dir.
	create func(dir string) (sink, error)
}

func ensure(ctx context.Context, o Options, r recipe) (Binary, error) {
	if o.Platform == (Platform{}) {
		o.Platform = HostPlatform()
	}
	if o.Override != "" {
		return override(ctx, o, r.version)
	}
	p, ok := r.pins[o.Platform]
	if !ok {
		return Binary{}, &Error{
			Kind: KindPlatform,
			Op:   fmt.Sprintf("find Deno %s for %s", r.version, o.Platform),
			Hint: "use linux or darwin on amd64 or arm64",
			Err:  errors.New("there is no release for this platform"),
		}
	}
	if o.DataDir == "" {
		return Binary{}, &Error{Kind: KindDisk, Op: "install Deno " + r.version, Hint: "set --data-dir", Err: errors.New("no data folder is given")}
	}
	data, err := filepath.Abs(o.DataDir)
	if err != nil {
		return Binary{}, &Error{Kind: KindDisk, Op: "find data folder " + o.DataDir, Hint: "set --data-dir to an absolute path", Err: err}
	}

	in := &installation{
		recipe:   r,
		pin:      p,
		platform: o.Platform,
		options:  o,
		dir:      filepath.Join(data, "deno", fmt.Sprintf("%s-%s-%s", r.version, o.Platform.OS, o.Platform.Arch)),
	}
	b := Binary{Path: in.path(), Version: r.version, Platform: o.Platform}
	if in.installed() {
		return b, nil
	}
	if err := running.do(ctx, in.dir, o.Progress, in.run); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("install Deno %s: %w", r.version, context.Cause(ctx))
		}
		return Binary{}, err
	}
	return b, nil
}
