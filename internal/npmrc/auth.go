package npmrc

import (
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
)

// The suffixes of a credential's key; what comes before is the URL it is for,
// without its scheme. They are npm's.
const (
	keyToken    = ":_authToken"
	keyAuth     = ":_auth"
	keyUsername = ":username"
	keyPassword = ":_password"
)

// Authorization returns the value of the Authorization header for a request to
// u, "" for none. The credential with the longest path that leads to u is
// used; one for another host or port never is.
func (c *Config) Authorization(u *url.URL) string {
	key := nerf(u)
	for len(key) > len("//") {
		if header, ok := c.auth[key]; ok {
			return header
		}
		// The next shorter key ends either before a slash or after one: npm
		// takes "//host/path" as well as "//host/path/".
		if strings.HasSuffix(key, "/") {
			key = key[:len(key)-1]
		} else {
			key = key[:strings.LastIndexByte(key, '/')+1]
		}
	}
	return ""
}

// AuthorizationFor is Authorization for a URL that belongs to a package. Where
// u has no credential of its own but lies on the host of the package's
// registry, it gets the registry's: a registry may keep its tarballs beside
// the path that the credential names.
func (c *Config) AuthorizationFor(pkg string, u *url.URL) string {
	if header := c.Authorization(u); header != "" {
		return header
	}
	if registry := c.RegistryFor(pkg); hostOf(registry) == hostOf(u) {
		return c.Authorization(registry)
	}
	return ""
}

// resolveAuth builds the header for every URL that has a whole credential. A
// token goes before _auth, and that before a user name, as in npm.
func (l *loader) resolveAuth() error {
	l.auth = map[string]string{}
	for _, suffix := range []string{keyUsername, keyAuth, keyToken} {
		for _, key := range sortedKeys(l.values) {
			prefix, ok := strings.CutSuffix(key, suffix)
			if !ok || !strings.HasPrefix(prefix, "//") {
				continue
			}
			header, err := l.header(prefix, suffix)
			if err != nil {
				return err
			}
			if header != "" {
				l.auth[lowerHost(prefix)] = header
			}
		}
	}
	for _, key := range []string{"_authToken", "_auth", "_password"} {
		if v := l.values[key]; v.set() {
			l.warnf("%s: %s names no registry and was ignored; write it as //HOST/:%s", v.origin, key, key)
		}
	}
	return nil
}

func (l *loader) header(prefix, suffix string) (string, error) {
	v, ok := l.credential(prefix + suffix)
	if !ok {
		return "", nil
	}
	var header string
	switch suffix {
	case keyToken:
		header = "Bearer " + v.text()
	case keyAuth:
		header = "Basic " + v.text()
	case keyUsername:
		p, ok := l.credential(prefix + keyPassword)
		if !ok {
			return "", nil
		}
		password, err := decodeBase64(p.text())
		if err != nil {
			return "", &Error{Origin: p.origin, Key: prefix + keyPassword, Err: err}
		}
		header = "Basic " + base64.StdEncoding.EncodeToString([]byte(v.text()+":"+password))
	}
	for _, r := range header {
		if r < ' ' || r == 0x7F {
			err := errors.New("it holds a line break or another control character; write it on one line")
			return "", &Error{Origin: v.origin, Key: prefix + suffix, Err: err}
		}
	}
	return header, nil
}

// credential returns a setting that can be sent. npm sends a literal
// "${NAME}" when the variable is not set, and registries answer 401 even for
// public packages; going without a credential is what was meant.
func (l *loader) credential(key string) (value, bool) {
	v := l.values[key]
	if !v.set() {
		return value{}, false
	}
	if v.unset != "" {
		l.warnf("%s: %s refers to ${%s}, which is not set; it was ignored", v.origin, key, v.unset)
		return value{}, false
	}
	return v, true
}

// nerf is what npm calls a URL without scheme, query and fragment.
func nerf(u *url.URL) string {
	// JoinPath takes ".." out, so that it cannot borrow another path's
	// credential.
	path := u.JoinPath().EscapedPath()
	if path == "" {
		path = "/"
	}
	return "//" + hostOf(u) + path
}

// hostOf is the host as a key names it: in lower case, and without the port
// that the scheme implies.
func hostOf(u *url.URL) string {
	host := strings.ToLower(u.Host)
	switch u.Scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	}
	return host
}

func lowerHost(prefix string) string {
	host, path, slash := strings.Cut(strings.TrimPrefix(prefix, "//"), "/")
	if !slash {
		return "//" + strings.ToLower(host)
	}
	return "//" + strings.ToLower(host) + "/" + path
}

// decodeBase64 takes both alphabets, with or without padding, as Node does.
func decodeBase64(s string) (string, error) {
	s = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(s, "="))
	plain, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil {
		return "", errors.New("not base64; npm keeps passwords base64-encoded here")
	}
	return string(plain), nil
}
