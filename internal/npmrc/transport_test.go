package npmrc

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestProxy(t *testing.T) {
	for _, tc := range []struct {
		name, user string
		env        []string
		url, want  string
	}{
		{name: "none", url: "https://h/"},
		{name: "environment", env: []string{"HTTPS_PROXY=http://e:1"}, url: "https://h/", want: "http://e:1"},
		{name: "https-proxy", user: "https-proxy=http://s:1", env: []string{"HTTPS_PROXY=http://e:1"}, url: "https://h/", want: "http://s:1"},
		{name: "proxy serves https too", user: "proxy=http://p:1", url: "https://h/", want: "http://p:1"},
		{name: "proxy without a scheme", user: "proxy=p:1", url: "http://h/", want: "http://p:1"},
		{name: "null", user: "proxy=null\nhttps-proxy=null", env: []string{"https_proxy=http://e:1"}, url: "https://h/", want: "http://e:1"},
		{name: "noproxy", user: "proxy=http://p:1\nnoproxy=a.example,h.example", url: "https://x.h.example/"},
		{name: "NO_PROXY", user: "proxy=http://p:1", env: []string{"NO_PROXY=h"}, url: "https://h/"},
		{name: "unset variable", user: "proxy=http://${P}:1", url: "https://h/"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := mustLoad(t, "", tc.user, "", tc.env...)
			u, err := c.Proxy()(&http.Request{URL: mustURL(t, tc.url)})
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if u != nil {
				got = u.String()
			}
			if got != tc.want {
				t.Errorf("proxy %q, want %q", got, tc.want)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	defer srv.Close()
	cert := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte(cert), 0o600); err != nil {
		t.Fatal(err)
	}

	for _, tc := range []struct {
		name, user string
		trusted    bool
	}{
		{"none", "", false},
		{"strict-ssl=false", "strict-ssl=false", true},
		{"strict-ssl=true", "strict-ssl=true", false},
		{"cafile", "cafile=" + file, true},
		{"missing cafile", "cafile=" + file + ".none", false},
		{"ca", "ca=" + strconv.Quote(cert), true},
		{"list of ca", "ca[]=" + strconv.Quote(cert) + "\nca[]=" + strconv.Quote(cert), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg, err := mustLoad(t, "", tc.user, "").TLS()
			if err != nil {
				t.Fatal(err)
			}
			tr := &http.Transport{TLSClientConfig: cfg}
			defer tr.CloseIdleConnections()
			res, err := (&http.Client{Transport: tr}).Get(srv.URL)
			if err == nil {
				res.Body.Close()
			}
			if (err == nil) != tc.trusted {
				t.Errorf("request: %v, want trusted %v", err, tc.trusted)
			}
		})
	}

	if _, err := mustLoad(t, "", "\nca=nonsense", "").TLS(); err == nil || !strings.Contains(err.Error(), ".npmrc:2: ca: no PEM") {
		t.Errorf("TLS() = %v", err)
	}
}
