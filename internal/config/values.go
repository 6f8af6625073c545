package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
)

// The functions of this file turn one value into its field. Their errors say
// what is wrong; Resolve adds which setting, the value and what is accepted.

const minDuration = time.Millisecond

var errNotAccepted = errors.New("it is not accepted")

func (c *Config) setPath(field *string, value string) error {
	*field = c.abs(value)
	return nil
}

func (c *Config) setFile(field *string, value string) error {
	path := c.abs(value)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return errors.New("there is no such file")
	case err != nil:
		return err
	case info.IsDir():
		return errors.New("it is a folder")
	}
	*field = path
	return nil
}

func (c *Config) setDeno(value string) error {
	if !strings.ContainsRune(value, filepath.Separator) && !strings.Contains(value, "/") {
		c.Deno = value
		return nil
	}
	return c.setFile(&c.Deno, value)
}

func (c *Config) abs(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(c.cwd, path)
}

func setAddr(field *string, value string) error {
	host, port, err := net.SplitHostPort(value)
	if err != nil {
		if host, port = "", value; strings.Trim(value, "0123456789") != "" {
			return errors.New("it has no port")
		}
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("the port %q is no number from 0 to 65535", port)
	}
	*field = net.JoinHostPort(host, port)
	return nil
}

// maxSocketPath is what fits into a sockaddr_un on macOS; Linux takes 4 more.
const maxSocketPath = 103

// setAdmin differs from setAddr in that a mere port is this machine's only.
func (c *Config) setAdmin(value string) error {
	if path, isSocket := strings.CutPrefix(value, "unix:"); isSocket {
		if path == "" {
			return errors.New("it has no path")
		}
		path = c.abs(path)
		if len(path) > maxSocketPath {
			return fmt.Errorf("a socket's path may have %d bytes, and %s has %d", maxSocketPath, path, len(path))
		}
		c.Admin = "unix:" + path
		return nil
	}
	if strings.Trim(value, "0123456789") == "" {
		value = "localhost:" + value
	}
	return setAddr(&c.Admin, value)
}

func setOrigins(field *[]string, value string) error {
	var origins []string
	for origin := range strings.SplitSeq(value, ",") {
		origin = strings.TrimSuffix(strings.TrimSpace(origin), "/")
		switch u, err := url.Parse(origin); {
		case origin == "":
			continue
		case origin == "*" || origin == "true":
			origins = append(origins, "*")
		case origin == "false":
		case err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil:
			return fmt.Errorf("%q is no origin", origin)
		default:
			origins = append(origins, origin)
		}
	}
	if slices.Contains(origins, "*") {
		origins = []string{"*"}
	}
	*field = origins
	return nil
}

func setDuration(field *time.Duration, value string, least time.Duration) error {
	d, err := time.ParseDuration(value)
	if n, atoiErr := strconv.Atoi(value); atoiErr == nil && n <= 1<<31 {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil {
		return errors.New("it is no duration")
	}
	if d < least {
		return fmt.Errorf("it is below %s", least)
	}
	*field = d
	return nil
}

// shortDuration writes a whole number of seconds as one: 60s, not 1m0s.
func shortDuration(d time.Duration) string {
	if d%time.Second == 0 {
		return fmt.Sprintf("%ds", d/time.Second)
	}
	return d.String()
}

func setInt(field *int, value string, least, most int) error {
	n, err := strconv.Atoi(value)
	switch {
	case errors.Is(err, strconv.ErrSyntax):
		return errors.New("it is no number")
	case err != nil || n < least || n > most:
		return fmt.Errorf("it is not between %d and %d", least, most)
	}
	*field = n
	return nil
}

func setOpenFiles(c *Config, value string) error {
	if value == "auto" {
		c.OpenFiles = 0
		return nil
	}
	return setInt(&c.OpenFiles, value, leastOpenFiles, function.MaxOpenFiles)
}

func setRate(field *function.Rate, value string) error {
	rate, err := function.ParseRate(value)
	if err != nil {
		return err
	}
	*field = rate
	return nil
}

func setBool(field *bool, value string) error {
	switch strings.ToLower(value) {
	case "true", "1", "yes", "on":
		*field = true
	case "false", "0", "no", "off":
		*field = false
	default:
		return errNotAccepted
	}
	return nil
}

func setOneOf(field *string, value string, accepted ...string) error {
	if !slices.Contains(accepted, value) {
		return errNotAccepted
	}
	*field = value
	return nil
}

func setLevel(field *slog.Level, value string) error {
	switch strings.ToLower(value) {
	case "debug":
		*field = slog.LevelDebug
	case "info":
		*field = slog.LevelInfo
	case "warn", "warning":
		*field = slog.LevelWarn
	case "error":
		*field = slog.LevelError
	default:
		return errNotAccepted
	}
	return nil
}

func setSlug(field *string, value string) error {
	if !function.ValidSlug(value) {
		return errors.New("no function can have that name")
	}
	*field = value
	return nil
}

var plainName = regexp.MustCompile(`\A[a-z0-9][a-z0-9-]{0,62}\z`)

func setName(field *string, value string) error {
	value = strings.ToLower(value)
	if !plainName.MatchString(value) {
		return errNotAccepted
	}
	*field = value
	return nil
}

func setURL(field *string, value string) error {
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("it is no http or https URL")
	}
	*field = strings.TrimRight(value, "/")
	return nil
}

// setKeys reads API keys: a JSON object by name, or one bare key. An empty key
// is refused, since it would let in a caller who sends none.
func setKeys(field *map[string]Secret, value, prefix string) error {
	if strings.HasPrefix(value, prefix) {
		*field = map[string]Secret{"default": Secret(value)}
		return nil
	}
	var keys map[string]string
	if err := json.Unmarshal([]byte(value), &keys); err != nil || keys == nil {
		return errors.New("it is no JSON object of strings")
	}
	secrets := make(map[string]Secret, len(keys))
	for name, key := range keys {
		if strings.TrimSpace(key) == "" {
			return fmt.Errorf("its key %q is empty", name)
		}
		secrets[name] = Secret(key)
	}
	*field = secrets
	return nil
}

func setJWKS(field *Secret, value string) error {
	if _, err := parseJWKS(value); err != nil {
		return err
	}
	*field = Secret(value)
	return nil
}

// parseJWKS returns the keys of a JSON Web Key Set (RFC 7517, section 5).
func parseJWKS(value string) ([]map[string]any, error) {
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal([]byte(value), &set); err != nil || set.Keys == nil {
		return nil, errors.New(`it is no JSON object with an array "keys"`)
	}
	for i, key := range set.Keys {
		if kty, _ := key["kty"].(string); kty == "" {
			return nil, fmt.Errorf(`its key %d has no "kty"`, i)
		}
	}
	return set.Keys, nil
}
