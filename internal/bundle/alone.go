package bundle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// lockPoll is how often a lock that somebody else holds is tried.
const lockPoll = 50 * time.Millisecond

// alone has the first bundler of a package cache run by itself. It installs
// esbuild there, and of two that do so at once one finds the other's files
// gone. The lock is the kernel's, so that processes wait for each other, too,
// and one that was killed keeps nobody waiting.
func (b *Builder) alone(ctx context.Context) (leave func(), err error) {
	cache := PackageCache(b.opts.DataDir)
	if bundlerInstalled(cache) {
		return func() {}, nil
	}
	f, err := os.OpenFile(filepath.Join(cache, ".bundler-lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("prepare bundle: %w; check the space and rights of %s, or choose another --data-dir", err, b.opts.DataDir)
	}
	for !bundlerInstalled(cache) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return func() { f.Close() }, nil
		case errors.Is(err, syscall.EWOULDBLOCK), errors.Is(err, syscall.EINTR):
		default: // some network file systems have no locks
			return func() { f.Close() }, nil
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			f.Close()
			return nil, context.Cause(ctx)
		}
	}
	return func() { f.Close() }, nil
}

// bundlerInstalled reports whether Deno has put its bundler into place, which
// it does by a rename.
func bundlerInstalled(cache string) bool {
	found, _ := filepath.Glob(filepath.Join(cache, "dl", "esbuild-*", "esbuild*")) // the pattern is well-formed
	for _, name := range found {
		if !strings.HasSuffix(name, ".tmp") {
			return true
		}
	}
	return false
}
