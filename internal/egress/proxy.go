package egress

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/http/httpproxy"
)

// A Refusal is a connection that a Proxy did not make.
type Refusal struct {
	// Host is what was asked for, host:port.
	Host string
	// Addr is the address it resolved to.
	Addr netip.Addr
}

// A Proxy is an HTTP proxy on loopback for one child process. It connects
// anywhere but to denied addresses, and decides that on the address of the
// connection itself: a name cannot mean one address when it is looked at and
// another when it is used.
type Proxy struct {
	deny   Deny
	exempt []string // host:port
	token  string
	outer  func(*url.URL) (*url.URL, error)

	listener  net.Listener
	server    *http.Server
	transport *http.Transport
	ctx       context.Context
	cancel    context.CancelFunc
	wg        sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	refused []Refusal
}

// ErrProxyKind means that the environment asks for a proxy of a kind that
// cannot be passed on to, such as SOCKS.
var ErrProxyKind = errors.New("a proxy that is not HTTP")

// proxyVariables are what a child process must not see of the environment.
var proxyVariables = []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}

// Listen starts a proxy. It goes through the proxies that environ names, as the
// child process would. Denied addresses of exempt, host:port each, are
// connected to all the same, unless they are in Metadata. Close must be called.
func Listen(deny Deny, exempt, environ []string) (*Proxy, error) {
	variables := map[string]string{}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if upper := strings.ToUpper(name); slices.Contains(proxyVariables, upper) && value != "" {
			variables[upper] = value
		}
	}
	outer := &httpproxy.Config{HTTPProxy: variables["HTTP_PROXY"], HTTPSProxy: variables["HTTPS_PROXY"], NoProxy: variables["NO_PROXY"]}
	for _, field := range []*string{&outer.HTTPProxy, &outer.HTTPSProxy} {
		if *field == "" {
			*field = variables["ALL_PROXY"]
		}
		if u, err := url.Parse(*field); *field != "" && strings.Contains(*field, "://") && (err != nil || u.Scheme != "http") {
			return nil, ErrProxyKind
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the bundler's connections: %w", err)
	}
	for _, through := range []string{outer.HTTPProxy, outer.HTTPSProxy} {
		if u, err := url.Parse(through); err == nil && u.Host != "" {
			exempt = append(exempt[:len(exempt):len(exempt)], withPort(u))
		}
	}
	p := &Proxy{deny: deny, exempt: exempt, token: rand.Text(), outer: outer.ProxyFunc(), listener: listener}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.transport = &http.Transport{
		Proxy:       func(r *http.Request) (*url.URL, error) { return p.outer(r.URL) },
		DialContext: p.dial,
	}
	p.server = &http.Server{Handler: http.HandlerFunc(p.serve), ReadHeaderTimeout: 10 * time.Second, ErrorLog: silent}
	p.wg.Go(func() { _ = p.server.Serve(listener) })
	return p, nil
}

// Environ returns environ with this proxy in place of others.
func (p *Proxy) Environ(environ []string) []string {
	kept := slices.DeleteFunc(slices.Clone(environ), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains(proxyVariables, strings.ToUpper(name))
	})
	at := "http://selvedge:" + p.token + "@" + p.listener.Addr().String()
	return append(kept, "HTTP_PROXY="+at, "HTTPS_PROXY="+at)
}

// Refused returns the connections that were not made so far.
func (p *Proxy) Refused() []Refusal {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.refused)
}

// Close ends the proxy and all of its connections.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	_ = p.server.Close()
	p.transport.CloseIdleConnections()
	p.wg.Wait()
}

// enter counts a request that Close waits for.
func (p *Proxy) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.wg.Add(1)
	}
	return !p.closed
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	if !p.enter() {
		return
	}
	defer p.wg.Done()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	r = r.WithContext(ctx)
	given, _ := strings.CutPrefix(r.Header.Get("Proxy-Authorization"), "Basic ")
	want := base64.StdEncoding.EncodeToString([]byte("selvedge:" + p.token))
	if subtle.ConstantTimeCompare([]byte(given), []byte(want)) != 1 {
		w.Header().Set("Proxy-Authenticate", "Basic")
		http.Error(w, "this proxy is for one process only", http.StatusProxyAuthRequired)
		return
	}
	if host := r.URL.Hostname(); r.Method == http.MethodConnect {
		host, _, _ = net.SplitHostPort(r.Host)
		if !p.literal(w, host, r.Host) {
			p.tunnel(w, r)
		}
	} else if r.URL.IsAbs() {
		if !p.literal(w, host, r.URL.Host) {
			p.forward(w, r)
		}
	} else {
		http.Error(w, "this is a proxy", http.StatusBadRequest)
	}
}

