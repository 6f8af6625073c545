package bundle

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/selvedge-dev/selvedge/internal/function"
)

// environ is the bundler's environment without what would change its output
// or where it puts it, and with what has it use the registry that npm would.
//
// Deno reads the .npmrc beside the deno.json or package.json in force and the
// one in HOME, but not those in other folders on the way up. The one in force
// is therefore given to it in a HOME of its own, after the user's, whose
// settings it overrides. Of the variables it knows only NPM_CONFIG_REGISTRY.
func (b *Builder) environ(f *function.Function, scratch string) ([]string, error) {
	var env []string
	for _, kv := range b.opts.Environ {
		switch name, _, _ := strings.Cut(kv, "="); name {
		case "DENO_DIR", "NO_COLOR", "FORCE_COLOR", "DENO_V8_FLAGS", "DENO_NO_UPDATE_CHECK":
		case "NPM_CONFIG_REGISTRY", "npm_config_registry":
		case "HOME":
			if f.NPMRC == "" {
				env = append(env, kv)
			}
		default:
			env = append(env, kv)
		}
	}
	if registry := b.defaultRegistry(); registry != "" {
		env = append(env, "NPM_CONFIG_REGISTRY="+registry)
	}
	if f.NPMRC == "" {
		return env, nil
	}
	rc, err := b.npmrc(f)
	if err == nil {
		err = os.WriteFile(filepath.Join(scratch, ".npmrc"), rc, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("prepare bundle of function %s: %w", f.Slug, err)
	}
	return append(env, "HOME="+scratch), nil
}

// npmrc returns the user's settings and the function's, which come later and
// so win.
func (b *Builder) npmrc(f *function.Function) ([]byte, error) {
	var users, own []byte
	if home := b.lookup("HOME"); home != "" {
		users, _ = os.ReadFile(filepath.Join(home, ".npmrc")) // most have none
	}
	if f.NPMRC != "" {
		var err error
		if own, err = os.ReadFile(f.NPMRC); err != nil {
			return nil, err
		}
	}
	return slices.Concat(users, []byte("\n"), own, []byte("\n")), nil
}

func (b *Builder) defaultRegistry() string {
	return cmp.Or(b.lookup("NPM_CONFIG_REGISTRY"), b.lookup("npm_config_registry"))
}

// lookup returns a variable of the bundler's environment, "" for none. As in
// exec.Cmd the last one counts.
func (b *Builder) lookup(name string) string {
	for _, kv := range slices.Backward(b.opts.Environ) {
		if n, v, _ := strings.Cut(kv, "="); n == name {
			return v
		}
	}
	return ""
}

// registries returns the settings of .npmrc that say where packages come from,
// and none of the credentials beside them: the package cache is laid out by
// registry, and a worker has to find packages in it.
func (b *Builder) registries(f *function.Function) (string, error) {
	rc, err := b.npmrc(f)
	if err != nil {
		return "", fmt.Errorf("copy function %s: %w", f.Slug, err)
	}
	var out strings.Builder
	if registry := b.defaultRegistry(); registry != "" {
		fmt.Fprintf(&out, "registry=%s\n", withoutUser(registry))
	}
	for _, m := range registryLine.FindAllSubmatch(rc, -1) {
		fmt.Fprintf(&out, "%s=%s\n", m[1], withoutUser(os.Expand(string(m[2]), b.lookup)))
	}
	return out.String(), nil
}

func withoutUser(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	u.User = nil
	return u.String()
}
