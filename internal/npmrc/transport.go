package npmrc

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpproxy"
)

// proxies are the proxy settings in force, from files or the environment.
type proxies struct {
	http, https, except string
}

// Proxy returns the function for http.Transport.Proxy: proxy, https-proxy and
// noproxy where they are configured, and otherwise HTTPS_PROXY, HTTP_PROXY and
// NO_PROXY with the meaning that Go gives them.
func (c *Config) Proxy() func(*http.Request) (*url.URL, error) {
	cfg := httpproxy.Config{HTTPProxy: c.proxy.http, HTTPSProxy: c.proxy.https, NoProxy: c.proxy.except}
	choose := cfg.ProxyFunc()
	return func(r *http.Request) (*url.URL, error) { return choose(r.URL) }
}

// TLS returns the client's TLS settings: certificates of ca or cafile take the
// place of the system's, as in npm, and strict-ssl=false takes any certificate.
// A *Error says which setting holds no certificate.
func (c *Config) TLS() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if v, ok := c.values["strict-ssl"]; ok && v.text() == "false" {
		cfg.InsecureSkipVerify = true
	}
	key, pems := "ca", []byte(nil)
	v := c.values["ca"]
	if v.set() {
		pems = []byte(strings.Join(v.list, "\n"))
	}
	if file := c.values["cafile"]; file.set() {
		// npm lets cafile overrule ca, and passes over one that is missing.
		data, err := readFile(file.text())
		switch {
		case err == nil:
			key, v, pems = "cafile", file, data
		case !errors.Is(err, fs.ErrNotExist):
			return nil, &Error{Origin: file.origin, Key: "cafile", Err: err}
		}
	}
	if pems == nil {
		return cfg, nil
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(pems) {
		return nil, &Error{Origin: v.origin, Key: key, Err: errors.New("no PEM certificate in it; it must hold -----BEGIN CERTIFICATE----- blocks")}
	}
	return cfg, nil
}

func (l *loader) resolveProxies() error {
	if v := l.values["cafile"]; v.set() {
		v.list = []string{l.path(v.text())}
		l.values["cafile"] = v
		if !isFile(v.text()) {
			l.warnf("%s: cafile %s does not exist and was ignored", v.origin, v.text())
		}
	}
	if v, ok := l.values["strict-ssl"]; ok && v.text() == "false" {
		l.warnf("%s: strict-ssl=false: the registry's certificate is not checked", v.origin)
	}

	configured := func(key string) (string, error) {
		v := l.values[key]
		if !v.set() {
			return "", nil
		}
		if v.unset != "" {
			l.warnf("%s: %s refers to ${%s}, which is not set; it was ignored", v.origin, key, v.unset)
			return "", nil
		}
		text := v.text()
		if !strings.Contains(text, "://") {
			text = "http://" + text
		}
		u, err := url.Parse(text)
		if err != nil || u.Host == "" {
			return "", &Error{Origin: v.origin, Key: key, Err: errors.New("not a proxy URL; write it like http://proxy.example:8080")}
		}
		return text, nil
	}
	plain, err := configured("proxy")
	if err != nil {
		return err
	}
	secure, err := configured("https-proxy")
	if err != nil {
		return err
	}
	// npm's order, where "proxy" alone serves https URLs too.
	l.proxy.http = first(plain, l.env.either("http_proxy", "HTTP_PROXY"))
	l.proxy.https = first(secure, plain, l.env.either("https_proxy", "HTTPS_PROXY"))
	if v := l.values["noproxy"]; v.set() {
		l.proxy.except = strings.Join(v.list, ",")
	} else {
		l.proxy.except = l.env.either("no_proxy", "NO_PROXY")
	}
	return nil
}

func first(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}

// RedactURL is u for a message: without user, password, query and fragment,
// any of which may be a secret.
func RedactURL(u *url.URL) string {
	return fmt.Sprintf("%s://%s%s", u.Scheme, u.Host, u.EscapedPath())
}
