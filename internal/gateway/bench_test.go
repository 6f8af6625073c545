package gateway

import (
	"bufio"
	"bytes"
	"net"
	"testing"
	"time"
)

// BenchmarkGateway is a whole request: the server, the chain, the client and a
// worker that costs nothing.
func BenchmarkGateway(b *testing.B) {
	answer := []byte("HTTP/1.1 200 OK\r\ncontent-type: text/plain;charset=UTF-8\r\nvary: Accept-Encoding\r\n" +
		"content-length: 5\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\n\r\nHello")
	w := startWorker(b, "0190a8d4-0000-7000-8000-000000000000", func(nc *net.UnixConn, _ *bufio.Reader) {
		buf := make([]byte, 8<<10)
		for {
			n, err := nc.Read(buf)
			if err != nil || !bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) {
				return
			}
			nc.Write(answer)
		}
	})
	for _, bc := range []struct{ name, path string }{{"function", "/functions/v1/hello"}, {"health", "/health"}} {
		b.Run(bc.name, func(b *testing.B) {
			s := startSite(b, &fakePool{workers: []*fakeWorker{w}}, func(o *Options) { o.OnRequest = nil })
			nc, r := s.dial("")
			nc.SetDeadline(time.Time{})
			request := []byte("GET " + bc.path + " HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\n\r\n")
			body := 5
			if bc.name == "health" {
				body = len(`{"message":"ok"}`)
			}
			b.ReportAllocs()
			for b.Loop() {
				nc.Write(request)
				for {
					line, err := r.ReadSlice('\n')
					if err != nil {
						b.Fatal(err)
					}
					if len(line) == 2 {
						break
					}
				}
				r.Discard(body)
			}
		})
	}
}
