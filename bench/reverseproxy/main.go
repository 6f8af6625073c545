// The program is the gateway that Go's library gives: net/http in front,
// httputil.ReverseProxy behind, to a unix socket. The benchmark compares with
// it.
//
//	reverseproxy 127.0.0.1:8000 /path/of/socket
package main

import (
	"context"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: reverseproxy ADDR SOCKET")
	}
	addr, socket := os.Args[1], os.Args[2]
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "worker"})
	proxy.Transport = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
		// Without these it would dial for most requests, look for gzip, and
		// allocate 32 kB for each answer: it is to be as good as it can.
		MaxIdleConnsPerHost: 1000,
		DisableCompression:  true,
	}
	proxy.BufferPool = &buffers{}
	log.Fatal(http.ListenAndServe(addr, proxy))
}

// buffers are those that answers are copied with.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if kept, ok := b.pool.Get().(*[]byte); ok {
		return *kept
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(buf []byte) { b.pool.Put(&buf) }
