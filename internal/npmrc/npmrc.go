// Package npmrc reads .npmrc files and npm_config_ variables the way npm
// does: which registry serves a package, which credentials go to which URL,
// and through which proxy and certificates it is reached. What is not about
// reaching a registry is read over and ignored.
//
// The rules are those of npm 11: https://docs.npmjs.com/cli/v11/configuring-npm/npmrc
// for the files, https://docs.npmjs.com/cli/v11/using-npm/config for the keys.
package npmrc

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// DefaultRegistry is where packages come from when nothing is configured.
const DefaultRegistry = "https://registry.npmjs.org/"

// maxFileSize bounds a configuration file, in bytes. Real ones have a few
// hundred; a file past the bound was named by mistake.
const maxFileSize = 1 << 20

// Options say where Load looks.
type Options struct {
	// ProjectDir is where the search for the project's .npmrc begins; it goes
	// on through the folders above. "" means that there is no project.
	ProjectDir string
	// HomeDir holds the user's .npmrc and is what ~/ means in a path. "" means
	// HOME of Environ.
	HomeDir string
	// GlobalFile is the machine's npmrc. "" means npm_config_globalconfig,
	// then PREFIX/etc/npmrc, then the first that exists of the usual places
	// (/usr/local/etc, /opt/homebrew/etc, /usr/etc, /etc). npm itself derives
	// it from where node is installed, which nothing here knows.
	GlobalFile string
	// Environ is the environment as "KEY=value"; nil means os.Environ().
	Environ []string
}

// A Config is what npm would use to reach registries. It is immutable, safe
// for concurrent use, and masks credentials however it is printed.
type Config struct {
	values   map[string]value
	registry *url.URL
	scopes   map[string]*url.URL
	auth     map[string]string
	proxy    proxies
	env      environ
	files    []string
	warnings []string
}

// A value is one setting and the place that decided it.
type value struct {
	// list holds more than one element only for keys written as "key[]".
	list []string
	// origin is "FILE:LINE" or the environment variable's name.
	origin string
	// unset names a variable that the value refers to and that is not set.
	unset string
}

// text is the value as npm sees a key that is not a list.
func (v value) text() string { return v.list[len(v.list)-1] }

// set reports whether the value says anything: "null" and "false" are how a
// file takes back what a lower one said.
func (v value) set() bool {
	return len(v.list) > 0 && !slices.Contains([]string{"", "null", "undefined", "false"}, v.text())
}

// Load reads the environment and the project's, the user's and the global
// file; where several set a key, the earliest of these wins. Files that do not
// exist are as good as empty; files that may not be read are a warning.
//
// An *Error tells the file and line of a setting that cannot be used.
func Load(o Options) (*Config, error) {
	l := loader{Config: Config{values: map[string]value{}, env: parseEnviron(o.Environ)}, home: o.HomeDir}
	if l.home == "" {
		l.home = l.env["HOME"]
	}
	l.loadEnviron(o.Environ)

	user := ""
	if l.home != "" {
		user = filepath.Join(l.home, ".npmrc")
	}
	if v := l.values["userconfig"]; v.set() {
		user = l.path(v.text())
	}
	if project := findProject(o.ProjectDir, user); project != "" {
		if err := l.loadFile(project); err != nil {
			return nil, err
		}
	}
	if err := l.loadFile(user); err != nil {
		return nil, err
	}
	global := o.GlobalFile
	if global == "" {
		global = l.globalFile()
	}
	if global != user {
		if err := l.loadFile(global); err != nil {
			return nil, err
		}
	}
	if err := l.resolve(); err != nil {
		return nil, err
	}
	return &l.Config, nil
}

// RegistryFor returns the base URL, ending in a slash, of the registry that
// serves the package: that of its @scope if one is configured. The caller may
// change the URL.
func (c *Config) RegistryFor(pkg string) *url.URL {
	base := c.registry
	if scope, _, ok := strings.Cut(pkg, "/"); ok && strings.HasPrefix(scope, "@") {
		if u := c.scopes[strings.ToLower(scope)]; u != nil {
			base = u
		}
	}
	u := *base
	return &u
}

// Files lists the absolute paths of the files that were read, strongest first.
func (c *Config) Files() []string { return slices.Clone(c.files) }

// Warnings says, one line each, what was passed over and why. They hold no
// credentials.
func (c *Config) Warnings() []string { return slices.Clone(c.warnings) }

// An Error is a setting or a file that cannot be used.
type Error struct {
	// Origin is "FILE:LINE", a file, or the name of an environment variable.
	Origin string
	// Key is the setting's name, "" when the file as a whole is meant.
	Key string
	// Err says what is wrong and what would be right. It does not quote
	// credentials.
	Err error
}

