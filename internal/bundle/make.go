package bundle

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/selvedge-dev/selvedge/internal/deno"
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
	scratch, err := b.scratch()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	resolve, err := resolveArgs(f, scratch)
	if err != nil {
		return nil, fmt.Errorf("bundle function %s: %w", f.Slug, err)
	}
	args := append([]string{"bundle", "--minify", "--keep-names", "--sourcemap=linked", "--output=" + module}, resolve...)
	for _, external := range typeOnlyExternals {
		args = append(args, "--external="+external)
	}
	main, err := mainModule(f, scratch)
	if err != nil {
		return nil, fmt.Errorf("bundle function %s: %w", f.Slug, err)
	}
	if err := b.run(ctx, f, scratch, append(args, main)...); err != nil {
		return nil, err
	}
	sources, err := b.finishModule(f, tree, module, main)
	if err != nil {
		return nil, fmt.Errorf("bundle function %s: %w", f.Slug, err)
	}
	made := &Bundle{Packages: sources.packages}
	made.Inputs = append(made.Inputs, sources.local...)
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
		if err := copyFile(static, filepath.Join(tree, rel)); err != nil {
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
		return nil, fmt.Errorf("store bundle of function %s: %w", f.Slug, err)
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
	stage, err := os.MkdirTemp(BundleDir(b.opts.DataDir), ".stage-")
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

// scratch makes a folder for what the bundler needs and no worker may see:
// workers can read everything below the bundles' folder.
func (b *Builder) scratch() (string, error) {
	dir, err := os.MkdirTemp(b.opts.DataDir, ".build-")
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return "", fmt.Errorf("prepare bundle: %w; check the space and rights of %s, or choose another --data-dir", err, b.opts.DataDir)
	}
	return dir, nil
}

// mainModule is what the bundler starts from: the entrypoint, or where that is
// reached through a link, a module that imports it. The bundler follows the
// link of its main module only, and ../_shared would be looked for beside the
// link's target.
func mainModule(f *function.Function, scratch string) (string, error) {
	l, err := newLinks(f)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(f.Entrypoint)
	if err != nil {
		return "", err
	}
	if rel, err := filepath.Rel(l.base, f.Entrypoint); err == nil && filepath.Join(l.realBase, rel) == real {
		return f.Entrypoint, nil
	}
	// A function without a default export gets one that is undefined.
	specifier, err := json.Marshal(fileURL(f.Entrypoint))
	if err != nil {
		return "", err
	}
	file := filepath.Join(scratch, "main.js")
	text := fmt.Sprintf("import * as module from %s;\nexport default module.default;\n", specifier)
	return file, os.WriteFile(file, []byte(text), 0o600)
}

func fileURL(path string) string { return (&url.URL{Scheme: "file", Path: path}).String() }

// links maps the paths that Deno reports, in which some links are resolved,
// back to those of the project.
type links struct{ base, realBase, dir, realDir string }

func newLinks(f *function.Function) (links, error) {
	l := links{base: filepath.Dir(f.Root), dir: f.Dir}
	var err error
	if l.realBase, err = filepath.EvalSymlinks(l.base); err != nil {
		return l, err
	}
	l.realDir, err = filepath.EvalSymlinks(f.Dir)
	return l, err
}

func (l links) project(path string) string {
	for _, m := range [...]struct{ from, to string }{{l.base, l.base}, {l.dir, l.dir}, {l.realBase, l.base}, {l.realDir, l.dir}} {
		if within(m.from, path) {
			rel, err := filepath.Rel(m.from, path)
			if err == nil {
				return filepath.Join(m.to, rel)
			}
		}
	}
	return path
}

// place is where a file lies in a bundle: as it lies in the project, so that
// paths relative to import.meta.url hold.
func place(base, file string) (string, error) {
	if !within(base, file) {
		return "", fmt.Errorf("%s is outside of %s; move it there or link it from there", file, base)
	}
	return filepath.Rel(base, file)
}

// sources are the files that a source map names.
type sources struct {
	local []string // absolute paths
	// read has the SHA-256 of what the bundler read of them, where the map
	// holds it.
	read     map[string]string
	packages bool // npm packages are among the others
}

