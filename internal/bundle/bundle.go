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

	"github.com/selvedge-dev/selvedge/internal/deno"
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
	// Environ is the environment of the bundler, so that it finds its
	// registry, proxy and certificates; nil is none. Secrets of the gateway
	// must not be in it.
	Environ []string
}

// BundleDir is the folder that holds the bundles of a data folder.
func BundleDir(dataDir string) string { return filepath.Join(dataDir, "bundles") }

// PackageCache is the DENO_DIR that packages are downloaded to.
func PackageCache(dataDir string) string { return filepath.Join(dataDir, "packages") }

// NewBuilder prepares the folders.
func NewBuilder(o Options) (*Builder, error) {
	for _, dir := range []string{BundleDir(o.DataDir), PackageCache(o.DataDir), recordDir(o.DataDir)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("prepare the bundle store: %w; choose a writable folder with --data-dir", err)
		}
	}
	salt, err := loadSalt(filepath.Join(o.DataDir, "salt"))
	if err != nil {
		return nil, fmt.Errorf("prepare the bundle store: %w", err)
	}
	return &Builder{
		opts:    o,
		salt:    salt,
		slots:   make(chan struct{}, runtime.NumCPU()),
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
// source, and remembers that it must.
func (b *Builder) BuildUnbundled(ctx context.Context, f *function.Function) (*Bundle, error) {
	began := time.Now()
	made, err := b.unbundled(ctx, f)
	if err != nil {
		return nil, err
	}
	made.Took = time.Since(began)
	return made, b.remember(b.key(f), made)
}

func (b *Builder) build(ctx context.Context, f *function.Function, key string) (*Bundle, error) {
	began := time.Now()
	if known := b.recall(key); known != nil {
		known.Cached, known.Took = true, time.Since(began)
		return known, nil
	}
	select {
	case b.slots <- struct{}{}:
		defer func() { <-b.slots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	made, err := b.bundled(ctx, f)
	var fault *sourceFault
	if errors.As(err, &fault) {
		if fault.mayRunUnbundled() {
			alone, err := b.unbundled(ctx, f)
			if err == nil {
				alone.Took = time.Since(began)
				return alone, b.remember(key, alone)
			}
			var be *function.BootError
			if fault.isVague() && errors.As(err, &be) {
				return nil, be
			}
		}
		return nil, fault.bootError(f)
	}
	if err != nil {
		return nil, err
	}
	made.Took = time.Since(began)
	return made, b.remember(key, made)
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
		tmp := fmt.Sprintf("%s.%d", path, os.Getpid())
		if err := os.WriteFile(tmp, []byte(hex.EncodeToString(raw[:])), 0o600); err != nil {
			return nil, err
		}
		// Link, not rename: of two processes the first one's salt stays.
		err := os.Link(tmp, path)
		os.Remove(tmp)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
}
