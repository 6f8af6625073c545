package cli

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestInvokeFindsTheServer has it where the server's variables have it listen.
func TestInvokeFindsTheServer(t *testing.T) {
	asked := make(chan string, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.Path }))
	defer srv.Close()
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, closed, _ := net.SplitHostPort(free.Addr().String())
	free.Close()

	for name, c := range map[string]struct {
		env  map[string]string
		args []string
		code int
		says string
	}{
		"PORT":                  {env: map[string]string{"PORT": port}},
		"SELVEDGE_LISTEN":       {env: map[string]string{"SELVEDGE_LISTEN": "127.0.0.1:" + port, "PORT": closed}},
		"every address":         {env: map[string]string{"SELVEDGE_LISTEN": "0.0.0.0:" + port}},
		"SELVEDGE_URL":          {env: map[string]string{"SELVEDGE_URL": srv.URL, "PORT": closed}},
		"--url":                 {env: map[string]string{"SELVEDGE_URL": "http://127.0.0.1:" + closed, "PORT": closed}, args: []string{"--url", srv.URL + "/"}},
		"nobody there":          {env: map[string]string{"PORT": closed}, code: exitFail, says: "http://localhost:" + closed + "/hello: nothing listens there"},
		"an address that is no": {env: map[string]string{"PORT": "x"}, code: exitUsage, says: "PORT"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, name := range []string{"PORT", "SELVEDGE_LISTEN", "SELVEDGE_URL", "SELVEDGE_TLS_CERT", "ANON_KEY"} {
				t.Setenv(name, c.env[name])
			}
			var out, errs bytes.Buffer
			code := Main(t.Context(), append([]string{"invoke", "hello"}, c.args...), Streams{Out: &out, Err: &errs})
			if code != c.code || !strings.Contains(errs.String(), c.says) {
				t.Errorf("exit %d, want %d\n%s", code, c.code, &errs)
			}
			if c.code == exitOK {
				if path := <-asked; path != "/hello" {
					t.Errorf("asked for %q", path)
				}
			}
		})
	}
}
