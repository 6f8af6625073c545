package egress

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// client goes through the proxy, as a child process with its environment would.
func client(t *testing.T, p *Proxy) *http.Client {
	t.Helper()
	var at string
	for _, kv := range p.Environ(nil) {
		if value, ok := strings.CutPrefix(kv, "HTTPS_PROXY="); ok {
			at = value
		}
	}
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{Proxy: http.ProxyURL(u), TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

func listen(t *testing.T, deny Deny, exempt, environ []string) *Proxy {
	t.Helper()
	p, err := Listen(deny, exempt, environ)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func get(c *http.Client, at string) string {
	resp, err := c.Get(at)
	if err != nil {
		return "error: " + err.Error()
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return strings.TrimSpace(string(body))
}

func servers(t *testing.T) (plain, secure *httptest.Server) {
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "hello "+r.URL.Path+r.Header.Get("Proxy-Authorization"))
	})
	plain, secure = httptest.NewServer(hello), httptest.NewTLSServer(hello)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	return plain, secure
}

var loopback = NewDeny([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")})

func TestProxyPassesOn(t *testing.T) {
	plain, secure := servers(t)
	p := listen(t, NewDeny(nil), nil, nil)
	c := client(t, p)
	for _, at := range []string{plain.URL + "/a", secure.URL + "/a"} {
		if got := get(c, at); got != "hello /a" {
			t.Errorf("%s: %s", at, got)
		}
	}
	if len(p.Refused()) > 0 {
		t.Errorf("%v", p.Refused())
	}
}

func TestProxyRefuses(t *testing.T) {
	plain, secure := servers(t)
	_, port, _ := net.SplitHostPort(plain.Listener.Addr().String())
	p := listen(t, loopback, nil, nil)
	c := client(t, p)
	for at, host := range map[string]string{
		plain.URL + "/a":                   plain.Listener.Addr().String(),
		secure.URL + "/a":                  secure.Listener.Addr().String(),
		"http://localhost:" + port + "/a":  "localhost:" + port, // by what the name resolves to
		"http://2130706433:" + port + "/":  "2130706433:" + port,
		"http://169.254.169.254/latest":    "169.254.169.254",
		"https://169.254.169.254/latest":   "169.254.169.254:443",
		"http://[::ffff:169.254.169.254]/": "[::ffff:169.254.169.254]",
	} {
		if got := get(c, at); strings.Contains(got, "hello") {
			t.Errorf("%s: %s", at, got)
		}
		if !slices.ContainsFunc(p.Refused(), func(r Refusal) bool { return r.Host == host }) {
			t.Errorf("%s is not in %v", host, p.Refused())
		}
	}
}

func TestProxyExempts(t *testing.T) {
	plain, _ := servers(t)
	p := listen(t, loopback, []string{plain.Listener.Addr().String(), "169.254.169.254"}, nil)
	c := client(t, p)
	if got := get(c, plain.URL+"/a"); got != "hello /a" {
		t.Errorf("%s", got)
	}
	if got := get(c, "http://169.254.169.254/"); got != "this address is denied" {
		t.Errorf("no exemption is for metadata: %s", got)
	}
}

func TestProxyIsForOneProcess(t *testing.T) {
	plain, _ := servers(t)
	p := listen(t, NewDeny(nil), nil, nil)
	at := &url.URL{Scheme: "http", Host: p.listener.Addr().String()}
	for _, user := range []*url.Userinfo{nil, url.UserPassword("selvedge", "guess")} {
		at.User = user
		transport := &http.Transport{Proxy: http.ProxyURL(at)}
		if got := get(&http.Client{Transport: transport}, plain.URL); strings.Contains(got, "hello") {
			t.Errorf("%v: %s", user, got)
		}
		transport.CloseIdleConnections()
	}
}

// The proxy that the operator set is used, and hears no denied address.
func TestProxyBehindAProxy(t *testing.T) {
	plain, secure := servers(t)
	var asked []string
	inner := listen(t, NewDeny(nil), nil, nil)
	outer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Host)
		if r.Header.Get("Proxy-Authorization") == "" {
			http.Error(w, "who are you?", http.StatusProxyAuthRequired)
			return
		}
		// Every name leads to the test's servers.
		r.Header.Set("Proxy-Authorization", "Basic "+basic(inner))
		if r.Method == http.MethodConnect {
			r.Host = secure.Listener.Addr().String()
		} else {
			r.URL.Host = plain.Listener.Addr().String()
		}
		inner.serve(w, r)
	}))
	t.Cleanup(outer.Close)
	at := strings.Replace(outer.URL, "http://", "http://user:pass@", 1)
	p := listen(t, loopback, nil, []string{"http_proxy=" + at, "HTTPS_PROXY=" + at, "NO_PROXY=direct.example"})
	c := client(t, p)
	for _, at := range []string{"http://one.example/a", "https://two.example/a"} {
		if got := get(c, at); got != "hello /a" {
			t.Errorf("%s: %s", at, got)
		}
	}
	if want := []string{"one.example", "two.example:443"}; !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
	if got := get(c, "http://169.254.169.254/"); got != "this address is denied" || len(asked) > 2 {
		t.Errorf("%s, %q", got, asked)
	}
	if _, err := Listen(loopback, nil, []string{"ALL_PROXY=socks5://127.0.0.1:1"}); err != ErrProxyKind {
		t.Errorf("%v", err)
	}
}

func basic(p *Proxy) string {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth("selvedge", p.token)
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Basic ")
}

func TestProxyEndsItsConnections(t *testing.T) {
	plain, _ := servers(t)
	p, err := Listen(NewDeny(nil), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", p.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	host := plain.Listener.Addr().String()
	_, _ = io.WriteString(conn, "CONNECT "+host+" HTTP/1.1\r\nHost: "+host+"\r\nProxy-Authorization: Basic "+basic(p)+"\r\n\r\n")
	buffer := make([]byte, 12)
	if _, err := io.ReadFull(conn, buffer); err != nil || string(buffer) != "HTTP/1.1 200" {
		t.Fatalf("%q %v", buffer, err)
	}
	p.Close()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadAll(conn); err != nil {
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
			t.Error("the tunnel is still open")
		}
	}
}
