package release

import (
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/url"
	"os"
	"path"
	"time"

	"github.com/selvedge-dev/selvedge/internal/npmrc"
)

// errStalled is the cause of a request's context when the watchdog ends it.
var errStalled = errors.New("no data came")

// download fetches, verifies and places the binary, trying again after
// failures that may pass.
func (in *installation) download(ctx context.Context) error {
	reg, err := in.registry()
	if err != nil {
		return err
	}
	defer reg.close()
	for attempt := 0; ; attempt++ {
		err := in.attempt(ctx, reg)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		e, ok := errors.AsType[*Error](err)
		if !ok || !e.transient || attempt == len(in.backoff) {
			return err
		}
		wait := max(in.backoff[attempt], e.after)
		in.report(Event{Stage: StageRetry, Err: err, Wait: wait})
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

func (in *installation) attempt(ctx context.Context, reg *registry) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	dog := &watchdog{after: in.stall}
	dog.timer = time.AfterFunc(dog.after, func() { cancel(errStalled) })
	defer dog.timer.Stop()

	at := reg.tarballURL()
	res, err := reg.get(ctx, at, anyType)
	if e, ok := errors.AsType[*Error](err); ok && e.Kind == KindNotFound {
		// Not every registry keeps tarballs where npm's does.
		if at, err = reg.lookUp(ctx, dog); err != nil {
			return err
		}
		res, err = reg.get(ctx, at, anyType)
	}
	if err != nil {
		return err
	}
	defer res.Body.Close()
	dog.seen()
	return in.receive(ctx, at, res.ContentLength, &dogReader{res.Body, dog})
}

// receive streams the tarball's binary into a temporary file and puts it into
// place once all of the tarball has been hashed. length is the announced one
// in bytes, -1 if unknown.
func (in *installation) receive(ctx context.Context, from *url.URL, length int64, r io.Reader) (err error) {
	op := "download " + npmrc.RedactURL(from)
	body := &source{r: r, sum: sha512.New(), left: in.pin.size + 1, seen: func(n int64) {
		in.report(Event{Stage: StageDownload, Done: min(n, in.pin.size), Total: in.pin.size})
	}}
	// The binary is about two and a half times the tarball's size; that is
	// the space to ask for until the tarball tells.
	need := in.pin.size * 5 / 2
	file, err := in.create(in.dir)
	if err != nil {
		return diskError("make a file in "+in.dir, in.options.DataDir, need, err)
	}
	closed := false
	defer func() {
		if !closed {
			_ = file.Close()
		}
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()

	out := &target{w: file, sum: sha512.New()}
	size, unpackErr := unpack(body, out)
	if out.err != nil {
		return diskError("write "+file.Name(), in.options.DataDir, max(need, size), out.err)
	}
	body.drain()
	if err := in.verify(ctx, op, length, body, unpackErr); err != nil {
		return err
	}

	if err = file.Chmod(0o755); err == nil {
		err = file.Sync()
	}
	if err == nil {
		closed = true
		err = file.Close()
	}
	if err != nil {
		return diskError("write "+file.Name(), in.options.DataDir, max(need, size), err)
	}
	// Once the last byte is there the context no longer counts, except that
	// who has asked to stop does not get a new binary.
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), errStalled) {
		return context.Cause(ctx)
	}
	return in.place(file.Name(), marker{
		Integrity: in.pin.integrity,
		SHA512:    base64.StdEncoding.EncodeToString(out.sum.Sum(nil)),
		Size:      size,
	})
}

// verify tells a good tarball from a broken connection, and that from a wrong
// tarball. unpackErr is the least telling: a cut or foreign file does not
// unpack either.
func (in *installation) verify(ctx context.Context, op string, length int64, body *source, unpackErr error) error {
	if body.err != nil {
		if errors.Is(body.err, io.ErrUnexpectedEOF) {
			return in.truncated(op, body)
		}
		return in.networkError(ctx, op, body.err)
	}
	got := "sha512-" + base64.StdEncoding.EncodeToString(body.sum.Sum(nil))
	switch {
	case got == in.pin.integrity && unpackErr == nil:
		return nil
	case got == in.pin.integrity:
		return &Error{Kind: KindHash, Op: op, Err: unpackErr, Hint: in.orOverride("report this as a bug of Selvedge: it pins a tarball without Deno in it")}
	case length < 0 && body.n < in.pin.size && isCut(unpackErr):
		return in.truncated(op, body)
	}
	return &Error{
		Kind: KindHash, Op: op,
		Err:  fmt.Errorf("the file is not Deno %s as released: %s, expected %s (%d bytes)", in.version, got, in.pin.integrity, in.pin.size),
		Hint: in.orOverride("check what serves npm_config_registry, and whether a proxy answers in its place"),
	}
}

func (in *installation) truncated(op string, body *source) *Error {
	return &Error{
		Kind: KindTruncated, Op: op, transient: true,
		Err:  fmt.Errorf("the connection ended after %d of %d bytes", body.n, in.pin.size),
		Hint: in.orOverride("check the network and try again"),
	}
}

// tarballName is where npm's own registry keeps the tarball of a package.
func (in *installation) tarballName() string {
	return fmt.Sprintf("%s-%s.tgz", path.Base(in.pin.pkg), in.version)
}

// A source counts and hashes what is read, and keeps the reader's error apart
// from what the decompressor makes of it.
type source struct {
	r    io.Reader
	sum  hash.Hash
	left int64
	n    int64
	err  error
	seen func(n int64)
}

func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	// Past the pinned size nothing can be right any more.
	if s.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > s.left {
		p = p[:s.left]
	}
	n, err := s.r.Read(p)
	s.sum.Write(p[:n])
	s.left -= int64(n)
	s.n += int64(n)
	if n > 0 {
		s.seen(s.n)
	}
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// drain reads what the archive's reader had no use for: it counts for the hash.
func (s *source) drain() { _, _ = io.Copy(io.Discard, s) }

// A target hashes what is written, and keeps the writer's error.
type target struct {
	w   io.Writer
	sum hash.Hash
	err error
}

func (t *target) Write(p []byte) (int, error) {
	n, err := t.w.Write(p)
	t.sum.Write(p[:n])
	if err != nil {
		t.err = err
	}
	return n, err
}

// A watchdog ends an attempt when nothing arrives for a while. It covers
// connecting and waiting for the answer too.
type watchdog struct {
	timer *time.Timer
	after time.Duration
}

func (d *watchdog) seen() { d.timer.Reset(d.after) }

type dogReader struct {
	r   io.Reader
	dog *watchdog
}

func (r *dogReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil {
		// Syncing to a slow disk is no stall.
		r.dog.timer.Stop()
	} else if n > 0 {
		r.dog.seen()
	}
	return n, err
}