// literal refuses an address that is denied as it is written, also where
// another proxy would connect to it.
func (p *Proxy) literal(w http.ResponseWriter, host, hostport string) bool {
	a, ok := ParseHost(host)
	if !ok || !p.isDenied(hostport, a) {
		return false
	}
	p.note(hostport, a)
	http.Error(w, "this address is denied", http.StatusForbidden)
	return true
}

func (p *Proxy) forward(w http.ResponseWriter, r *http.Request) {
	(&httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.Out.Host = r.In.Host; r.Out.Header.Del("Proxy-Authorization") },
		Transport: p.transport,
		ErrorLog:  silent,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
	}).ServeHTTP(w, r)
}

func (p *Proxy) tunnel(w http.ResponseWriter, r *http.Request) {
	out, err := p.connect(r.Context(), r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer out.Close()
	in, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer in.Close()
	// A hijacked connection is not the server's any more.
	stop := context.AfterFunc(p.ctx, func() { in.Close(); out.Close() })
	defer stop()
	if _, err := io.WriteString(in, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(out, buffered)
		closeWrite(out)
	}()
	_, _ = io.Copy(in, out)
	closeWrite(in)
	<-done
}

// connect reaches host:port, through the outer proxy if there is one for it.
func (p *Proxy) connect(ctx context.Context, hostport string) (net.Conn, error) {
	outer, err := p.outer(&url.URL{Scheme: "https", Host: hostport})
	if err != nil {
		return nil, err
	}
	if outer == nil {
		return p.dial(ctx, "tcp", hostport)
	}
	conn, err := p.dial(ctx, "tcp", withPort(outer))
	if err != nil {
		return nil, err
	}
	ask := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: hostport}, Host: hostport, Header: http.Header{}}
	if u := outer.User; u != nil {
		password, _ := u.Password()
		ask.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)))
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	reader := bufio.NewReader(conn)
	err = ask.Write(conn)
	if err == nil {
		var answer *http.Response
		if answer, err = http.ReadResponse(reader, ask); err == nil && answer.StatusCode != http.StatusOK {
			err = fmt.Errorf("the proxy %s answered %s", outer.Host, answer.Status)
		}
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &bufferedConn{conn, reader}, nil
}

func withPort(u *url.URL) string {
	if u.Port() == "" {
		return net.JoinHostPort(u.Hostname(), "80")
	}
	return u.Host
}

const dialPatience = 30 * time.Second

// dial connects unless the address that a name resolves to is denied.
func (p *Proxy) dial(ctx context.Context, network, hostport string) (net.Conn, error) {
	d := &net.Dialer{Timeout: dialPatience, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if !p.isDenied(hostport, at.Addr()) {
			return nil
		}
		p.note(hostport, at.Addr())
		return fmt.Errorf("%s is denied", at.Addr())
	}}
	return d.DialContext(ctx, network, hostport)
}

func (p *Proxy) isDenied(hostport string, a netip.Addr) bool {
	if !p.deny.Contains(a) {
		return false
	}
	return !slices.Contains(p.exempt, hostport) || (Deny{}).Contains(a)
}

func (p *Proxy) note(hostport string, a netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := (Refusal{hostport, a}); !slices.Contains(p.refused, r) {
		p.refused = append(p.refused, r)
	}
}

// A bufferedConn is read through what was read ahead of its first byte.
type bufferedConn struct {
	net.Conn
	reader *bufio.Reader
}

func (c *bufferedConn) Read(b []byte) (int, error) { return c.reader.Read(b) }

func closeWrite(c net.Conn) {
	if b, ok := c.(*bufferedConn); ok {
		c = b.Conn
	}
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// What goes wrong is what the child process says; see Refused for the rest.
var silent = log.New(io.Discard, "", 0)
