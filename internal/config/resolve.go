package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/selvedge-dev/selvedge/internal/suggest"
)

// SourceDefault is the Source of a setting that nobody set.
const SourceDefault = "default"

// A ValueError is a setting whose value is not accepted.
type ValueError struct {
	// Source is the flag ("--listen") or variable ("SELVEDGE_LISTEN").
	Source string
	// Value is what was given, masked where it is a secret.
	Value string
	// Accepts completes "use …".
	Accepts string
	// Err says what is wrong with the value.
	Err error
}

func (e *ValueError) Error() string {
	return fmt.Sprintf("%s=%q: %v; use %s", e.Source, e.Value, e.Err, e.Accepts)
}

func (e *ValueError) Unwrap() error { return e.Err }

// Register adds the flags of a command's settings to fs. Values are checked by
// Resolve, so that a flag and a variable fail alike.
func Register(fs *pflag.FlagSet, command Command) {
	for _, s := range settings() {
		if s.flag == "" || !s.has(command) {
			continue
		}
		help := s.help
		if env := s.env0(); env != "" {
			help += " [$" + strings.Join(s.env, ", $") + "]"
		}
		fs.String(s.flag, s.defaultFor(command), help)
		if s.bare != "" {
			fs.Lookup(s.flag).NoOptDefVal = s.bare
		}
	}
}

