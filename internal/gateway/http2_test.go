package gateway

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// http2Client returns a client that speaks only HTTP/2, with TLS or without.
func http2Client(t *testing.T, config *tls.Config) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(config != nil)
	protocols.SetUnencryptedHTTP2(config == nil)
	transport := &http.Transport{Protocols: protocols, TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: soon}
}

func get(t *testing.T, c *http.Client, url string) (*http.Response, string) {
	t.Helper()
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func TestHTTP2WithoutTLS(t *testing.T) {
	w := startWorker(t, "e", answering(func(r *http.Request) string {
		b, _ := io.ReadAll(r.Body)
		return text(200, r.Method+" "+r.RequestURI+" "+r.Header.Get("X-Forwarded-Proto")+" "+string(b))
	}))
	s := startSite(t, &fakePool{workers: []*fakeWorker{w}}, nil)
	c := http2Client(t, nil)
	res, body := get(t, c, "http://"+s.addr+"/functions/v1/hello/a%2Fb?x=1")
	if res.ProtoMajor != 2 || body != "GET http://"+s.addr+"/hello/a%2Fb?x=1 http " {
		t.Errorf("%s: %q", res.Proto, body)
	}
	if res.Header.Get("Sb-Request-Id") == "" || res.Header.Get("X-Deno-Execution-Id") != "e" {
		t.Errorf("headers %v", res.Header)
	}
	if r := s.record(); r.Status != 200 || r.ClientIP != "127.0.0.1" {
		t.Errorf("%+v", r)
	}
	res, _ = get(t, c, "http://"+s.addr+"/nothing")
	if res.StatusCode != 404 || res.Header.Get("Sb-Error-Code") != "NOT_FOUND" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

// A client that may not send more requests is told so, and its last one is
// answered.
func TestHTTP2ShutdownIsGraceful(t *testing.T) {
	w, read, release := slowWorker(t)
	s := startSite(t, &fakePool{workers: []*fakeWorker{w}}, nil)
	c := http2Client(t, nil)
	answer := make(chan string, 1)
	go func() {
		res, err := c.Get("http://" + s.addr + "/hello")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		answer <- string(b)
	}()
	<-read
	cut := make(chan int, 1)
	go func() { cut <- s.shutdown(soon) }()
	time.Sleep(50 * time.Millisecond)
	select {
	case a := <-answer:
		t.Fatalf("the request ended with %q", a)
	case <-cut:
		t.Fatal("the server did not wait")
	default:
	}
	close(release)
	if a := <-answer; a != "late" {
		t.Errorf("got %q", a)
	}
	if n := <-cut; n != 0 {
		t.Errorf("%d cut", n)
	}
}

func TestHTTP2ShutdownCutsAtTheDeadline(t *testing.T) {
	w, read, _ := slowWorker(t)
	s := startSite(t, &fakePool{workers: []*fakeWorker{w}}, nil)
	c := http2Client(t, nil)
	failed := make(chan error, 1)
	go func() {
		res, err := c.Get("http://" + s.addr + "/hello")
		if err == nil {
			res.Body.Close()
		}
		failed <- err
	}()
	<-read
	if n := s.shutdown(100 * time.Millisecond); n != 1 {
		t.Errorf("%d cut", n)
	}
	if err := <-failed; err == nil {
		t.Error("the client got an answer")
	}
	if r := s.record(); r.Status != StatusClientGone || r.Err == nil || !strings.Contains(r.Err.Error(), "stopped") {
		t.Errorf("%+v", r)
	}
}

// An HTTP/2 client that leaves ends the worker's request.
func TestHTTP2ClientGone(t *testing.T) {
	read, gone := make(chan struct{}), make(chan struct{})
	w := startWorker(t, "e", func(nc *net.UnixConn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		close(read)
		io.Copy(io.Discard, r)
		close(gone)
	})
	s := startSite(t, &fakePool{workers: []*fakeWorker{w}}, nil)
	c := http2Client(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-read
		cancel()
	}()
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://"+s.addr+"/hello", nil)
	if res, err := c.Do(req); err == nil {
		res.Body.Close()
		t.Error("answered")
	}
	select {
	case <-gone:
	case <-time.After(soon):
		t.Error("the worker was not told")
	}
}

// An answer that breaks off must not look whole.
func TestHTTP2CutAnswer(t *testing.T) {
	w := startWorker(t, "e", func(nc *net.UnixConn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err == nil {
			io.WriteString(nc, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n")
		}
	})
	s := startSite(t, &fakePool{workers: []*fakeWorker{w}}, nil)
	res, err := http2Client(t, nil).Get("http://" + s.addr + "/hello")
	if err != nil {
		return // nor did it begin
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("got %q as if it were all", b)
	}
}
