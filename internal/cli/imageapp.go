package cli

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/selvedge-dev/selvedge/internal/bundle"
	"github.com/selvedge-dev/selvedge/internal/config"
	"github.com/selvedge-dev/selvedge/internal/deno/release"
	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/image"
	"github.com/selvedge-dev/selvedge/internal/npmrc"
)

// mostFunctionLayers bounds the layers of functions; Docker stacks no more than
// 127 in all. Where there are more functions, some share a layer.
const mostFunctionLayers = 64

// An app is what is the same on every platform: the functions, prebuilt.
type app struct {
	dir       string // temporary
	count     int    // of functions
	binary    release.Binary
	runtime   []image.Entry // what all functions share
	project   []image.Entry
	packages  []image.Entry
	functions map[string][]image.Entry // by the layer's name
	npm       []bundle.Package
}

func (a *app) remove() { os.RemoveAll(a.dir) }

// stageApp builds the functions and sorts what is part of them into layers.
func stageApp(ctx context.Context, s Streams, cfg *config.Config, warm bool) (*app, error) {
	set, project, err := discover(s.Err, cfg)
	if err != nil {
		return nil, err
	}
	if len(set.Problems()) > 0 {
		return nil, errSilent // discover has said them
	}
	e, err := newEngine(ctx, s.Err, cfg)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	a := &app{binary: e.binary, count: set.Len(), functions: map[string][]image.Entry{}}
	if a.dir, err = os.MkdirTemp("", "selvedge-image-"); err != nil {
		return nil, err
	}
	if err := a.fill(ctx, s, cfg, e, set, project, warm); err != nil {
		a.remove()
		return nil, err
	}
	return a, nil
}

func (a *app) fill(ctx context.Context, s Streams, cfg *config.Config, e *engine, set *function.Set, project *config.Project, warm bool) error {
	export, err := e.builder.NewExport(filepath.Join(a.dir, "data"))
	if err != nil {
		return err
	}
	rows, err := exportAll(ctx, e, cfg, project, set.Functions(), export, warm)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	// The table is about this command's progress; its own data is the digest.
	if err := printBundles(Streams{Out: s.Err, Err: s.Err}, rows, false); err != nil {
		return err
	}
	if slices.ContainsFunc(rows, func(r bundleRow) bool { return r.Error != "" }) {
		return errSilent
	}
	if err := export.Finish(ctx, false); err != nil {
		return err
	}
	for i, f := range set.Functions() {
		if !usesPackages(export.Dir, rows[i].Slug) {
			continue
		}
		found, err := e.builder.Packages(ctx, f)
		if err != nil {
			return fmt.Errorf("list the packages of function %s: %w", f.Slug, err)
		}
		a.npm = append(a.npm, found...)
	}
	if err := a.sortData(export.Dir); err != nil {
		return err
	}
	a.sortSources(cfg, set, export.Sources())
	return a.addProject(cfg)
}

// layerOf names the layer that a function is in.
func (a *app) layerOf(slug string, count int) string {
	if count <= mostFunctionLayers {
		return "function " + slug
	}
	h := fnv.New32a()
	io.WriteString(h, slug)
	return fmt.Sprintf("functions, part %02d", h.Sum32()%mostFunctionLayers)
}

type exportedRecord struct {
	Name     string `json:"name"`
	Packages bool   `json:"packages"`
}

func readExported(data, slug string) (exportedRecord, error) {
	var r exportedRecord
	raw, err := os.ReadFile(filepath.Join(data, "index", slug+".json"))
	if err == nil {
		err = json.Unmarshal(raw, &r)
	}
	return r, err
}

func usesPackages(data, slug string) bool {
	r, err := readExported(data, slug)
	return err == nil && r.Packages
}

// sortData sorts the prebuilt folder.
func (a *app) sortData(data string) error {
	records, err := os.ReadDir(filepath.Join(data, "index"))
	if err != nil {
		return err
	}
	closed := image.Dir("app/data/bundles", 0o711) // nobody but root lists it
	for _, record := range records {
		slug := strings.TrimSuffix(record.Name(), ".json")
		r, err := readExported(data, slug)
		if err != nil {
			return err
		}
		files, err := image.Tree(filepath.Join(data, "bundles", r.Name), "app/data/bundles/"+r.Name)
		if err != nil {
			return err
		}
		layer := a.layerOf(slug, len(records))
		a.functions[layer] = append(a.functions[layer], closed,
			image.Entry{Path: "app/data/index/" + record.Name(), Mode: 0o644, From: filepath.Join(data, "index", record.Name())})
		a.functions[layer] = append(a.functions[layer], files...)
	}
	a.runtime = []image.Entry{{Path: "app/data/prebuilt.json", Mode: 0o644, From: filepath.Join(data, "prebuilt.json")}, closed, image.Dir("app/functions", 0o755)}
	for name, list := range map[string]*[]image.Entry{"runtime": &a.runtime, "packages": &a.packages} {
		if _, err := os.Stat(filepath.Join(data, name)); err != nil {
			continue
		}
		files, err := image.Tree(filepath.Join(data, name), "app/data/"+name)
		if err != nil {
			return err
		}
		*list = append(*list, files...)
	}
	return nil
}