// Resolve makes the configuration of a command from its flags (nil for none),
// the environment as os.Environ returns it, and the current folder. A flag that
// was given wins over a variable, a variable over the default; a variable that
// is empty counts as not set.
//
// It reports every bad value at once, each a *ValueError, and a functions
// folder that is not there as a *FolderError.
func Resolve(fs *pflag.FlagSet, environ []string, cwd string, command Command) (*Config, error) {
	cwd, err := filepath.Abs(cwd)
	if err != nil {
		return nil, fmt.Errorf("find the current folder: %w", err)
	}
	c := &Config{
		Command:  command,
		cwd:      cwd,
		environ:  parseEnviron(environ),
		resolved: map[string]Setting{},
	}
	var errs []error
	table := settings()
	for i := range table {
		s := &table[i]
		if !s.has(command) {
			continue
		}
		value, source := c.pick(s, fs)
		if value != "" {
			if err := s.set(c, adapt(source, command, value)); err != nil {
				bad := &ValueError{Source: source, Value: s.shown(value), Accepts: s.accepts, Err: err}
				if source == keysVariable && !s.many {
					bad.Source = s.env0() + " in " + keysVariable
				}
				errs = append(errs, bad)
				continue
			}
		}
		c.note(s, value, source)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if command == Health {
		return c, nil
	}
	c.show(functionSecretsVariable, namesOf(c.FunctionSecrets))
	if command != Build {
		c.show(keysVariable, namesOf(c.keys))
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		half := c.resolved["tls-cert"]
		if c.TLSCert == "" {
			half = c.resolved["tls-key"]
		}
		return nil, &ValueError{Source: strings.TrimPrefix(half.Source, "$"), Value: half.Value,
			Err: errors.New("HTTPS needs a certificate and its key"), Accepts: "--tls-cert and --tls-key together"}
	}
	if err := c.locate(); err != nil {
		return nil, err
	}
	c.checkDenied()
	if command != Build {
		c.show("listen", c.Listen)
		c.show("prestart", fmt.Sprint(c.Prestart))
		c.show("max-requests", fmt.Sprint(c.MaxRequests))
		c.check()
	}
	c.checkNames(table)
	return c, nil
}

// pick returns a setting's value and where it comes from.
func (c *Config) pick(s *setting, fs *pflag.FlagSet) (value, source string) {
	if fs != nil && s.flag != "" {
		if f := fs.Lookup(s.flag); f != nil && f.Changed {
			return f.Value.String(), "--" + s.flag
		}
	}
	for _, name := range s.env {
		if value := c.environ[name]; value != "" {
			return value, name
		}
	}
	for _, name := range s.env {
		if value := c.keys[name]; value != "" {
			return value, keysVariable
		}
	}
	return s.defaultFor(c.Command), SourceDefault
}

// adapt makes an address of PORT, the variable that hosting services set to a
// bare number. In development it stays on this machine, as the default does.
func adapt(source string, command Command, value string) string {
	switch {
	case source != "PORT" || strings.Contains(value, ":"):
		return value
	case command == Dev:
		return "localhost:" + value
	}
	return ":" + value
}

// note remembers a setting for Explain.
func (c *Config) note(s *setting, value, source string) {
	value = s.shown(value)
	env := ""
	if source != SourceDefault && !strings.HasPrefix(source, "--") {
		env = "$"
	}
	c.resolved[s.name()] = Setting{Name: s.name(), Value: value, Source: env + source}
}

// show replaces the noted value by what it came to.
func (c *Config) show(name, value string) {
	s := c.resolved[name]
	s.Value = value
	c.resolved[name] = s
}

// check warns of settings that are accepted but hardly meant.
func (c *Config) check() {
	if !c.RequireAuth && c.Command == Serve {
		c.warn("authentication is off (%s): every function answers everybody", c.resolved["require-auth"].Source)
	}
	if n := len(c.JWTSecret); n > 0 && n < 32 {
		c.warn("JWT_SECRET has %d characters; HS256 needs 32 or more to withstand guessing (RFC 7518, section 3.2)", n)
	}
	if c.SystemWalls == "off" {
		c.warn("the system's walls around workers are off (%s): what Deno does not hold, nothing does", c.resolved["system-walls"].Source)
	}
	if c.Development() && c.Command == Serve {
		c.warn("ENVIRONMENT is development: callers see the functions' stack traces")
	}
	for _, network := range c.TrustedProxies {
		if network.Bits() == 0 {
			c.warn("%s holds %s: every caller is believed about its own address; name the proxies' networks only", c.resolved["trusted-proxies"].Source, network)
		}
	}
	if c.Admin != "" && !strings.HasPrefix(c.Admin, "unix:") && !local(c.Admin) {
		c.warn("the admin address %s can be reached from other machines, and whoever reaches it is not asked for a key; see to it that a firewall does, or use --admin localhost:PORT", c.Admin)
	}
	if c.Inspect != "" && !local(c.InspectAddr) {
		c.warn("the debugger on %s can be reached from other machines, and whoever reaches it runs code here; use --inspect-addr 127.0.0.1:9229", c.InspectAddr)
	}
}

// checkDenied warns of networks that functions are not kept from: Deno denies
// IPv4 networks and single IPv6 addresses.
func (c *Config) checkDenied() {
	for _, network := range c.DenyNet {
		if network.Addr().Is6() && !network.IsSingleIP() {
			c.warn("%s holds %s: builds are kept from it, functions are not, since Deno denies IPv6 addresses one by one; name them, or have a firewall refuse the network", c.resolved["deny-net"].Source, network)
		}
	}
}

// local reports whether only this machine reaches host:port.
func local(addr string) bool {
	host, _, _ := net.SplitHostPort(addr)
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// checkNames warns of SELVEDGE_ variables that look misspelt.
func (c *Config) checkNames(table []setting) {
	const prefix = "SELVEDGE_"
	var known []string
	for i := range table {
		for _, name := range table[i].env {
			if rest, ok := strings.CutPrefix(name, prefix); ok {
				known = append(known, rest)
			}
		}
	}
	for _, name := range c.environ.names() {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		if near := suggest.Nearest(rest, known); near != "" && near != rest {
			c.warn("the variable %s is not known; did you mean %s%s?", name, prefix, near)
		}
	}
}

func (c *Config) warn(format string, args ...any) {
	c.warnings = append(c.warnings, fmt.Sprintf(format, args...))
}

// A FolderError says that there is no functions folder.
type FolderError struct {
	// Looked are the places looked at, as the user would write them.
	Looked []string
	// Source is the flag or variable that named the place, "" for none.
	Source string
	// Err is what opening the named place gave, nil where none was named.
	Err error
}

func (e *FolderError) Error() string {
	if e.Source != "" {
		return fmt.Sprintf("%s=%q: %v; name the folder that holds your functions, or make the first with `selvedge new hello`", e.Source, e.Looked[0], e.Err)
	}
	return fmt.Sprintf("there is no functions folder: looked for %s; make one with `selvedge new hello`, or name it with --functions DIR", strings.Join(e.Looked, ", "))
}

func (e *FolderError) Unwrap() error { return e.Err }

var errNoFolder = errors.New("there is no such folder")

// locate finds the folders and files that were not named.
func (c *Config) locate() error {
	if err := c.locateFunctions(); err != nil {
		return err
	}
	c.locateProject()
	if file := filepath.Join(c.Functions, ".env"); c.EnvFile == "" && isFile(file) {
		// Only shown: the file may come and go while a server runs.
		c.resolved["env-file"] = Setting{Name: "env-file", Value: file, Source: SourceDefault + " (found " + relative(c.cwd, file) + ")"}
	} else if c.EnvFile != "" {
		c.show("env-file", c.EnvFile)
	}
	return c.locateData()
}

func (c *Config) locateFunctions() error {
	if c.Functions != "" {
		info, err := os.Stat(c.Functions)
		if err == nil && info.IsDir() {
			c.show("functions", c.Functions)
			return nil
		}
		switch {
		case err == nil:
			err = errors.New("it is a file")
		case errors.Is(err, os.ErrNotExist):
			err = errNoFolder
		}
		return &FolderError{Looked: []string{c.resolved["functions"].Value}, Source: strings.TrimPrefix(c.resolved["functions"].Source, "$"), Err: err}
	}
	places := []string{"functions", "supabase/functions"}
	if c.Command == Dev {
		places = append(places, "examples/functions")
	}
	looked := make([]string, 0, len(places))
	for _, place := range places {
		path := filepath.Join(c.cwd, filepath.FromSlash(place))
		if isDir(path) {
			c.Functions = path
			c.resolved["functions"] = Setting{Name: "functions", Value: path, Source: SourceDefault + " (found ./" + place + ")"}
			return nil
		}
		looked = append(looked, "./"+place)
	}
	return &FolderError{Looked: looked}
}

// locateProject looks for config.toml from the functions folder outwards, not
// from the current folder: --functions may name another project.
func (c *Config) locateProject() {
	if c.ProjectFile != "" {
		c.show("config", c.ProjectFile)
		return
	}
	beside := parent(c.Functions)
	for _, place := range []string{
		filepath.Join(beside, "config.toml"),
		filepath.Join(beside, "supabase", "config.toml"),
		filepath.Join(parent(beside), "config.toml"),
	} {
		if isFile(place) {
			c.ProjectFile = place
			c.resolved["config"] = Setting{Name: "config", Value: place, Source: SourceDefault + " (found " + relative(c.cwd, place) + ")"}
			return
		}
	}
}

func (c *Config) locateData() error {
	if c.DataDir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("choose a data folder: %w; name one with --data-dir or SELVEDGE_DATA_DIR", err)
		}
		c.DataDir = filepath.Join(cache, "selvedge")
	}
	c.show("data-dir", c.DataDir)
	return nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func parent(path string) string { return filepath.Dir(path) }

// relative returns path as a message names it: from dir where it lies inside.
func relative(dir, path string) string {
	if rel, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(rel) {
		return filepath.ToSlash(rel)
	}
	return cmp.Or(path, ".")
}
