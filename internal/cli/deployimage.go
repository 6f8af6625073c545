package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/selvedge-dev/selvedge/internal/auth"
	"github.com/selvedge-dev/selvedge/internal/config"
	"github.com/selvedge-dev/selvedge/internal/deno/release"
	"github.com/selvedge-dev/selvedge/internal/deploy"
	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/image"
)

// deployImages makes the image of a deploy as `selvedge image` does.
type deployImages struct {
	s     Streams
	cfg   *config.Config
	flags imageFlags
	p     *progress
}

// platforms of ECS's architectures.
var taskPlatforms = map[string]release.Platform{
	"X86_64": {OS: "linux", Arch: "amd64"},
	"ARM64":  {OS: "linux", Arch: "arm64"},
}

// Make implements deploy.Imager.
func (d *deployImages) Make(ctx context.Context, architecture string) (deploy.Image, error) {
	platform, ok := taskPlatforms[architecture]
	if !ok {
		return nil, &deploy.Problem{What: fmt.Sprintf("no image is made for cpu_architecture %q", architecture), Usage: true, Next: []string{"write X86_64 or ARM64"}}
	}
	if d.flags.base == "host" && platform != release.HostPlatform() {
		return nil, &deploy.Problem{What: fmt.Sprintf("--base host makes an image for %s, and the tasks are %s", release.HostPlatform(), architecture), Usage: true,
			Next: []string{"name a base image with --base", "or choose the processor of this machine with cpu_architecture"}}
	}
	created, err := sourceDate()
	if err != nil {
		return nil, err
	}
	lines := &lineWriter{p: d.p}
	defer lines.flush()
	s := Streams{Out: io.Discard, Err: lines}
	staged, err := stageApp(ctx, s, d.cfg, !d.flags.noWarm)
	if err != nil {
		if errors.Is(err, errSilent) {
			err = &deploy.Problem{What: "the functions cannot be built; the lines above say why"}
		}
		return nil, err
	}
	img, err := staged.image(ctx, s, d.cfg, d.flags, platform, created)
	if err != nil {
		staged.remove()
		return nil, err
	}
	made := &deployImage{app: staged, artifact: image.Artifact{Image: img}}
	digest, err := img.Digest()
	if err == nil {
		made.digest = digest.String()
		made.size, err = image.CompressedSize(img)
	}
	if err != nil {
		staged.remove()
		return nil, fmt.Errorf("make the image: %w", err)
	}
	return made, nil
}

// A deployImage is an image that is made and not pushed.
type deployImage struct {
	app      *app
	artifact image.Artifact
	digest   string
	size     int64
}

func (d *deployImage) Digest() string { return d.digest }

func (d *deployImage) Describe() string {
	return fmt.Sprintf("%s, %s, %s", d.digest[:len("sha256:")+12], functions(d.app.count), size(d.size))
}

func (d *deployImage) Push(ctx context.Context, to deploy.Destination, tag string, progress func(done, total int64)) error {
	return d.artifact.Push(ctx, to.Host+"/"+to.Repository+":"+tag, image.PushOptions{User: to.User, Password: to.Password, Insecure: to.Insecure, Progress: progress})
}

func (d *deployImage) Close() { d.app.remove() }

// deployKeys reads the project's keys from the environment and the .env file of
// the project, which lies beside the functions folder; --env-file names another.
func deployKeys(cfg *config.Config, named bool) (deploy.KeySource, error) {
	src := deploy.KeySource{Given: map[string]deploy.Value{}, Verify: verifyKeys}
	file := cfg.EnvFile
	if !named {
		file = ""
		beside := filepath.Dir(cfg.Functions)
		for _, dir := range []string{beside, filepath.Dir(beside)} {
			if dir != beside && filepath.Base(beside) != "supabase" {
				break // only supabase/functions has its project two folders up
			}
			if info, err := os.Stat(filepath.Join(dir, ".env")); err == nil && info.Mode().IsRegular() {
				file = filepath.Join(dir, ".env")
				break
			}
		}
	}
	if file != "" {
		values, err := function.ReadDotenv(file, file)
		if err != nil {
			return src, usage(err)
		}
		for _, name := range deploy.KeyVariables {
			if v := values[name]; v != "" {
				src.Given[name] = deploy.Value{Text: v, Origin: file}
			}
		}
	}
	if values, err := function.ReadDotenv(filepath.Join(cfg.Functions, ".env"), "functions/.env"); err == nil {
		for _, name := range slices.Sorted(maps.Keys(values)) {
			if !slices.Contains(deploy.KeyVariables, name) {
				src.Local = append(src.Local, name)
			}
		}
	}
	for _, name := range deploy.KeyVariables {
		if v := os.Getenv(name); v != "" {
			src.Given[name] = deploy.Value{Text: v, Origin: "$" + name}
		}
	}
	return src, nil
}

// verifyKeys sees whether the anon and service_role keys are what they should
// be under the others.
func verifyKeys(ctx context.Context, keys map[string]string) error {
	if keys["JWT_SECRET"] == auth.LocalJWTSecret {
		return errors.New("they are those of every local Supabase project, which everybody knows")
	}
	environ := map[string]string{}
	for _, name := range []string{"JWT_SECRET", "SUPABASE_JWKS", "SUPABASE_PUBLISHABLE_KEYS", "SUPABASE_SECRET_KEYS"} {
		environ[name] = keys[name]
	}
	o, err := keyOptions(environ)
	if err != nil {
		return err
	}
	o.Log = slog.New(slog.DiscardHandler)
	for _, k := range []struct{ variable, role string }{{"ANON_KEY", "anon"}, {"SERVICE_ROLE_KEY", "service_role"}} {
		e, err := explain(ctx, keys[k.variable], o)
		switch {
		case err != nil:
			return err
		case !e.Accepted:
			return fmt.Errorf("%s is refused: %s", k.variable, e.Reason)
		case e.Role != k.role:
			return fmt.Errorf("%s has the role %q, not %s", k.variable, e.Role, k.role)
		}
	}
	return nil
}

// A lineWriter hands lines to a progress.
type lineWriter struct {
	p  *progress
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lineWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Write(b)
	for {
		line, err := l.b.ReadString('\n')
		if err != nil {
			l.b.WriteString(line)
			return len(b), nil
		}
		l.p.Note(strings.TrimRight(line, "\r\n"))
	}
}

func (l *lineWriter) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len() > 0 {
		l.p.Note(l.b.String())
	}
}
