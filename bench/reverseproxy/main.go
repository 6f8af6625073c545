// The program is the gateway that Go's library gives: net/http in front,
// httputil.ReverseProxy behind, to a unix socket. The benchmark compares with
// it.
//
//	reverseproxy [-pool] 127.0.0.1:8000 /path/of/socket
package main

import (
	"context"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
)

func main() {
	pool := flag.Bool("pool", false, "copy answers with buffers that are used again")
	flag.Parse()
	if flag.NArg() != 2 {
		log.Fatal("usage: reverseproxy [-pool] ADDR SOCKET")
	}
	addr, socket := flag.Arg(0), flag.Arg(1)
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "worker"})
	proxy.Transport = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
		// Without these it would dial for most requests, and ask for gzip.
		MaxIdleConnsPerHost: 1000,
		DisableCompression:  true,
	}
	if *pool {
		proxy.BufferPool = &buffers{}
	}
	// It would write a line for each request that wrk breaks off at its end.
	proxy.ErrorLog = log.New(io.Discard, "", 0)
	log.Fatal(http.ListenAndServe(addr, proxy))
}

// buffers are those that answers are copied with. By itself a ReverseProxy
// makes one of 32 kB for each.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if kept, ok := b.pool.Get().(*[]byte); ok {
		return *kept
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(buf []byte) { b.pool.Put(&buf) }
