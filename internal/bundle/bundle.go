// Package bundle turns a function's source into what a worker runs: one
// minified ES module with its source map and static files, in a folder named
// after its content. The same content always lies at the same path, so that
// V8's code cache, which is keyed by path, hits; unchanged source is not built
// again, not even by another process.
package bundle

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/selvedge-dev/selvedge/internal/confine"
	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/egress"
	"github.com/selvedge-dev/selvedge/internal/function"
)

// A Bundle is a function ready to be loaded.
type Bundle struct {
	// Name is the folder's name, which says nothing about the content to
	// those who do not have the installation's salt.
	Name string
	// Dir is the folder's absolute path.
	Dir string
	// Module is the absolute path of the module to import.
	Module string
	// Digest is the SHA-256 of the content, in hex.
	Digest string
	// Size counts the bytes of all files.
	Size int64
	// Inputs are the absolute paths of the files it was made from, sorted.
	Inputs []string
	// Packages says whether npm packages are part of it.
	Packages bool
	// Unbundled is set when the function runs from a copy of its source.
	Unbundled deno.Unbundled
	// Cached is set when nothing had to be built.
	Cached bool
	// Took is the time the build, or finding it unnecessary, took.
	Took time.Duration

	keep func() error      // see Keep
	read map[string]string // SHA-256 of inputs as they were read, where known
}

// Version is a short name of the bundle's content, for people and logs.
func (b *Bundle) Version() string { return b.Digest[:12] }

// A Builder makes bundles below one data folder. Its methods may be called at
// the same time, also by several processes.
type Builder struct {
	opts  Options
	salt  []byte
	slots chan struct{} // bounds the bundlers that run at once

	mu      sync.Mutex
	flights map[string]*flight
}

// A flight is a build that several callers wait for.
type flight struct {
	done   chan struct{}
	bundle *Bundle
	err    error
	gaveUp bool // its own caller did, before it was done
}

// Options configure a Builder.
type Options struct {
	// Deno is the binary whose `bundle` command is used.
	Deno string
	// DenoVersion is part of what a bundle depends on.
	DenoVersion string
	// DataDir is where bundles, records and the package cache are kept.
	DataDir string
	// Prebuilt is a folder that Export has filled, "" for none. What lies in it
	// is used before anything is built; nothing is written to it.
	Prebuilt string
	// Environ is the environment of the bundler, so that it finds its
	// registry, proxy and certificates; nil is none. Secrets of the gateway
	// must not be in it.
	Environ []string
	// Deny are the addresses that nothing is downloaded from.
	Deny egress.Deny
	// Hide has the folders of the bundles and of what workers make of them show
	// their content to nobody but root: workers can use one whose name they know,
	// and do not learn those of others.
	Hide bool
	// Confiner is what the system has to keep bundlers from files that are no
	// part of the function; nil for nothing.
	Confiner *confine.Confiner
}

// BundleDir is the folder that holds the bundles of a data folder.
func BundleDir(dataDir string) string { return filepath.Join(dataDir, "bundles") }

// PackageCache is the DENO_DIR that packages are downloaded to.
func PackageCache(dataDir string) string { return filepath.Join(dataDir, "packages") }

// ownDirs is the folder of what workers of functions that run from source keep.
func ownDirs(dataDir string) string { return filepath.Join(dataDir, "own") }

// NewBuilder prepares the folders.
func NewBuilder(o Options) (*Builder, error) {
	for _, dir := range []string{BundleDir(o.DataDir), ownDirs(o.DataDir), filepath.Join(PackageCache(o.DataDir), "dl"), recordDir(o.DataDir)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("prepare the bundle store: %w; choose a writable folder with --data-dir", err)
		}
	}
	if o.Hide {
		// In vain where the folder is read-only or somebody else's. `selvedge
		// doctor` says so.
		_ = os.Chmod(BundleDir(o.DataDir), 0o311)
		_ = os.Chmod(ownDirs(o.DataDir), 0o311)
	}
	if err := deno.PrepareCacheDir(PackageCache(o.DataDir)); err != nil {
		return nil, err
	}
	salt, err := loadSalt(filepath.Join(o.DataDir, "salt"))
	if err != nil {
		return nil, fmt.Errorf("prepare the bundle store: %w", err)
	}
	return &Builder{
		opts:    o,
		salt:    salt,
		slots:   make(chan struct{}, runtime.GOMAXPROCS(0)),
		flights: map[string]*flight{},
	}, nil
}

