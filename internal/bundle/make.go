package bundle

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/selvedge-dev/selvedge/internal/function"
)

// bundled builds one module.
func (b *Builder) bundled(ctx context.Context, f *function.Function) (*Bundle, error) {
	a, err := b.begin(f)
	if err != nil {
		return nil, err
	}
	defer a.end()
	a.entry = strings.TrimSuffix(a.entry, filepath.Ext(a.entry)) + ".js"
	module := filepath.Join(a.tree, a.entry)
	if err := os.MkdirAll(filepath.Dir(module), 0o755); err != nil {
		return nil, fmt.Errorf("bundle function %s: %w", f.Slug, err)
	}
	args := []string{"bundle", "--minify", "--keep-names", "--sourcemap=linked", "--output=" + module}
	for _, external := range typeOnlyExternals {
		args = append(args, "--external="+external)
	}
	modules, err := a.walled(ctx, func() error {
		leave, err := b.alone(ctx)
		if err != nil {
			return err
		}
		defer leave()
		return a.run(ctx, nil, a.main, args...)
	})
	if err != nil {
		return nil, err
	}
	sources, err := a.finishModule(module)
	if err != nil {
		return nil, fmt.Errorf("bundle function %s: %w", f.Slug, err)
	}
	local := slices.Concat(modules, sources.local)
	if err := a.checkMaps(local); err != nil {
		return nil, err
	}
	if err := a.checkSources(ctx, sources); err != nil {
		return nil, err
	}
	made := &Bundle{Packages: sources.packages, Inputs: local}
	made.read = sources.read
	return a.finish(made)
}

// finish adds what every bundle has, and moves it to its place.
func (a *attempt) finish(made *Bundle) (*Bundle, error) {
	f := a.f
	for _, static := range f.Static {
		rel, err := place(a.base, static)
		if err != nil {
			return nil, fmt.Errorf("bundle function %s: static file: %w", f.Slug, err)
		}
		if err := copyOwn(f, static, filepath.Join(a.tree, rel)); err != nil {
			return nil, fmt.Errorf("bundle function %s: static file: %w", f.Slug, err)
		}
		made.Inputs = append(made.Inputs, static)
	}
	made.Inputs = append(made.Inputs, f.Entrypoint)
	for _, extra := range []string{f.Imports.File(), f.NPMRC, lockFile(f)} {
		if extra != "" {
			made.Inputs = append(made.Inputs, extra)
		}
	}
	made.Inputs = sorted(made.Inputs)
	var err error
	if made.Digest, made.Size, err = digest(a.tree); err != nil {
		return nil, fmt.Errorf("bundle function %s: %w", f.Slug, err)
	}
	made.Name = a.secretName(made.Digest)
	made.Dir = filepath.Join(BundleDir(a.opts.DataDir), made.Name)
	made.Module = filepath.Join(made.Dir, a.entry)
	if made.Unbundled.CacheDir != "" {
		made.Unbundled.Config = moved(made.Unbundled.Config, a.tree, made.Dir)
		made.Unbundled.ImportMap = moved(made.Unbundled.ImportMap, a.tree, made.Dir)
		made.Unbundled.OwnDir = a.ownDir(f)
	}
	err = os.Rename(a.tree, made.Dir)
	if err != nil && !errors.Is(err, fs.ErrExist) && !isNotEmpty(err) {
		return nil, fmt.Errorf("store bundle of function %s: %w; check the space and rights of %s, or choose another --data-dir", f.Slug, err, a.opts.DataDir)
	}
	return made, nil // the same content was there already
}

// secretName names what belongs to a bundle: equal content has one name, which
// is known to nobody without the installation's salt.
func (b *Builder) secretName(content string) string {
	mac := hmac.New(sha256.New, b.salt)
	mac.Write([]byte(content))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// ownDir is where Deno keeps what it makes of a function that runs from source,
// one version after the other. Its name says nothing to those who know names of
// bundles, which are in the command lines of workers.
func (b *Builder) ownDir(f *function.Function) string {
	return filepath.Join(ownDirs(b.opts.DataDir), b.secretName(fmt.Sprintf("own %q %q", f.Slug, f.Entrypoint)))
}

func moved(file, from, to string) string {
	if file == "" {
		return ""
	}
	return to + strings.TrimPrefix(file, from)
}

// place is where a file lies in a bundle: as it lies in the project, so that
// paths relative to import.meta.url hold.
func place(base, file string) (string, error) {
	if !within(base, file) {
		return "", fmt.Errorf("%s is outside of %s; move it there or link it from there", file, base)
	}
	return filepath.Rel(base, file)
}

// digest sums up every file of a tree with its name.
func digest(tree string) (string, int64, error) {
	h := sha256.New()
	var size int64
	err := filepath.WalkDir(tree, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(tree, file)
		if err != nil {
			return err
		}
		sum, err := fileSum(file)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		size += info.Size()
		fmt.Fprintf(h, "%q %s\n", filepath.ToSlash(rel), sum)
		return nil
	})
	return hex.EncodeToString(h.Sum(nil)), size, err
}
