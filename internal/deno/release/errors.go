package release

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"syscall"
	"time"
)

// Kind is what went wrong, for a caller that acts on it.
type Kind string

// The kinds of failure.
const (
	// KindHash: the registry gave something other than the pinned tarball.
	KindHash Kind = "hash"
	// KindTruncated: the download ended early.
	KindTruncated Kind = "truncated"
	// KindUnauthorized: the registry answered 401 or 403.
	KindUnauthorized Kind = "unauthorized"
	// KindNotFound: the registry does not have the package or the version.
	KindNotFound Kind = "not_found"
	// KindServer: the registry answered 5xx, 429, or nothing sensible.
	KindServer Kind = "server"
	// KindNetwork: the registry could not be reached, or the connection broke.
	KindNetwork Kind = "network"
	// KindStalled: no byte arrived for a minute.
	KindStalled Kind = "stalled"
	// KindTLS: the registry's certificate is not trusted.
	KindTLS Kind = "tls"
	// KindConfig: the npm configuration cannot be used.
	KindConfig Kind = "config"
	// KindDiskFull: there is no space or quota left.
	KindDiskFull Kind = "disk_full"
	// KindReadOnly: the data folder may not be written.
	KindReadOnly Kind = "read_only"
	// KindDisk: any other failure of the file system.
	KindDisk Kind = "disk"
	// KindPlatform: Deno has no release for the platform.
	KindPlatform Kind = "platform"
	// KindOverride: the user's own binary cannot be used.
	KindOverride Kind = "override"
)

// An Error says why there is no binary. It never holds credentials.
type Error struct {
	Kind Kind
	// Op is what was tried, with its place: "download https://…".
	Op string
	// Hint is what the user can do next.
	Hint string
	// Err is the cause.
	Err error

	transient bool
	// after is the least wait that the registry asked for.
	after time.Duration
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s: %s; %s", e.Op, scrub(e.Err.Error()), e.Hint)
}

func (e *Error) Unwrap() error { return e.Err }

// userinfo matches the credentials in a URL, which the messages of proxies and
// redirects may quote.
var userinfo = regexp.MustCompile(`://[^/\s"@]*@`)

func scrub(s string) string { return userinfo.ReplaceAllString(s, "://***@") }

// orOverride ends a hint about the registry with the way around it.
func (r recipe) orOverride(hint string) string {
	return fmt.Sprintf("%s, or set SELVEDGE_DENO to a Deno %s binary", hint, r.version)
}

// diskError sorts a failure of the file system. need is how many bytes were to
// be written, 0 for few.
func diskError(op, dir string, need int64, err error) *Error {
	// The path is in op already.
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	} else if e, ok := errors.AsType[*os.LinkError](err); ok {
		err = e.Err
	}
	e := &Error{Kind: KindDisk, Op: op, Hint: "check " + dir + " or set --data-dir to another folder", Err: err}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		e.Kind = KindDiskFull
		e.Hint = fmt.Sprintf("free %d MB in %s or set --data-dir to a folder with more space", need/1_000_000+1, dir)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOTDIR):
		e.Kind = KindReadOnly
		e.Hint = fmt.Sprintf("make %s a folder that this user may write, or set --data-dir to one", dir)
	}
	return e
}