// sortSources sorts the files that functions are discovered by and made from.
func (a *app) sortSources(cfg *config.Config, set *function.Set, sources []string) {
	base := filepath.Dir(cfg.Functions)
	for _, file := range sources {
		name := filepath.Base(file)
		if strings.HasPrefix(name, ".env") || name == ".npmrc" || file == cfg.ProjectFile {
			continue
		}
		rel, err := filepath.Rel(base, file)
		if err != nil {
			continue
		}
		parts := strings.Split(filepath.ToSlash(rel), "/")
		parts[0] = "functions" // whatever the folder is called here
		if !strings.HasPrefix(filepath.ToSlash(rel), filepath.Base(cfg.Functions)+"/") {
			parts = strings.Split(filepath.ToSlash(rel), "/")
		}
		entry := image.Entry{Path: path.Join(append([]string{"app"}, parts...)...), Mode: 0o644, From: file}
		layer := &a.project
		if len(parts) > 2 && parts[0] == "functions" {
			if _, is := set.Lookup(parts[1]); is {
				name := a.layerOf(parts[1], set.Len())
				a.functions[name] = append(a.functions[name], entry)
				continue
			}
		}
		*layer = append(*layer, entry)
	}
}

// projectKeys are the parts of config.toml that are about functions; the rest
// is about services that the image has not, with their secrets.
var projectKeys = []string{"project_id", "edge_runtime", "functions"}

// addProject adds config.toml where a server looks for it.
func (a *app) addProject(cfg *config.Config) error {
	if cfg.ProjectFile == "" {
		return nil
	}
	var all map[string]any
	if _, err := toml.DecodeFile(cfg.ProjectFile, &all); err != nil {
		return err
	}
	maps.DeleteFunc(all, func(key string, _ any) bool { return !slices.Contains(projectKeys, key) })
	var out bytes.Buffer
	if err := toml.NewEncoder(&out).Encode(all); err != nil {
		return fmt.Errorf("copy config.toml: %w", err)
	}
	base := filepath.Dir(cfg.Functions)
	for place, at := range map[string]string{
		base: "app/config.toml", filepath.Join(base, "supabase"): "app/supabase/config.toml", filepath.Dir(base): "config.toml",
	} {
		if filepath.Dir(cfg.ProjectFile) == place {
			a.project = append(a.project, image.Entry{Path: at, Mode: 0o644, Content: out.Bytes()})
			return nil
		}
	}
	return usage(fmt.Errorf("%s is neither beside nor above %s, and its paths would mean something else in the image; move it there", cfg.ProjectFile, cfg.Functions))
}

