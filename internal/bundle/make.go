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
	stage, err := b.stage()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(stage)
	tree := filepath.Join(stage, "tree")
	base := filepath.Dir(f.Root)
	entry, err := place(base, f.Entrypoint)
	if err != nil {
		return nil, err
	}
	entry = strings.TrimSuffix(entry, filepath.Ext(entry)) + ".js"
	module := filepath.Join(tree, entry)
	if err := os.MkdirAll(filepath.Dir(module), 0o755); err != nil {
		return nil, fmt.Errorf("bundle function %s: %w", f.Slug, err)
	}
	a, err := b.begin(f, stage)
	if err != nil {
		return nil, err
	}
	defer a.end()
	args := []string{"bundle", "--minify", "--keep-names", "--sourcemap=linked", "--output=" + module}
	for _, external := range typeOnlyExternals {
		args = append(args, "--external="+external)
	}
	modules, err := a.walled(ctx, func() error { return a.run(ctx, nil, a.main, args...) })
	if err != nil {
		return nil, err
	}
	sources, err := b.finishModule(f, tree, module, a.main)
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
	return b.finish(f, made, tree, entry, base)
}

// finish adds what every bundle has, and moves it to its place.
func (b *Builder) finish(f *function.Function, made *Bundle, tree, entry, base string) (*Bundle, error) {
	for _, static := range f.Static {
		rel, err := place(base, static)
		if err != nil {
			return nil, fmt.Errorf("bundle function %s: static file: %w", f.Slug, err)
		}
		if err := copyOwn(f, static, filepath.Join(tree, rel)); err != nil {
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
	if made.Digest, made.Size, err = digest(tree); err != nil {
		return nil, fmt.Errorf("bundle function %s: %w", f.Slug, err)
	}
	mac := hmac.New(sha256.New, b.salt)
	mac.Write([]byte(made.Digest))
	made.Name = hex.EncodeToString(mac.Sum(nil)[:16])
	made.Dir = filepath.Join(BundleDir(b.opts.DataDir), made.Name)
	made.Module = filepath.Join(made.Dir, entry)
	if made.Unbundled.CacheDir != "" {
		made.Unbundled.Config = moved(made.Unbundled.Config, tree, made.Dir)
		made.Unbundled.ImportMap = moved(made.Unbundled.ImportMap, tree, made.Dir)
	}
	err = os.Rename(tree, made.Dir)
	if err != nil && !errors.Is(err, fs.ErrExist) && !isNotEmpty(err) {
		return nil, fmt.Errorf("store bundle of function %s: %w; check the space and rights of %s, or choose another --data-dir", f.Slug, err, b.opts.DataDir)
	}
	return made, nil // the same content was there already
}

func moved(file, from, to string) string {
	if file == "" {
		return ""
	}
	return to + strings.TrimPrefix(file, from)
}

// stage makes a folder on the same file system as the bundles.
func (b *Builder) stage() (string, error) {
	stage, err := os.MkdirTemp(b.opts.DataDir, ".stage-")
	if err == nil {
		// Deno resolves links in what it reports, so there must be none.
		stage, err = filepath.EvalSymlinks(stage)
	}
	if err == nil {
		err = os.Mkdir(filepath.Join(stage, "tree"), 0o755)
	}
	if err != nil {
		return "", fmt.Errorf("prepare bundle: %w; check the space and rights of %s, or choose another --data-dir", err, b.opts.DataDir)
	}
	return stage, nil
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
