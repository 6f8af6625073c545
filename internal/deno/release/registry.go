package release

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/selvedge-dev/selvedge/internal/npmrc"
)

// What is asked for in Accept. The second is npm's shorter package document:
// https://github.com/npm/registry/blob/main/docs/responses/package-metadata.md
const (
	anyType       = "*/*"
	shortDocument = "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*"
)

// maxDocument bounds a package document, in bytes.
const maxDocument = 64 << 20

// maxRetryAfter bounds the wait that a registry may ask for.
const maxRetryAfter = 30 * time.Second

// A registry is the one that serves the pinned package.
type registry struct {
	*installation
	npm    *npmrc.Config
	base   *url.URL
	client *http.Client
	close  func()
}

func (in *installation) registry() (*registry, error) {
	npm := in.options.NPM
	if npm == nil {
		var err error
		if npm, err = npmrc.Load(npmrc.Options{}); err != nil {
			return nil, in.configError(err)
		}
	}
	reg := &registry{installation: in, npm: npm, base: npm.RegistryFor(in.pin.pkg), close: func() {}}
	if in.options.HTTPClient != nil {
		client := *in.options.HTTPClient
		reg.client = &client
	} else {
		trust, err := npm.TLS()
		if err != nil {
			return nil, in.configError(err)
		}
		transport := &http.Transport{
			Proxy:               npm.Proxy(),
			TLSClientConfig:     trust,
			TLSHandshakeTimeout: 30 * time.Second,
			DialContext:         (&net.Dialer{Timeout: 30 * time.Second}).DialContext,
			ForceAttemptHTTP2:   true,
		}
		reg.client = &http.Client{Transport: transport}
		reg.close = transport.CloseIdleConnections
	}
	reg.client.CheckRedirect = redirect
	return reg, nil
}

func (in *installation) configError(err error) *Error {
	return &Error{Kind: KindConfig, Op: "find npm registry", Err: err, Hint: in.orOverride("correct that setting")}
}

func (reg *registry) tarballURL() *url.URL {
	return reg.base.JoinPath(reg.pin.pkg, "-", reg.tarballName())
}

// lookUp asks the registry where it keeps the tarball.
func (reg *registry) lookUp(ctx context.Context, dog *watchdog) (*url.URL, error) {
	at := reg.base.JoinPath(strings.Replace(reg.pin.pkg, "/", "%2f", 1))
	res, err := reg.get(ctx, at, shortDocument)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	dog.seen()

	op := "read " + npmrc.RedactURL(at)
	data, err := io.ReadAll(io.LimitReader(&dogReader{res.Body, dog}, maxDocument))
	// The tarball's request has its own minute.
	dog.seen()
	if err != nil {
		return nil, reg.networkError(ctx, op, err)
	}
	var doc struct {
		Versions map[string]struct {
			Dist struct {
				Tarball string `json:"tarball"`
			} `json:"dist"`
		} `json:"versions"`
	}
	if json.Unmarshal(data, &doc) != nil {
		return nil, &Error{Kind: KindServer, Op: op, Err: errors.New("the answer is no npm package document"), Hint: reg.orOverride("check that npm_config_registry names an npm registry")}
	}
	v, ok := doc.Versions[reg.version]
	if !ok || v.Dist.Tarball == "" {
		return nil, &Error{
			Kind: KindNotFound, Op: op,
			Err:  fmt.Errorf("the registry has no version %s of %s", reg.version, reg.pin.pkg),
			Hint: reg.orOverride("add it to the registry, set npm_config_registry to one that has it"),
		}
	}
	tarball, err := at.Parse(v.Dist.Tarball)
	if err != nil || tarball.Host == "" || tarball.Scheme != "http" && tarball.Scheme != "https" {
		return nil, &Error{Kind: KindServer, Op: op, Err: errors.New("dist.tarball is no http or https URL"), Hint: reg.orOverride("correct the registry's configured address")}
	}
	if tarball.Host == reg.base.Host {
		// A registry behind a proxy often does not know that it is https, and
		// credentials in its address are not repeated.
		tarball.Scheme, tarball.User = reg.base.Scheme, reg.base.User
	}
	return tarball, nil
}