// finishModule rewrites the module and its source map: leftover imports of
// types go, and sources are named as they lie in the project, which makes
// stack traces short and the bundle the same on every machine.
func (b *Builder) finishModule(f *function.Function, tree, module, main string) (sources, error) {
	found := sources{read: map[string]string{}}
	links, err := newLinks(f)
	if err != nil {
		return found, err
	}
	cache, err := filepath.EvalSymlinks(PackageCache(b.opts.DataDir))
	if err != nil {
		return found, err
	}
	code, err := os.ReadFile(module)
	if err != nil {
		return found, err
	}
	if err := os.WriteFile(module, provideRequire(restoreColumns(answerMetaMain(blankTypeOnly(code)))), 0o644); err != nil {
		return found, err
	}
	raw, err := os.ReadFile(module + ".map")
	if err != nil {
		return found, err
	}
	var m map[string]json.RawMessage
	var names []string
	var contents []*string
	if err := errors.Join(json.Unmarshal(raw, &m), json.Unmarshal(m["sources"], &names), json.Unmarshal(m["sourcesContent"], &contents)); err != nil {
		return found, fmt.Errorf("read source map: %w", err)
	}
	base := filepath.Dir(f.Root)
	folder := filepath.Dir(module)
	for i, name := range names {
		if strings.Contains(name, "://") {
			continue
		}
		abs := sourcePath(folder, name)
		if abs == main && main != f.Entrypoint {
			names[i] = "main.js"
			continue
		}
		abs = links.project(abs)
		virtual := ""
		switch {
		case within(filepath.Join(cache, "npm"), abs):
			found.packages = true
			rel, _ := filepath.Rel(filepath.Join(cache, "npm"), abs)
			virtual = "npm/" + filepath.ToSlash(rel)
			if i < len(contents) {
				contents[i] = nil // nobody debugs it here, and it is most of the map
			}
		case within(cache, abs):
			rel, _ := filepath.Rel(cache, abs)
			virtual = "cache/" + filepath.ToSlash(rel)
		case within(base, abs):
			found.local = append(found.local, abs)
			rel, _ := filepath.Rel(base, abs)
			virtual = filepath.ToSlash(rel)
		default:
			found.local = append(found.local, abs)
			virtual = "outside/" + filepath.Base(abs)
		}
		if i < len(contents) && contents[i] != nil && !within(cache, abs) {
			sum := sha256.Sum256([]byte(*contents[i]))
			found.read[abs] = hex.EncodeToString(sum[:])
		}
		inTree, _ := filepath.Rel(tree, folder)
		names[i] = relativeSlash(filepath.ToSlash(inTree), virtual)
	}
	if m["sources"], err = json.Marshal(names); err != nil {
		return found, err
	}
	if m["sourcesContent"], err = json.Marshal(contents); err != nil {
		return found, err
	}
	if raw, err = json.Marshal(m); err != nil {
		return found, err
	}
	return found, os.WriteFile(module+".map", raw, 0o644)
}

// sourcePath is the file that a source map's name means. Names are escaped as
// in a URL, spaces excepted.
func sourcePath(folder, name string) string {
	plain, err := url.PathUnescape(name)
	if err != nil {
		plain = name
	}
	path := filepath.Join(folder, filepath.FromSlash(plain))
	if _, err := os.Lstat(path); err != nil && plain != name {
		return filepath.Join(folder, filepath.FromSlash(name))
	}
	return path
}

// relativeSlash is the slash path from folder to target, both relative to the
// same root.
func relativeSlash(folder, target string) string {
	rel, err := filepath.Rel(filepath.FromSlash(folder), filepath.FromSlash(target))
	if err != nil {
		return target
	}
	return path.Clean(filepath.ToSlash(rel))
}

// unbundled copies the function's folder and the shared ones beside it, and
// downloads its packages.
func (b *Builder) unbundled(ctx context.Context, f *function.Function) (*Bundle, error) {
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
	made := &Bundle{Packages: true, Unbundled: deno.Unbundled{CacheDir: PackageCache(b.opts.DataDir)}}
	folders := []string{f.Dir}
	shared, err := filepath.Glob(filepath.Join(f.Root, "_*"))
	if err != nil {
		return nil, err
	}
	for _, dir := range append(folders, shared...) {
		copied, err := copySource(base, dir, tree)
		if err != nil {
			return nil, fmt.Errorf("copy function %s: %w", f.Slug, err)
		}
		made.Inputs = append(made.Inputs, copied...)
	}
	if file := f.Imports.File(); file != "" {
		rel, err := place(base, file)
		if err != nil {
			return nil, err
		}
		at := filepath.Join(tree, rel)
		if err := copyFile(file, at); err != nil {
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
	scratch, err := b.scratch()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	resolve, err := resolveArgs(f, scratch)
	if err != nil {
		return nil, fmt.Errorf("copy function %s: %w", f.Slug, err)
	}
	args := append([]string{"cache"}, resolve...)
	if err := b.run(ctx, f, scratch, append(args, filepath.Join(tree, entry))...); err != nil {
		var fault *sourceFault
		if errors.As(err, &fault) {
			for from, to := range map[string]string{tree: base, fileURL(tree): fileURL(base)} {
				fault.output = strings.ReplaceAll(fault.output, from, to)
			}
			return nil, fault.bootError(f)
		}
		return nil, err
	}
	return b.finish(f, made, tree, entry, base)
}

// copySource copies a folder without what is not source, blanking imports of
// types only, and returns the paths of the files copied.
func copySource(base, dir, tree string) ([]string, error) {
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
		if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() || strings.HasPrefix(d.Name(), ".env") {
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
			src, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				return err
			}
			return os.WriteFile(to, answerMetaMain(blankTypeOnly(src)), 0o644)
		default:
			return copyFile(file, to)
		}
	})
	return copied, err
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
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
