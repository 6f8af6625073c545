package upstream

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// hello is what Deno sends for new Response("Hello").
const hello = "HTTP/1.1 200 OK\r\ncontent-type: text/plain;charset=UTF-8\r\nvary: Accept-Encoding\r\n" +
	"content-length: 5\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\n\r\nHello"

// benchWorker answers each head with s and allocates nothing.
func benchWorker(b *testing.B, s string) *worker {
	answer := []byte(s)
	return startWorker(b, func(_ int, c *wire) {
		buf := make([]byte, 64<<10)
		have := 0
		for {
			n, err := c.Read(buf[have:])
			if err != nil {
				return
			}
			have += n
			head := bytes.Index(buf[:have], []byte("\r\n\r\n"))
			if head < 0 {
				continue
			}
			if i := bytes.Index(buf[:head], []byte("Content-Length: ")); i >= 0 {
				line, _, _ := bytes.Cut(buf[i+16:head+2], []byte("\r\n"))
				length, _ := strconv.Atoi(string(line))
				if have < head+4+length {
					continue
				}
			}
			have = 0
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	})
}

// discard is a ResponseWriter that keeps only its header map.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

// BenchmarkForward is the client alone, without a server in front.
func BenchmarkForward(b *testing.B) {
	client := New(benchWorker(b, hello).path)
	b.Cleanup(client.Close)
	req := httptest.NewRequest("GET", "/hello/x?q=1", nil)
	req.Header.Set("User-Agent", "bench")
	req.Header.Set("Authorization", "Bearer "+strings.Repeat("x", 200))
	w := &discard{http.Header{}}
	set := []Field{{"Sb-Request-Id", "0190a8d4"}, {"X-Forwarded-For", "127.0.0.1"}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		if _, err := client.Forward(w, req, Options{Path: "/hello/x?q=1", Absolute: true, Scheme: "http", Set: set}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkServer is a whole request through net/http's server, by this client
// and by httputil.ReverseProxy; "bare" is net/http with nothing behind it.
func BenchmarkServer(b *testing.B) {
	path := benchWorker(b, hello).path
	client := New(path)
	b.Cleanup(client.Close)
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "worker"})
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	proxy.Transport = transport
	b.Cleanup(transport.CloseIdleConnections)
	handlers := map[string]http.HandlerFunc{
		"bare": func(w http.ResponseWriter, _ *http.Request) {
			h := w.Header()
			h["Content-Type"], h["Content-Length"] = []string{"text/plain"}, []string{"5"}
			io.WriteString(w, "Hello")
		},
		"forward": func(w http.ResponseWriter, r *http.Request) {
			if _, err := client.Forward(w, r, Options{Path: r.RequestURI}); err != nil {
				b.Error(err)
			}
		},
		"reverseproxy": proxy.ServeHTTP,
	}
	for _, method := range []string{"GET", "POST"} {
		request := []byte("GET /hello HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\n\r\n")
		if method == "POST" {
			request = []byte("POST /hello HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"name\":\"Test\"}")
		}
		for name, h := range handlers {
			b.Run(method+"/"+name, func(b *testing.B) {
				s := httptest.NewServer(h)
				defer s.Close()
				c, err := net.Dial("tcp", s.Listener.Addr().String())
				if err != nil {
					b.Fatal(err)
				}
				defer c.Close()
				r := bufio.NewReader(c)
				b.ReportAllocs()
				for b.Loop() {
					c.Write(request)
					for {
						line, err := r.ReadSlice('\n')
						if err != nil {
							b.Fatal(err)
						}
						if len(line) == 2 {
							break
						}
					}
					r.Discard(5)
				}
			})
		}
	}
}
