// Package deno knows how a Deno process is run as a worker: its command line
// and permissions, its environment, the bootstrap script that runs inside it,
// and the protocol spoken with that script. It starts nothing itself.
package deno

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/selvedge-dev/selvedge/internal/wholefile"
)

//go:embed bootstrap.js
var bootstrap []byte

// Names of the files in a worker's private folder.
const (
	// ControlSocket is listened on by the supervisor, for one connection.
	ControlSocket = "c.sock"
	// ServeSocket is where the bootstrap serves HTTP/1.1.
	ServeSocket = "w.sock"
	// NodeSocket is where a node:http server serves HTTP/1.1.
	NodeSocket = "n.sock"
	// AuditPipe is where Deno says what a watched function connects to.
	AuditPipe = "audit"
	// TempDir is the folder the function may write to.
	TempDir = "tmp"
)

// PrepareCacheDir makes a DENO_DIR for workers. What Deno would keep there for
// functions, localStorage and the Cache API, it would keep for all of them
// together: a file in the place of its folder keeps it from doing so.
func PrepareCacheDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("prepare the cache: %w; choose a writable folder with --data-dir", err)
	}
	blocker := filepath.Join(dir, "location_data")
	info, err := os.Lstat(blocker)
	if err == nil && info.Mode().IsRegular() {
		return nil
	}
	if err == nil {
		err = os.RemoveAll(blocker)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil {
		var f *os.File
		if f, err = os.OpenFile(blocker, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o444); err == nil { // it follows no link
			err = f.Close()
		} else if errors.Is(err, fs.ErrExist) {
			err = nil // another server was faster
		}
	}
	// Where this cannot be written to, workers cannot either.
	if err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("prepare the cache: %w", err)
	}
	return nil
}

// NPMDir is the folder of a DENO_DIR that npm packages are in.
const NPMDir = "npm"

// PrepareOwnDir makes a DENO_DIR for the workers of one function that runs from
// source. Its packages are those of another DENO_DIR, by a link: what Deno
// writes, such as what it compiled of them, goes to dir, so that a function
// which can write more than Deno lets it changes nothing for others.
//
// group is as in ShareCacheDir.
func PrepareOwnDir(dir, packages string, group uint32) error {
	if err := PrepareCacheDir(dir); err != nil {
		return err
	}
	if err := ShareCacheDir(dir, group); err != nil {
		return err
	}
	link, target := filepath.Join(dir, NPMDir), filepath.Join(packages, NPMDir)
	if at, err := os.Readlink(link); err == nil && at == target {
		return nil
	}
	err := os.RemoveAll(link)
	if err == nil {
		err = os.Symlink(target, link)
	}
	if at, _ := os.Readlink(link); err != nil && at != target { // another worker may have been faster
		return fmt.Errorf("prepare the function's cache: %w", err)
	}
	return nil
}

// CodeCache is the file of a DENO_DIR that V8's code cache is in, an SQLite
// database.
const CodeCache = "v8_code_cache_v2"

// SeedCodeCache gives the DENO_DIR to a code cache that was made elsewhere, if
// there is one and to has none. Deno opens it for writing, so it cannot be used
// where it lies.
func SeedCodeCache(from, to string) error {
	have := filepath.Join(to, CodeCache)
	if _, err := os.Stat(have); err == nil {
		return nil
	}
	b, err := os.ReadFile(filepath.Join(from, CodeCache))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var tmp *os.File
	if err == nil {
		tmp, err = os.CreateTemp(to, ".seed-*")
	}
	if err != nil {
		return fmt.Errorf("copy the code cache: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(b)
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err == nil {
		err = os.Link(tmp.Name(), have) // not over one that is in use
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("copy the code cache: %w", err)
	}
	return nil
}

// FindBootstrap returns the path of the script in a folder that InstallBootstrap
// has prepared, "" if it is not this version's.
func FindBootstrap(dir string) string {
	path := bootstrapPath(dir)
	if b, err := os.ReadFile(path); err != nil || string(b) != string(bootstrap) {
		return ""
	}
	return path
}

func bootstrapPath(dir string) string {
	sum := sha256.Sum256(bootstrap)
	return filepath.Join(dir, "bootstrap-"+hex.EncodeToString(sum[:6])+".js")
}

// InstallBootstrap writes the bootstrap script below dir and returns its path.
// The name carries a digest of the content: workers of two versions of
// Selvedge can share a data folder, and V8's code cache, keyed by path, hits.
func InstallBootstrap(dir string) (string, error) {
	if path := FindBootstrap(dir); path != "" {
		return path, nil
	}
	path := bootstrapPath(dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("install bootstrap: %w; choose a writable folder with --data-dir", err)
	}
	err := wholefile.Write(path, wholefile.Options{Mode: 0o444, Temp: "bootstrap-*.tmp"}, wholefile.Bytes(bootstrap))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("install bootstrap: %w; choose a writable folder with --data-dir", err)
	}
	return path, nil
}