func (e *Error) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("read npm configuration %s: %v", e.Origin, e.Err)
	}
	return fmt.Sprintf("read npm configuration %s: %s: %v", e.Origin, e.Key, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// A loader is a Config under construction.
type loader struct {
	Config
	home string
}

func (l *loader) loadEnviron(list []string) {
	if list == nil {
		list = os.Environ()
	}
	const prefix = "npm_config_"
	found := map[string]value{}
	for _, kv := range list {
		name, text, _ := strings.Cut(kv, "=")
		if len(name) <= len(prefix) || !strings.EqualFold(name[:len(prefix)], prefix) || text == "" {
			continue
		}
		key := name[len(prefix):]
		// A key that begins with // is a URL, whose case and underscores count.
		if !strings.HasPrefix(key, "//") {
			key = strings.ToLower(key[:1] + strings.ReplaceAll(key[1:], "_", "-"))
		}
		// Of two spellings the later one wins, as in npm.
		found[key] = l.expandValue([]string{text}, name)
	}
	l.merge(found)
}

func (l *loader) loadFile(path string) error {
	if path == "" {
		return nil
	}
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	data, err := readFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, fs.ErrPermission):
		// A process that changed its uid often keeps the HOME of another.
		l.warnf("%s is not readable and was ignored", path)
		return nil
	case err != nil:
		return &Error{Origin: path, Err: err}
	}
	entries, err := parse(data)
	if err != nil {
		if at, ok := errors.AsType[*lineError](err); ok {
			return &Error{Origin: fmt.Sprintf("%s:%d", path, at.line), Err: at.err}
		}
		return &Error{Origin: path, Err: err}
	}
	l.files = append(l.files, path)
	found := map[string]value{}
	for _, e := range entries {
		key, _ := expand(e.key, l.env)
		found[key] = l.expandValue(e.list, fmt.Sprintf("%s:%d", path, e.line))
	}
	l.merge(found)
	return nil
}

func (l *loader) expandValue(list []string, origin string) value {
	v := value{origin: origin}
	for _, s := range list {
		text, unset := expand(s, l.env)
		v.list = append(v.list, text)
		if v.unset == "" {
			v.unset = unset
		}
	}
	return v
}

// merge adds what no stronger source has set.
func (l *loader) merge(found map[string]value) {
	for key, v := range found {
		if _, ok := l.values[key]; !ok {
			l.values[key] = v
		}
	}
}

// path makes a configured path absolute: ~/ is the home folder, and a relative
// one counts from the working directory, as in npm.
func (l *loader) path(p string) string {
	if rest, ok := strings.CutPrefix(p, "~/"); ok && l.home != "" {
		return filepath.Join(l.home, rest)
	}
	if abs, err := filepath.Abs(p); err == nil {
		return abs
	}
	return p
}

func (l *loader) globalFile() string {
	if v := l.values["globalconfig"]; v.set() {
		return l.path(v.text())
	}
	if v := l.values["prefix"]; v.set() {
		return filepath.Join(l.path(v.text()), "etc", "npmrc")
	}
	if prefix := l.env["PREFIX"]; prefix != "" {
		return filepath.Join(prefix, "etc", "npmrc")
	}
	for _, dir := range []string{"/usr/local/etc", "/opt/homebrew/etc", "/usr/etc", "/etc"} {
		if path := filepath.Join(dir, "npmrc"); isFile(path) {
			return path
		}
	}
	return ""
}

// resolve turns the merged settings into what the accessors answer.
func (l *loader) resolve() error {
	var err error
	if l.registry, err = url.Parse(DefaultRegistry); err != nil {
		return fmt.Errorf("parse default registry: %w", err)
	}
	l.scopes = map[string]*url.URL{}
	for _, key := range sortedKeys(l.values) {
		v := l.values[key]
		scope, isScope := strings.CutSuffix(key, ":registry")
		isScope = isScope && strings.HasPrefix(scope, "@")
		if key != "registry" && !isScope || !v.set() {
			continue
		}
		u, err := parseRegistry(v)
		if err != nil {
			return &Error{Origin: v.origin, Key: key, Err: err}
		}
		if isScope {
			l.scopes[strings.ToLower(scope)] = u
		} else {
			l.registry = u
		}
	}
	if err := l.resolveAuth(); err != nil {
		return err
	}
	return l.resolveProxies()
}

func (l *loader) warnf(format string, args ...any) {
	l.warnings = append(l.warnings, fmt.Sprintf(format, args...))
}

func parseRegistry(v value) (*url.URL, error) {
	if v.unset != "" {
		return nil, fmt.Errorf("it refers to ${%s}, which is not set; set that variable", v.unset)
	}
	u, err := parseHTTP(v.text())
	if err != nil {
		return nil, err
	}
	u.RawQuery, u.Fragment = "", ""
	if !strings.HasSuffix(u.Path, "/") {
		u = u.JoinPath("/")
	}
	return u, nil
}

// parseHTTP does not quote the text in its errors: a URL may hold a password.
func parseHTTP(text string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("not an http or https URL; write it like " + DefaultRegistry)
	}
	return u, nil
}

// findProject returns the nearest .npmrc in dir or above it, "" for none. The
// search ends at the user's own file, which is not a project's.
func findProject(dir, user string) string {
	if dir == "" {
		return ""
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	for {
		path := filepath.Join(dir, ".npmrc")
		if path == user {
			return ""
		}
		if isFile(path) {
			return path
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}