// get returns an answer of 200; the caller closes its body.
func (reg *registry) get(ctx context.Context, u *url.URL, accept string) (*http.Response, error) {
	op := "download " + npmrc.RedactURL(u)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, &Error{Kind: KindConfig, Op: op, Err: errors.New("not a URL that can be asked for"), Hint: reg.orOverride("check npm_config_registry")}
	}
	req.Header.Set("User-Agent", "selvedge")
	req.Header.Set("Accept", accept)
	if accept == anyType {
		// Else the transport would undo a compression that a server declares
		// for the tarball, and the hash is of the tarball as it is.
		req.Header.Set("Accept-Encoding", "identity")
	}
	authorization := reg.npm.AuthorizationFor(reg.pin.pkg, u)
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	res, err := reg.client.Do(req)
	if err != nil {
		return nil, reg.networkError(ctx, op, err)
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	res.Body.Close()
	return nil, reg.statusError(op, u, res, authorization != "" || u.User != nil)
}

// redirect keeps credentials with the origin they were sent to. Go's own rule
// lets them pass to other ports and to subdomains.
func redirect(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("stopped after 10 redirects")
	}
	for _, r := range append(via[1:len(via):len(via)], req) {
		if r.URL.Scheme != via[0].URL.Scheme || r.URL.Host != via[0].URL.Host {
			req.Header.Del("Authorization")
		}
	}
	return nil
}

func (reg *registry) statusError(op string, u *url.URL, res *http.Response, authorized bool) *Error {
	e := &Error{Kind: KindServer, Op: op, Err: fmt.Errorf("the registry answered %d %s", res.StatusCode, http.StatusText(res.StatusCode))}
	switch code := res.StatusCode; {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		e.Kind = KindUnauthorized
		e.Hint = fmt.Sprintf("add //%s/:_authToken=${NPM_TOKEN} to .npmrc, set npm_config_registry to another registry", u.Host)
		if authorized {
			e.Hint = fmt.Sprintf("check that the credentials for %s in .npmrc are valid and allow %s, set npm_config_registry to another registry", u.Host, reg.pin.pkg)
		}
	case code == http.StatusNotFound:
		e.Kind = KindNotFound
		e.Hint = fmt.Sprintf("set npm_config_registry to a registry that has %s %s", reg.pin.pkg, reg.version)
	case code >= 500 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout:
		e.transient = true
		e.after = retryAfter(res)
		e.Hint = "try again later, set npm_config_registry to another registry"
	default:
		e.Hint = "check npm_config_registry and the proxy"
	}
	e.Hint = reg.orOverride(e.Hint)
	return e
}

// networkError sorts what went wrong before the end of an answer.
func (in *installation) networkError(ctx context.Context, op string, err error) error {
	// The URL of the error may hold what RedactURL takes out.
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	e := &Error{Kind: KindNetwork, Op: op, Err: err, transient: true}
	var (
		dns  *net.DNSError
		cert *tls.CertificateVerificationError
	)
	switch {
	case errors.Is(context.Cause(ctx), errStalled):
		e.Kind, e.Err = KindStalled, fmt.Errorf("%w for %s", errStalled, in.stall)
		e.Hint = "check the network and the proxy and try again"
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &cert):
		e.Kind, e.transient = KindTLS, false
		e.Hint = "name the certificate authority with cafile in .npmrc or with SSL_CERT_FILE"
	case errors.Is(err, http.ErrSchemeMismatch):
		e.Kind, e.transient = KindTLS, false
		e.Hint = "check whether the registry is http rather than https"
	case errors.As(err, &dns):
		e.Err = fmt.Errorf("the name %s cannot be resolved (%w)", dns.Name, err)
		e.Hint = "check the network, HTTPS_PROXY and npm_config_registry"
	default:
		e.Hint = "check the network, HTTPS_PROXY and npm_config_registry"
	}
	e.Hint = in.orOverride(e.Hint)
	return e
}

// retryAfter reads the header's seconds; the form with a date is rare and
// counts as absent.
func retryAfter(res *http.Response) time.Duration {
	seconds, err := strconv.Atoi(res.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, maxRetryAfter)
}
