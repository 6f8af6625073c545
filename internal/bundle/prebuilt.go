package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/function"
)

// A prebuilt folder has the bundles of a project in a form that does not
// depend on where it, or the project, lies: it is made in one place and served
// in another, which may be read-only and without a network.
//
//	prebuilt.json    what it was made with
//	index/SLUG.json  what each bundle was made from
//	bundles/NAME/    the bundles
//	packages/        npm packages of functions that run from source
//	runtime/, cache/ the bootstrap script and V8's code cache

// markerName is the file that tells a prebuilt folder from any other.
const markerName = "prebuilt.json"

// A Marker says what a prebuilt folder was made with.
type Marker struct {
	Format int    `json:"format"`
	Deno   string `json:"deno"`
}

// A prebuiltRecord is a record whose paths are relative: Inputs and Entrypoint
// to the folder around the functions folder, those of Unbundled to the bundle.
type prebuiltRecord struct {
	Entrypoint string `json:"entrypoint"`
	record
}

// NewMarker is that of a folder made by this version with this Deno.
func NewMarker(denoVersion string) Marker { return Marker{format, denoVersion} }

func prebuiltRecordPath(dir, slug string) string { return filepath.Join(recordDir(dir), slug+".json") }

// ReadMarker reads the marker of a prebuilt folder.
func ReadMarker(dir string) (Marker, error) {
	var m Marker
	raw, err := os.ReadFile(filepath.Join(dir, markerName))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, fmt.Errorf("read %s: %w", filepath.Join(dir, markerName), err)
	}
	return m, nil
}

// CheckPrebuilt returns why the function's bundle does not come from the
// prebuilt folder, nil if it does.
func (b *Builder) CheckPrebuilt(f *function.Function) error {
	_, err := b.prebuilt(f)
	return err
}

// errNoPrebuilt is for builders that have no prebuilt folder.
var errNoPrebuilt = errors.New("there is no prebuilt folder")

// prebuilt returns the function's prebuilt bundle, unless something that it
// was made from is there and is another now. What is missing was left behind
// on purpose: an image need not hold what a bundle already has in it.
func (b *Builder) prebuilt(f *function.Function) (*Bundle, error) {
	dir := b.opts.Prebuilt
	if dir == "" {
		return nil, errNoPrebuilt
	}
	raw, err := os.ReadFile(prebuiltRecordPath(dir, f.Slug))
	if err != nil {
		return nil, errors.New("it was not built then")
	}
	var r prebuiltRecord
	if err := json.Unmarshal(raw, &r); err != nil || r.Name == "" {
		return nil, fmt.Errorf("its record %s cannot be read", prebuiltRecordPath(dir, f.Slug))
	}
	base := filepath.Dir(f.Root)
	if entry, err := filepath.Rel(base, f.Entrypoint); err != nil || entry != r.Entrypoint {
		return nil, fmt.Errorf("its entrypoint was %s then", r.Entrypoint)
	}
	var known []string
	for i := range r.Inputs {
		path := filepath.Join(base, r.Inputs[i].Path)
		known = append(known, path)
		sum, err := fileSum(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil || sum != r.Inputs[i].SHA256 {
			return nil, fmt.Errorf("%s has changed since", r.Inputs[i].Path)
		}
	}
	for _, path := range append([]string{f.Imports.File(), lockFile(f)}, f.Static...) {
		if path != "" && !slices.Contains(known, path) {
			return nil, fmt.Errorf("%s has come since", path)
		}
	}
	made := r.bundle(dir)
	made.Inputs = known
	if _, err := os.Stat(made.Module); err != nil {
		return nil, fmt.Errorf("its bundle %s is missing", made.Name)
	}
	if made.Unbundled != (deno.Unbundled{}) {
		made.Unbundled.CacheDir = PackageCache(dir)
		made.Unbundled.OwnDir = b.ownDir(f)
		made.Unbundled.Config = joined(made.Dir, made.Unbundled.Config)
		made.Unbundled.ImportMap = joined(made.Dir, made.Unbundled.ImportMap)
	}
	return made, nil
}

// joined joins unless there is nothing to join.
func joined(dir, file string) string {
	if file == "" {
		return ""
	}
	return filepath.Join(dir, file)
}