// Build returns the function's bundle, made anew only when something it was
// made from has changed. Callers that ask for the same function at once share
// one build. A fault in the function's source is a *function.BootError.
func (b *Builder) Build(ctx context.Context, f *function.Function) (*Bundle, error) {
	key := b.key(f)
	b.mu.Lock()
	running, ok := b.flights[key]
	if !ok {
		running = &flight{done: make(chan struct{})}
		b.flights[key] = running
	}
	b.mu.Unlock()
	if !ok {
		running.bundle, running.err = b.build(ctx, f, key)
		running.gaveUp = running.err != nil && ctx.Err() != nil
		b.mu.Lock()
		delete(b.flights, key)
		b.mu.Unlock()
		close(running.done)
		return running.bundle, running.err
	}
	select {
	case <-running.done:
		if running.gaveUp && ctx.Err() == nil {
			return b.Build(ctx, f)
		}
		return running.bundle, running.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// BuildUnbundled makes a function that fails as a bundle run from a copy of its
// source. Whether that helps is known only when it has been loaded: Keep then
// has later builds do the same.
func (b *Builder) BuildUnbundled(ctx context.Context, f *function.Function) (*Bundle, error) {
	began, before := time.Now(), sums(settled(f))
	made, err := b.unbundled(ctx, f)
	if err != nil {
		return nil, err
	}
	made.sawBefore(before)
	made.Took = time.Since(began)
	made.keep = func() error {
		if made.changedSince(began) {
			return nil // the next build looks at the new source
		}
		return b.remember(b.key(f), made)
	}
	return made, nil
}

// Keep records a bundle of BuildUnbundled as the function's.
func (b *Bundle) Keep() error {
	if b.keep == nil {
		return nil
	}
	return b.keep()
}

func (b *Builder) build(ctx context.Context, f *function.Function, key string) (*Bundle, error) {
	began := time.Now()
	known, _ := b.prebuilt(f)
	if known == nil {
		known = b.recall(f, key)
	}
	if known != nil {
		known.Cached, known.Took = true, time.Since(began)
		return known, nil
	}
	select {
	case b.slots <- struct{}{}:
		defer func() { <-b.slots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	for try := 1; ; try++ {
		reading, before := time.Now(), sums(settled(f))
		made, err := b.make(ctx, f)
		if err != nil {
			return nil, err
		}
		made.sawBefore(before)
		made.Took = time.Since(began)
		if !made.changedSince(reading) {
			return made, b.remember(key, made)
		}
		// Nobody can say which version the bundler read. A file that never
		// stands still is served as it was read, but not recorded.
		if try == mostTries {
			return made, nil
		}
	}
}

// mostTries bounds the builds of a source that changes under the bundler.
const mostTries = 4

// changedSince reports whether an input may be another than the one that was
// read after t. File systems keep time in ticks of up to 10 ms, so for a file
// that young only its content tells.
func (b *Bundle) changedSince(t time.Time) bool {
	for _, file := range b.Inputs {
		info, err := os.Stat(file)
		if err != nil {
			return true
		}
		if info.ModTime().Before(t.Add(-10 * time.Millisecond)) {
			continue
		}
		if sum, err := fileSum(file); err != nil || sum != b.read[file] {
			return true
		}
	}
	return false
}

// settled are the inputs that are known before a build.
func settled(f *function.Function) []string {
	return append([]string{f.Entrypoint, f.Imports.File(), f.NPMRC, lockFile(f)}, f.Static...)
}

// sums returns the SHA-256 of the files that can be read.
func sums(files []string) map[string]string {
	found := map[string]string{}
	for _, file := range files {
		if sum, err := fileSum(file); err == nil {
			found[file] = sum
		}
	}
	return found
}

// sawBefore adds what inputs were before the build to what is known to have
// been read of them.
func (b *Bundle) sawBefore(sums map[string]string) {
	if b.read == nil {
		b.read = sums
		return
	}
	for file, sum := range sums {
		if _, known := b.read[file]; !known {
			b.read[file] = sum
		}
	}
}

// make builds the function as one module or, where the bundler cannot, as a
// copy of its source.
func (b *Builder) make(ctx context.Context, f *function.Function) (*Bundle, error) {
	made, err := b.bundled(ctx, f)
	var fault *sourceFault
	if !errors.As(err, &fault) {
		return made, err
	}
	if fault.mayRunUnbundled() {
		alone, err := b.unbundled(ctx, f)
		if err == nil {
			return alone, nil
		}
		var be *function.BootError
		if fault.isVague() && errors.As(err, &be) {
			return nil, be
		}
	}
	return nil, fault.bootError(f)
}

// loadSalt reads or makes the secret that bundle folders are named with.
func loadSalt(path string) ([]byte, error) {
	for {
		if b, err := os.ReadFile(path); err == nil && len(b) == 64 {
			return b, nil
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		var raw [32]byte
		if _, err := rand.Read(raw[:]); err != nil {
			return nil, err
		}
		tmp, err := os.CreateTemp(filepath.Dir(path), ".salt-*") // readable by its owner only
		if err != nil {
			return nil, err
		}
		_, err = tmp.WriteString(hex.EncodeToString(raw[:]))
		// Link, not rename: of two processes the first one's salt stays.
		if err = errors.Join(err, tmp.Close()); err == nil {
			err = os.Link(tmp.Name(), path)
		}
		os.Remove(tmp.Name())
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
}
