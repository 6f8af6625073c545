package http1

import (
	"io"
	"net/http"
	"testing"
)

// browser is what a browser sends to a function.
const browser = "POST /functions/v1/hello?x=1 HTTP/1.1\r\nHost: api.example.com\r\nConnection: keep-alive\r\nContent-Length: 15\r\n" +
	"sec-ch-ua-platform: \"Linux\"\r\nAuthorization: Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJzdXBhYmFzZSIsInJlZiI6ImFiY2RlZmdoaWprbG1ub3BxcnN0Iiwicm9sZSI6ImFub24iLCJpYXQiOjE3MDAwMDAwMDAsImV4cCI6MjAwMDAwMDAwMH0.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c\r\n" +
	"x-client-info: supabase-js-web/2.50.0\r\napikey: sb_publishable_abcdefghijklmnopqrstuvwxyz\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n" +
	"Content-Type: application/json\r\nAccept: */*\r\nOrigin: https://app.example.com\r\nReferer: https://app.example.com/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n\r\n{\"name\":\"Test\"}"

// An endless connection sends the same request again and again.
type endless struct {
	memConn
	request []byte
	left    int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	e.left--
	return copy(p, e.request), nil
}

func (e *endless) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkServe is what a request costs without system calls.
func BenchmarkServe(b *testing.B) {
	ok := []string{"application/json"}
	length := []string{"19"}
	body := []byte(`{"message":"Hello"}`)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.Context().Err()
		if r.ContentLength > 0 {
			var buf [64]byte
			r.Body.Read(buf[:])
		}
		h := w.Header()
		h["Content-Type"], h["Content-Length"] = ok, length
		w.WriteHeader(200)
		w.Write(body)
	})
	for name, request := range map[string]string{"small": hello, "browser": browser} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			nc := &endless{request: []byte(request), left: b.N}
			newConn(&Server{Handler: h, IdleTimeout: soon, WriteTimeout: soon}, nc, b.Context()).serve()
		})
	}
}
