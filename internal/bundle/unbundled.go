package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/function"
)

// unbundled copies the function's folder and the shared ones beside it, and
// downloads its packages.
func (b *Builder) unbundled(ctx context.Context, f *function.Function) (*Bundle, error) {
	a, err := b.begin(f)
	if err != nil {
		return nil, err
	}
	defer a.end()
	made := &Bundle{Packages: true, Unbundled: deno.Unbundled{CacheDir: PackageCache(b.opts.DataDir)}}
	folders := []string{f.Dir}
	shared, err := filepath.Glob(filepath.Join(f.Root, "_*"))
	if err != nil {
		return nil, err
	}
	for _, dir := range append(folders, shared...) {
		copied, err := copySource(f, a.base, dir, a.tree)
		if err != nil {
			return nil, fmt.Errorf("copy function %s: %w", f.Slug, err)
		}
		made.Inputs = append(made.Inputs, copied...)
	}
	if file := f.Imports.File(); file != "" {
		rel, err := place(a.base, file)
		if err != nil {
			return nil, err
		}
		at := filepath.Join(a.tree, rel)
		if err := copyFile(file, at); err != nil { // see checkOwn
			return nil, fmt.Errorf("copy function %s: %w", f.Slug, err)
		}
		switch {
		case f.Imports.ImportMap != "":
			made.Unbundled.ImportMap = at
		case f.Imports.DenoConfig != "":
			made.Unbundled.Config = at
		default:
			// Deno finds a package.json only from the main module, which is
			// the bootstrap, or beside a configuration it is given.
			made.Unbundled.Config = filepath.Join(filepath.Dir(at), "deno.json")
			if err := os.WriteFile(made.Unbundled.Config, []byte("{}\n"), 0o644); err != nil {
				return nil, fmt.Errorf("copy function %s: %w", f.Slug, err)
			}
		}
	}
	if made.Unbundled.Registries, err = b.registries(f); err != nil {
		return nil, err
	}
	_, err = a.walled(ctx, func() error { return a.run(ctx, nil, filepath.Join(a.tree, a.entry), "cache") })
	if err != nil {
		var fault *sourceFault
		if errors.As(err, &fault) {
			for from, to := range map[string]string{a.tree: a.base, fileURL(a.tree): fileURL(a.base)} {
				fault.output = strings.ReplaceAll(fault.output, from, to)
			}
			return nil, fault.bootError(f)
		}
		return nil, err
	}
	return a.finish(made)
}

// copySource copies a folder without what is not source, blanking imports of
// types only, and returns the paths of the files copied.
func copySource(f *function.Function, base, dir, tree string) ([]string, error) {
	var copied []string
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	err = filepath.WalkDir(real, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if rel, err := filepath.Rel(real, file); err == nil {
			file = filepath.Join(dir, rel)
		}
		if d.IsDir() {
			if name := d.Name(); file != dir && (name == "node_modules" || strings.HasPrefix(name, ".")) {
				return filepath.SkipDir
			}
			return nil
		}
		if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() || strings.HasPrefix(d.Name(), ".env") || d.Name() == ".npmrc" {
			return nil // a link to a folder, or to nothing
		}
		rel, err := place(base, file)
		if err != nil {
			return err
		}
		copied = append(copied, file)
		to := filepath.Join(tree, rel)
		switch filepath.Ext(file) {
		case ".ts", ".tsx", ".js", ".jsx", ".mjs", ".mts":
			in, err := openOwn(f, file)
			if err != nil {
				return err
			}
			defer in.Close()
			src, err := io.ReadAll(in)
			if err != nil {
				return err
			}
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				return err
			}
			return os.WriteFile(to, answerMetaMain(blankTypeOnly(src)), 0o644)
		default:
			return copyOwn(f, file, to)
		}
	})
	return copied, err
}

// copyOwn copies a file that must lie within the function.
func copyOwn(f *function.Function, from, to string) error {
	in, err := openOwn(f, from)
	if err != nil {
		return err
	}
	defer in.Close()
	return copyTo(in, to)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	return copyTo(in, to)
}

func copyTo(in io.Reader, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
