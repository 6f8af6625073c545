package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/wholefile"
)

// format is raised whenever the way bundles are made changes.
const format = 4

// A record remembers which files a bundle was made from and how they looked.
type record struct {
	Name      string         `json:"name"`
	Module    string         `json:"module"` // relative to the bundle's folder
	Digest    string         `json:"digest"`
	Size      int64          `json:"size"`
	Packages  bool           `json:"packages"`
	Unbundled deno.Unbundled `json:"unbundled"`
	Inputs    []input        `json:"inputs"`
}

// An input is a file as it was when it was read. Size and time are compared
// first; only when they differ is the content read again.
type input struct {
	Path    string    `json:"path"`
	Size    int64     `json:"size"`
	ModTime time.Time `json:"mtime,omitzero"`
	SHA256  string    `json:"sha256"`
}

func recordDir(dataDir string) string { return filepath.Join(dataDir, "index") }

// key names what is built: the function and every setting that changes the
// result, but not the content of files.
func (b *Builder) key(f *function.Function) string {
	h := sha256.New()
	lock := lockFile(f)
	fmt.Fprintf(h, "%d\n%s\n%q\n%q\n%q\n%q\n%q\n%q\n%q\n", format, b.opts.DenoVersion,
		f.Root, f.Entrypoint, f.Imports.File(), f.NPMRC, lock, f.Static, f.Within)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func (b *Builder) recordPath(key string) string {
	return filepath.Join(recordDir(b.opts.DataDir), key+".json")
}

// load reads a record, nil when there is none that can be read.
func (b *Builder) load(key string) *record {
	raw, err := os.ReadFile(b.recordPath(key))
	if err != nil {
		return nil
	}
	var r record
	if json.Unmarshal(raw, &r) != nil || r.Name == "" {
		return nil
	}
	return &r
}

// recall returns the bundle of an earlier build if nothing it was made from
// has changed since, nil otherwise.
func (b *Builder) recall(f *function.Function, key string) *Bundle {
	r := b.load(key)
	if r == nil {
		return nil
	}
	touched := false
	for i := range r.Inputs {
		same, restat := r.Inputs[i].unchanged()
		if !same {
			return nil
		}
		touched = touched || restat
	}
	made := r.bundle(b.opts.DataDir)
	if _, err := os.Stat(made.Module); err != nil {
		return nil
	}
	if made.Unbundled != (deno.Unbundled{}) {
		made.Unbundled.OwnDir = b.ownDir(f)
	}
	if cache := made.Unbundled.CacheDir; cache != "" {
		if _, err := os.Stat(filepath.Join(cache, deno.NPMDir)); err != nil {
			return nil // it runs from there
		}
	}
	if touched {
		_ = writeRecord(b.recordPath(key), *r) // only saves reading the files again
	}
	return made
}

// Unchanged reports whether f's bundle is known and up to date.
func (b *Builder) Unchanged(f *function.Function) bool {
	return b.CheckPrebuilt(f) == nil || b.recall(f, b.key(f)) != nil
}

// Inputs returns the absolute paths of the files that the function's last
// bundle was made from, nil when there was none.
func (b *Builder) Inputs(f *function.Function) []string {
	r := b.load(b.key(f))
	if r == nil {
		return nil
	}
	return r.bundle(b.opts.DataDir).Inputs
}

// remember writes the record of a bundle.
func (b *Builder) remember(key string, made *Bundle) error {
	module, err := filepath.Rel(made.Dir, made.Module)
	if err != nil {
		return fmt.Errorf("record bundle: %w", err)
	}
	r := record{
		Name: made.Name, Module: module, Digest: made.Digest, Size: made.Size,
		Packages: made.Packages, Unbundled: made.Unbundled,
	}
	for _, path := range made.Inputs {
		in, err := newInput(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it went while it was built: the next look builds again
		}
		if err != nil {
			return fmt.Errorf("record bundle: %w", err)
		}
		r.Inputs = append(r.Inputs, in)
	}
	return writeRecord(b.recordPath(key), r)
}

func (r *record) bundle(dataDir string) *Bundle {
	dir := filepath.Join(BundleDir(dataDir), r.Name)
	made := &Bundle{
		Name: r.Name, Dir: dir, Module: filepath.Join(dir, r.Module), Digest: r.Digest,
		Size: r.Size, Packages: r.Packages, Unbundled: r.Unbundled,
	}
	for _, in := range r.Inputs {
		made.Inputs = append(made.Inputs, in.Path)
	}
	return made
}

func writeRecord(path string, r record) error {
	raw, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("record bundle: %w", err)
	}
	if err := wholefile.Write(path, wholefile.Options{Mode: 0o600, Temp: ".record-*"}, wholefile.Bytes(raw)); err != nil {
		return fmt.Errorf("record bundle: %w", err)
	}
	return nil
}

func newInput(path string) (input, error) {
	info, err := os.Stat(path)
	if err != nil {
		return input{}, err
	}
	sum, err := fileSum(path)
	return input{Path: path, Size: info.Size(), ModTime: info.ModTime(), SHA256: sum}, err
}

// racy is how young a file's time may be before it proves nothing: a second
// write within a clock tick of the file system leaves the time as it was.
const racy = 20 * time.Millisecond

// unchanged reports whether the file still has its content, and whether the
// input was updated because the file's time had changed all the same.
func (in *input) unchanged() (same, updated bool) {
	info, err := os.Stat(in.Path)
	if err != nil || info.Size() != in.Size {
		return false, false
	}
	if info.ModTime().Equal(in.ModTime) && time.Since(in.ModTime) > racy {
		return true, false
	}
	sum, err := fileSum(in.Path)
	if err != nil || sum != in.SHA256 {
		return false, false
	}
	in.ModTime = info.ModTime()
	return true, true
}

func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// lockFile returns the deno.lock beside the file that resolves the function's
// imports, "" for none.
func lockFile(f *function.Function) string {
	dirs := []string{f.Dir}
	if file := f.Imports.File(); file != "" && filepath.Dir(file) != f.Dir {
		dirs = append(dirs, filepath.Dir(file))
	}
	for _, dir := range dirs {
		path := filepath.Join(dir, "deno.lock")
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

// sorted returns the distinct paths in order.
func sorted(paths []string) []string {
	slices.Sort(paths)
	return slices.Compact(paths)
}

// within reports whether path lies in dir.
func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}
