package bundle

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/function"
)

// exportKey takes the place of an installation's salt in the names of exported
// bundles: the same functions make the same folder everywhere. A name is still
// known only to those who know the whole content.
const exportKey = "selvedge prebuilt"

// An Export is a prebuilt folder that is being made.
type Export struct {
	// Dir is its absolute path.
	Dir string
	b   *Builder

	mu      sync.Mutex
	sources map[string]bool
}

// Sources are the absolute paths of the files in the folder around the
// functions folder that the bundles were made from, but for those that hold
// credentials. A server that has them, laid out alike, finds the same functions.
func (e *Export) Sources() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Sorted(maps.Keys(e.sources))
}

// NewExport empties or makes dir. It touches no folder with content that is
// not an earlier export's.
func (b *Builder) NewExport(dir string) (*Export, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the prebuilt folder: %w", err)
	}
	dir, err := filepath.Abs(dir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir) // Deno resolves links in what it reports
	}
	if err != nil {
		return nil, fmt.Errorf("make the prebuilt folder: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("make the prebuilt folder: %w", err)
	}
	if len(entries) > 0 {
		if _, err := os.Stat(filepath.Join(dir, markerName)); err != nil {
			return nil, fmt.Errorf("%s holds something else than prebuilt functions; name an empty folder, or a new one", dir)
		}
	}
	for _, name := range []string{"index", "bundles", "packages", "runtime", "cache"} {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, name)))
	}
	for _, sub := range []string{recordDir(dir), BundleDir(dir)} {
		err = errors.Join(err, os.MkdirAll(sub, 0o755))
	}
	if err == nil {
		err = writeJSON(filepath.Join(dir, markerName), NewMarker(b.opts.DenoVersion))
	}
	if err != nil {
		return nil, fmt.Errorf("make the prebuilt folder: %w", err)
	}
	return &Export{Dir: dir, b: b, sources: map[string]bool{}}, nil
}

// Add copies a bundle of Build into the folder, with the packages that it needs
// to run, and returns it as it lies there.
func (e *Export) Add(ctx context.Context, f *function.Function, made *Bundle) (*Bundle, error) {
	fail := func(err error) (*Bundle, error) {
		return nil, fmt.Errorf("export function %s: %w", f.Slug, err)
	}
	mac := hmac.New(sha256.New, []byte(exportKey))
	mac.Write([]byte(made.Digest))
	out := *made
	out.Name = hex.EncodeToString(mac.Sum(nil)[:16])
	out.Dir = filepath.Join(BundleDir(e.Dir), out.Name)
	out.Module = moved(made.Module, made.Dir, out.Dir)
	if err := copyTree(made.Dir, out.Dir); err != nil {
		return fail(err)
	}
	base := filepath.Dir(f.Root)
	r := prebuiltRecord{record: record{
		Name: out.Name, Digest: made.Digest, Size: made.Size, Packages: made.Packages,
	}}
	var err error
	if r.Entrypoint, err = filepath.Rel(base, f.Entrypoint); err != nil {
		return fail(err)
	}
	if r.Module, err = filepath.Rel(made.Dir, made.Module); err != nil {
		return fail(err)
	}
	if made.Unbundled != (deno.Unbundled{}) {
		out.Unbundled.CacheDir = PackageCache(e.Dir)
		out.Unbundled.Config = moved(made.Unbundled.Config, made.Dir, out.Dir)
		out.Unbundled.ImportMap = moved(made.Unbundled.ImportMap, made.Dir, out.Dir)
		r.Unbundled = deno.Unbundled{
			CacheDir: "packages", Registries: made.Unbundled.Registries,
			Config: moved(made.Unbundled.Config, made.Dir+string(filepath.Separator), ""), ImportMap: moved(made.Unbundled.ImportMap, made.Dir+string(filepath.Separator), ""),
		}
		if err := e.addPackages(ctx, f); err != nil {
			return fail(err)
		}
	}
	for _, path := range made.Inputs {
		if path == f.NPMRC {
			continue // it has credentials; the packages are here
		}
		in, err := newInput(path)
		if err != nil {
			return fail(err)
		}
		if in.Path, err = filepath.Rel(base, path); err != nil {
			return fail(err)
		}
		in.ModTime = time.Time{}
		r.Inputs = append(r.Inputs, in)
		if within(base, path) {
			e.mu.Lock()
			e.sources[path] = true
			e.mu.Unlock()
		}
	}
	if err := writeJSON(prebuiltRecordPath(e.Dir, f.Slug), r); err != nil {
		return fail(err)
	}
	return &out, nil
}

// addPackages copies the function's npm packages from the package cache.
func (e *Export) addPackages(ctx context.Context, f *function.Function) error {
	packages, err := e.b.Packages(ctx, f)
	if err != nil {
		return err
	}
	from, err := filepath.EvalSymlinks(PackageCache(e.b.opts.DataDir))
	if err != nil {
		return err
	}
	for _, p := range packages {
		rel, err := filepath.Rel(from, p.Dir)
		if err != nil || !filepath.IsLocal(rel) {
			return fmt.Errorf("package %s@%s lies in %s, outside of the package cache", p.Name, p.Version, p.Dir)
		}
		to := filepath.Join(PackageCache(e.Dir), rel)
		if err := copyTree(p.Dir, to); err != nil {
			return err
		}
		// What the registry said of the package, which versions are chosen by.
		if err := copyFile(filepath.Join(filepath.Dir(p.Dir), "registry.json"), filepath.Join(filepath.Dir(to), "registry.json")); err != nil {
			return err
		}
	}
	return nil
}

// A Package is an npm package that a function is made of.
type Package struct {
	Name, Version string
	// Dir is where it was unpacked.
	Dir string
}

// Packages returns the npm packages that a function was built with, in order.
func (b *Builder) Packages(ctx context.Context, f *function.Function) ([]Package, error) {
	a, err := b.begin(f)
	if err != nil {
		return nil, err
	}
	defer a.end()
	g, err := a.graph(ctx, true)
	if err != nil {
		return nil, err
	}
	var found []Package
	for _, p := range g.NPMPackages {
		found = append(found, Package{p.Name, p.Version, p.LocalPath})
	}
	slices.SortFunc(found, func(a, b Package) int {
		if c := cmp.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return cmp.Compare(a.Version, b.Version)
	})
	return slices.Compact(found), nil
}

// copyTree copies a folder's files, for all to read.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		return copyFile(path, filepath.Join(to, rel))
	})
}

// writeJSON writes a file for all to read.
func writeJSON(path string, v any) error {
	raw, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(raw, '\n'), 0o644)
}
