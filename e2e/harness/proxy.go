package harness

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A Proxy does what a load balancer does: it gives requests to one of its
// servers that says it is healthy.
type Proxy struct {
	*httptest.Server
	mu      sync.Mutex
	healthy []*httputil.ReverseProxy
	next    atomic.Int64
}

// NewProxy starts a proxy without servers; it is stopped when the test ends.
func NewProxy(t testing.TB) *Proxy {
	p := &Proxy{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		if len(p.healthy) == 0 {
			p.mu.Unlock()
			http.Error(w, "no server is healthy", http.StatusServiceUnavailable)
			return
		}
		to := p.healthy[int(p.next.Add(1))%len(p.healthy)]
		p.mu.Unlock()
		to.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

// Add takes a server in and looks after it each 200 ms, as long as it is there;
// it is taken out when it says no twice.
func (p *Proxy) Add(address string) {
	target, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	one := httputil.NewSingleHostReverseProxy(target)
	p.mu.Lock()
	p.healthy = append(p.healthy, one)
	p.mu.Unlock()
	go func() {
		for no := 0; no < 2; time.Sleep(200 * time.Millisecond) {
			res, err := http.Get(address + "/health")
			if err == nil {
				res.Body.Close()
			}
			if err != nil || res.StatusCode != http.StatusOK {
				no++
			}
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		for i := range p.healthy {
			if p.healthy[i] == one {
				p.healthy = append(p.healthy[:i], p.healthy[i+1:]...)
				return
			}
		}
	}()
}
