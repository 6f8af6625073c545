package gateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writeCertificate makes a self-signed certificate for 127.0.0.1.
func writeCertificate(t *testing.T, dir, name string, notAfter time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: notAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:        true, BasicConstraintsValid: true,
	}, &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// startSecureSite serves HTTPS with the certificate in dir.
func startSecureSite(t *testing.T, pool *fakePool, dir string) *site {
	t.Helper()
	s := startSite(t, pool, nil)
	l, err := s.ListenTLS("127.0.0.1:0", filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.shutdown(0)
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	writeCertificate(t, dir, "one", time.Now().Add(time.Hour))
	w := startWorker(t, "e", answering(func(r *http.Request) string {
		return text(200, r.RequestURI+" "+r.Header.Get("X-Forwarded-Proto"))
	}))
	s := startSecureSite(t, &fakePool{workers: []*fakeWorker{w}}, dir)
	trust := &tls.Config{InsecureSkipVerify: true}
	one := &http.Client{Transport: &http.Transport{TLSClientConfig: trust}, Timeout: soon}
	defer one.CloseIdleConnections()
	for _, c := range []struct {
		client *http.Client
		major  int
	}{{http2Client(t, trust), 2}, {one, 1}} {
		for range 2 { // on one connection
			res, body := get(t, c.client, "https://"+s.addr+"/hello")
			if res.ProtoMajor != c.major || body != "https://"+s.addr+"/hello https" {
				t.Errorf("%s: %q", res.Proto, body)
			}
		}
	}
	old := &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}
	if nc, err := tls.Dial("tcp", s.addr, old); err == nil {
		nc.Close()
		t.Error("TLS 1.1 is spoken")
	}
}

// Without TLS there is nothing to be had but the reason.
func TestPlainHTTPWhereTLSIsSpoken(t *testing.T) {
	dir := t.TempDir()
	writeCertificate(t, dir, "one", time.Now().Add(time.Hour))
	s := startSecureSite(t, &fakePool{}, dir)
	for _, start := range []string{"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"} {
		nc, r := s.dial(start)
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Errorf("%.7s: %v", start, err)
			continue
		}
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != 400 || !res.Close || res.Header.Get("Sb-Error-Code") != "BAD_REQUEST" || !strings.Contains(string(body), "https://") {
			t.Errorf("%.7s: %s %v %q %v", start, res.Status, res.Header, body, err)
		}
		nc.Close()
	}
	// An answer that is closed upon too soon is lost where a body still comes.
	body := strings.Repeat("x", 1<<20)
	for range 10 {
		res, err := http.Post("http://"+s.addr+"/hello", "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 400 {
			t.Errorf("a long body is answered with %s", res.Status)
		}
	}
	for _, start := range []string{"\x00\x00\x00\x00\x00", "\x16\x03\x01\x00\x05hello"} {
		nc, r := s.dial(start)
		if got, _ := io.ReadAll(r); strings.Contains(string(got), "HTTP") {
			t.Errorf("%q is answered with %q", start, got)
		}
		nc.Close()
	}
}

// A client that does not shake hands costs no more than one that does not
// speak.
func TestTLSHandshakeIsBounded(t *testing.T) {
	dir := t.TempDir()
	writeCertificate(t, dir, "one", time.Now().Add(time.Hour))
	s := startSite(t, &fakePool{}, func(o *Options) {
		o.Timeouts = DefaultTimeouts()
		o.Timeouts.Head = 100 * time.Millisecond
	})
	l, err := s.ListenTLS("127.0.0.1:0", filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	s.addr = l.Addr().String()
	_, r := s.dial("\x16\x03\x01")
	if _, err := r.ReadByte(); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("the connection stays: %v", err)
	}
	s.shutdown(0)
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestCertificateIsReloaded(t *testing.T) {
	dir := t.TempDir()
	writeCertificate(t, dir, "one", time.Now().Add(time.Hour))
	var said strings.Builder
	c := &certificate{
		certFile: filepath.Join(dir, "cert.pem"), keyFile: filepath.Join(dir, "key.pem"),
		log: slog.New(slog.NewTextHandler(&said, nil)),
	}
	now := time.Now()
	if err := c.load(now); err != nil {
		t.Fatal(err)
	}
	name := func() string {
		now = now.Add(2 * certificateEvery)
		return c.current(now).Leaf.Subject.CommonName
	}
	later := func() {
		for _, f := range []string{c.certFile, c.keyFile} {
			os.Chtimes(f, now, now.Add(time.Minute)) // as a coarse clock might hide it
		}
	}
	if n := name(); n != "one" {
		t.Errorf("got %s", n)
	}
	writeCertificate(t, dir, "two", time.Now().Add(time.Hour))
	later()
	if n := name(); n != "two" {
		t.Errorf("got %s", n)
	}
	os.WriteFile(c.certFile, []byte("half"), 0o600)
	if n := name(); n != "two" || !strings.Contains(said.String(), "cannot be used") {
		t.Errorf("got %s, said %q", n, said.String())
	}
	said.Reset()
	if name(); said.Len() > 0 {
		t.Errorf("said again: %s", said.String())
	}
	os.Remove(c.certFile)
	if n := name(); n != "two" {
		t.Errorf("got %s", n)
	}
	writeCertificate(t, dir, "three", time.Now().Add(time.Hour))
	if n := name(); n != "three" {
		t.Errorf("got %s", n)
	}
	writeCertificate(t, dir, "old", time.Now().Add(-time.Minute))
	said.Reset()
	if err := c.load(now); err != nil || !strings.Contains(said.String(), "expired") {
		t.Errorf("%v, said %q", err, said.String())
	}
}

func TestCertificateThatIsNone(t *testing.T) {
	s := New(Options{Invoker: &fakePool{}})
	_, err := s.ListenTLS("127.0.0.1:0", "/nowhere/cert.pem", "/nowhere/key.pem")
	if err == nil || !strings.Contains(err.Error(), "/nowhere/cert.pem") {
		t.Errorf("got %v", err)
	}
}