// image puts the app onto a platform.
func (a *app) image(ctx context.Context, s Streams, cfg *config.Config, f imageFlags, p release.Platform, created time.Time) (v1.Image, error) {
	denoPath := a.binary.Path
	version := a.binary.Version
	if p != release.HostPlatform() {
		npm, err := npmrc.Load(npmrc.Options{ProjectDir: cfg.Functions})
		if err != nil {
			return nil, usage(err)
		}
		other, err := release.Ensure(ctx, release.Options{DataDir: cfg.DataDir, Platform: p, NPM: npm, Progress: release.ProgressBar(s.Err)})
		if err != nil {
			return nil, err
		}
		denoPath, version = other.Path, other.Version
	}
	own, err := a.program(ctx, s.Err, f, p)
	if err != nil {
		return nil, err
	}
	info, err := buildinfo.ReadFile(own)
	if err != nil {
		return nil, usage(fmt.Errorf("%s is no Go program: %w; give the selvedge of %s with --binary", own, err, p))
	}
	for _, setting := range info.Settings {
		if want := map[string]string{"GOOS": p.OS, "GOARCH": p.Arch}[setting.Key]; want != "" && setting.Value != want {
			return nil, usage(fmt.Errorf("%s is for %s=%s; give the selvedge of %s with --binary", own, setting.Key, setting.Value, p))
		}
	}
	sbom, err := image.SBOM(a.components(info, version), created)
	if err != nil {
		return nil, err
	}

	spec := image.Spec{
		Platform: v1.Platform{OS: p.OS, Architecture: p.Arch}, Created: created,
		Env: []string{"HOME=/tmp", "SELVEDGE_DENO=/usr/local/bin/deno", "SELVEDGE_PREBUILT=/app/data", "DENO_TLS_CA_STORE=mozilla,system"},
		Labels: map[string]string{
			"org.opencontainers.image.title":       "Selvedge",
			"org.opencontainers.image.description": "Supabase Edge Functions on supervised Deno processes",
			"org.opencontainers.image.licenses":    "MIT",
			"org.opencontainers.image.version":     currentVersion(),
		},
	}
	if f.base == "host" {
		base, err := image.HostBase("/", p.Arch)
		if err != nil {
			return nil, usage(err)
		}
		spec.Layers = append(spec.Layers, base)
		spec.Env = append([]string{"PATH=/usr/local/bin:/usr/bin:/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"}, spec.Env...)
	} else {
		base, digest, err := image.Pull(ctx, f.base, spec.Platform)
		if err != nil {
			return nil, err
		}
		spec.Base = base
		spec.Annotations = map[string]string{"org.opencontainers.image.base.name": f.base, "org.opencontainers.image.base.digest": digest}
	}
	spec.Layers = append(spec.Layers,
		image.Layer{Comment: "Deno " + version, Entries: []image.Entry{{Path: "usr/local/bin/deno", Mode: 0o755, From: denoPath}}},
		image.Layer{Comment: "Selvedge", Entries: []image.Entry{{Path: "usr/local/bin/selvedge", Mode: 0o755, From: own}}},
		image.Layer{Comment: "what all functions share", Entries: a.runtime})
	if len(a.packages) > 0 {
		spec.Layers = append(spec.Layers, image.Layer{Comment: "packages", Entries: a.packages})
	}
	spec.Layers = append(spec.Layers, image.Layer{Comment: "list of components", Entries: []image.Entry{
		{Path: "usr/local/share/sbom/selvedge.spdx.json", Mode: 0o644, Content: sbom},
	}})
	if len(a.project) > 0 {
		spec.Layers = append(spec.Layers, image.Layer{Comment: "project", Entries: a.project})
	}
	for _, name := range slices.Sorted(maps.Keys(a.functions)) {
		spec.Layers = append(spec.Layers, image.Layer{Comment: name, Entries: a.functions[name]})
	}
	return image.Build(spec)
}

// components are what an image has in it, besides its base.
func (a *app) components(info *buildinfo.BuildInfo, denoVersion string) []image.Component {
	list := []image.Component{
		{Name: "selvedge", Version: currentVersion(), PURL: "pkg:golang/" + info.Main.Path + "@" + currentVersion()},
		{Name: "deno", Version: denoVersion, PURL: "pkg:github/denoland/deno@v" + denoVersion},
		{Name: "go", Version: strings.TrimPrefix(info.GoVersion, "go"), PURL: "pkg:golang/stdlib@" + strings.TrimPrefix(info.GoVersion, "go")},
	}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		list = append(list, image.Component{Name: m.Path, Version: m.Version, PURL: "pkg:golang/" + m.Path + "@" + m.Version})
	}
	seen := map[string]bool{}
	var npm []image.Component
	for _, p := range a.npm {
		if id := p.Name + "@" + p.Version; !seen[id] {
			seen[id] = true
			npm = append(npm, image.Component{Name: p.Name, Version: p.Version, PURL: "pkg:npm/" + strings.Replace(id, "@", "%40", strings.Count(p.Name, "@"))})
		}
	}
	slices.SortFunc(npm, func(a, b image.Component) int { return strings.Compare(a.PURL, b.PURL) })
	return append(list, npm...)
}

// program is the selvedge for a platform: the one that was given, this one, or
// one compiled from the source tree around the current folder.
func (a *app) program(ctx context.Context, w io.Writer, f imageFlags, p release.Platform) (string, error) {
	for _, b := range f.binaries {
		if platform, file, _ := strings.Cut(b, "="); platform == p.String() {
			return filepath.Abs(file)
		}
	}
	if p == release.HostPlatform() {
		return os.Executable()
	}
	root, err := sourceTree()
	if err != nil {
		return "", usage(fmt.Errorf("this selvedge is for %s: give the one for %s with --binary %s=FILE, or run this in Selvedge's source tree with Go installed", release.HostPlatform(), p, p))
	}
	fmt.Fprintf(w, "%s: compiling selvedge from %s\n", p, root)
	out := filepath.Join(a.dir, "selvedge-"+p.Arch)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-pgo=cmd/selvedge/serve.pgo", "-ldflags=-s -w", "-o", out, "./cmd/selvedge")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.OS, "GOARCH="+p.Arch)
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("compile selvedge for %s on %s: %w\n%s", p, runtime.GOARCH, err, text)
	}
	return out, nil
}

// sourceTree finds Selvedge's module around the current folder.
func sourceTree() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		raw, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(raw, []byte("module github.com/selvedge-dev/selvedge\n")) {
			return dir, nil
		}
		if filepath.Dir(dir) == dir {
			return "", errors.New("not found")
		}
		dir = filepath.Dir(dir)
	}
}
