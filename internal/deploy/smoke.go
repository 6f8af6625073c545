package deploy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// smokeTry bounds one request, smokeFor all tries of one address: the name
	// of a new load balancer takes a minute or two to be known everywhere.
	smokeTry = 15 * time.Second
	smokeFor = 3 * time.Minute
	// smokeWrong is how long answers may be wrong: a load balancer goes on
	// sending requests to a task for a moment after it is told otherwise.
	smokeWrong = 15 * time.Second
)

// errUnreached is an address that nothing answers at.
var errUnreached = errors.New("nothing answers")

// smoke asks /health and the paths of the settings through the load balancer,
// the paths with the anon key, and returns what answered.
func (o *Operator) smoke(ctx context.Context, k *Stack, anon string) ([]string, error) {
	base := strings.TrimRight(o.URL, "/")
	if base == "" {
		base = strings.TrimRight(k.Outputs["FunctionsUrl"], "/")
	}
	if base == "" {
		return nil, nil
	}
	client, err := o.smokeClient(ctx, base, k)
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	var checked []string
	for i, path := range append([]string{"/health"}, o.Settings.Smoke...) {
		key := ""
		if i > 0 {
			key = anon
		}
		if err := o.smokeOne(ctx, client, base+path, key); err != nil {
			if i == 0 && errors.Is(err, errUnreached) && k.Parameters["AllowedCidr"] != "" && k.Parameters["AllowedCidr"] != "0.0.0.0/0" {
				o.Report.Warn(fmt.Sprintf("%s does not answer here, and only %s may connect: it is not known whether functions answer", base, k.Parameters["AllowedCidr"]))
				return nil, nil
			}
			return checked, err
		}
		checked = append(checked, base+path)
	}
	return checked, nil
}

// smokeOne asks one address until it answers as it should.
func (o *Operator) smokeOne(ctx context.Context, client *smokeClient, address, key string) error {
	began := time.Now()
	var wrongSince time.Time
	var last error
	err := o.poll(ctx, func(ctx context.Context) (bool, error) {
		o.Report.Now("GET " + address)
		status, text, err := get(ctx, &client.Client, address, key)
		if warning := client.warning.Swap(nil); warning != nil {
			o.Report.Warn(*warning)
		}
		switch {
		case err != nil:
			last = fmt.Errorf("%w at %s: %w", errUnreached, address, err)
			return time.Since(began) > smokeFor, nil
		case status < 400:
			last = nil
			return true, nil
		}
		if wrongSince.IsZero() {
			wrongSince = time.Now()
		}
		last = fmt.Errorf("GET %s answers %d%s", address, status, text)
		// What is wrong with the request stays wrong.
		return status < 500 && status != http.StatusNotFound || time.Since(wrongSince) > smokeWrong, nil
	})
	if err != nil {
		return err
	}
	return last
}

func get(ctx context.Context, client *http.Client, address, key string) (status int, text string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("User-Agent", "selvedge-deploy")
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("apikey", key)
	}
	resp, err := client.Do(req)
	if err != nil {
		var failure *url.Error
		if errors.As(err, &failure) {
			err = failure.Err
		}
		return 0, "", err
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
	if text = strings.TrimSpace(string(body)); text != "" {
		text = ": " + text
	}
	return resp.StatusCode, text, nil
}

// A smokeClient asks a deployment's functions.
type smokeClient struct {
	http.Client
	// warning is something about the connection that is to be told once; it
	// comes up in a goroutine of the client's.
	warning atomic.Pointer[string]
}

// smokeClient makes a client that finds the load balancer also where the
// domain does not lead there yet, or its certificate is for another name, and
// says so.
func (o *Operator) smokeClient(ctx context.Context, base string, k *Stack) (*smokeClient, error) {
	client := &smokeClient{Client: http.Client{Transport: o.HTTP, Timeout: smokeTry, CheckRedirect: noRedirect}}
	if o.HTTP != nil {
		return client, nil
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		return nil, &Problem{What: fmt.Sprintf("%q is no address to ask", base), Usage: true, Next: []string{"give one such as https://functions.example.com with --url"}}
	}
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{}, DisableKeepAlives: true, ForceAttemptHTTP2: true}
	balancer := k.Outputs["LoadBalancerDNS"]
	if o.URL == "" && balancer != "" && !strings.EqualFold(u.Hostname(), balancer) {
		lookup, cancel := context.WithTimeout(ctx, smokeTry)
		_, err := net.DefaultResolver.LookupHost(lookup, u.Hostname())
		cancel()
		if err != nil {
			o.Report.Warn(fmt.Sprintf("%s is not known to DNS; add a CNAME record that leads to %s. Until then the load balancer is asked by its own name", u.Hostname(), balancer))
			dialer := &net.Dialer{Timeout: smokeTry}
			t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				_, port, _ := net.SplitHostPort(addr)
				return dialer.DialContext(ctx, network, net.JoinHostPort(balancer, port))
			}
		}
	}
	if u.Scheme == "https" && strings.EqualFold(u.Hostname(), balancer) {
		// Nobody but AWS can have a certificate for a load balancer's own name.
		t.TLSClientConfig.InsecureSkipVerify = true
		t.TLSClientConfig.VerifyConnection = client.otherName(u.Hostname())
	}
	client.Transport = t
	return client, nil
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// otherName verifies a certificate but for its name, and says which it is for.
func (c *smokeClient) otherName(host string) func(tls.ConnectionState) error {
	var once sync.Once
	return func(state tls.ConnectionState) error {
		pool := x509.NewCertPool()
		for _, cert := range state.PeerCertificates[1:] {
			pool.AddCert(cert)
		}
		leaf := state.PeerCertificates[0]
		if _, err := leaf.Verify(x509.VerifyOptions{Intermediates: pool}); err != nil {
			return err
		}
		if leaf.VerifyHostname(host) != nil {
			once.Do(func() {
				text := fmt.Sprintf("the certificate is for %s: clients must call that name, so let it lead to %s and set domain_name", strings.Join(leaf.DNSNames, ", "), host)
				c.warning.Store(&text)
			})
		}
		return nil
	}
}
