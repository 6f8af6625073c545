package cli

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestHealthcheck(t *testing.T) {
	for _, name := range []string{"PORT", "SELVEDGE_LISTEN", "SELVEDGE_TLS_CERT"} {
		t.Setenv(name, "")
	}
	status := func(code int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/health" {
				code = http.StatusNotFound
			}
			w.WriteHeader(code)
		})
	}
	release := make(chan struct{})
	silent := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release })
	cert := filepath.Join(t.TempDir(), "cert.pem")
	if err := os.WriteFile(cert, []byte("the check does not read it"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		handler http.Handler
		tls     bool
		args    []string
		code    int
		says    string
	}{
		"healthy":           {status(200), false, nil, exitOK, ""},
		"draining":          {status(503), false, nil, exitFail, "answers 503"},
		"with a TLS server": {status(200), true, []string{"--tls-cert", cert}, exitOK, ""},
		"plain to TLS":      {status(200), true, nil, exitFail, "answers 400"},
		"no answer":         {silent, false, []string{"--timeout", "50ms"}, exitFail, "does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewUnstartedServer(c.handler)
			srv.Config.ErrorLog = nil
			if c.tls {
				srv.StartTLS()
			} else {
				srv.Start()
			}
			_, port, _ := strings.Cut(srv.Listener.Addr().String(), ":")
			// As a server has it that listens everywhere.
			t.Setenv("PORT", port)
			var out, errs bytes.Buffer
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			code := Main(ctx, append([]string{"healthcheck"}, c.args...), Streams{Out: &out, Err: &errs})
			if code != c.code || !strings.Contains(errs.String(), c.says) || out.Len() > 0 {
				t.Errorf("exit %d, want %d\n%s%s", code, c.code, &out, &errs)
			}
			if name == "no answer" {
				close(release)
			}
			srv.Close()
		})
	}
}
