package worker

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
)

func TestEnvironment(t *testing.T) {
	// Not parallel: it sets variables of the supervisor.
	for _, name := range []string{"JWT_SECRET", "AWS_SECRET_ACCESS_KEY", "DENO_AUTH_TOKENS", "LD_LIBRARY_PATH", "TZ", "HTTPS_PROXY", "NODE_EXTRA_CA_CERTS"} {
		t.Setenv(name, "")
		if name != "NODE_EXTRA_CA_CERTS" && name != "LD_LIBRARY_PATH" {
			t.Setenv(name, "of-the-supervisor")
		}
	}
	t.Setenv("TZ", "Asia/Tokyo")
	own := map[string]string{"GREETING": "hällo\nworld", "EMPTY": "", "SUPABASE_URL": "http://x", "DENO_DEPLOYMENT_ID": "p_fn_1", "NO_COLOR": "0"}
	sub := loaded(t, `
		const before = Deno.env.toObject();
		import process from "node:process";
		Deno.serve(() => Response.json({ before, node: { ...process.env }, tmp: Deno.env.get("TMPDIR"), cwd: Deno.cwd(),
			write: (() => { Deno.writeTextFileSync(Deno.env.get("TMPDIR") + "/x", "y"); return Deno.readTextFileSync(Deno.makeTempFileSync()); })(),
			hour: new Date(0).getHours(), args: Deno.args, argv: process.argv.slice(2) }));`, func(a *Assignment) { a.Env = own })
	got := sub.get(t, "/fn", "")
	for _, bad := range []string{"of-the-supervisor", "DENO_DIR", "DENO_NO_UPDATE_CHECK", "JWT_SECRET", "AWS_", "PATH\":", "HTTPS_PROXY"} {
		if strings.Contains(got, bad) {
			t.Errorf("the function sees %s: %s", bad, got)
		}
	}
	for _, want := range []string{`"GREETING":"hällo\nworld"`, `"EMPTY":""`, `"SUPABASE_URL":"http://x"`, `"NO_COLOR":"0"`, `"hour":9`, `"write":""`} {
		if !strings.Contains(got, want) {
			t.Errorf("the function does not see %s: %s", want, got)
		}
	}
}

func TestOwnFolder(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	first := s.load(t, `Deno.serve(() => { Deno.writeTextFileSync(Deno.env.get("TMPDIR") + "/secret", "s"); return new Response(Deno.env.get("TMPDIR")); });`)
	tmp := first.get(t, "/fn", "")
	if info, err := os.Stat(filepath.Dir(tmp)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info, err)
	}
	second := s.load(t, `Deno.serve(async (req) => {
		const tries = {};
		const path = new URL(req.url).searchParams.get("tmp");
		for (const [name, f] of Object.entries({
			read: () => Deno.readTextFileSync(path + "/secret"), list: () => [...Deno.readDirSync(path)],
			write: () => Deno.writeTextFileSync(path + "/mine", ""), connect: () => Deno.connect({ transport: "unix", path: path + "/../w.sock" }),
			passwd: () => Deno.readTextFileSync("/etc/passwd"), run: () => new Deno.Command("/bin/true").outputSync(),
			ffi: () => Deno.dlopen("libc.so.6", {}), metadata: () => fetch("http://169.254.169.254/"),
		})) {
			try { await f(); tries[name] = "done"; } catch (e) { tries[name] = e.name; }
		}
		return Response.json(tries);
	});`)
	got := second.get(t, "/fn?tmp="+tmp, "")
	want := `{"read":"NotCapable","list":"NotCapable","write":"NotCapable","connect":"NotCapable","passwd":"NotCapable","run":"NotCapable","ffi":"NotCapable","metadata":"NotCapable"}`
	if got != want {
		t.Errorf("%s", got)
	}
	first.Stop()
	if _, err := os.Stat(filepath.Dir(tmp)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of a stopped worker: %v", err)
	}
}

// A function's requests go out as the machine's administrator wants it, though
// the function does not see the variables that say so.
func TestProxyAndCertificates(t *testing.T) {
	// Not parallel: it sets variables of the supervisor.
	tlsServer, ca := denotest.TLSServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "tls") }))
	denotest.Open(t, filepath.Dir(ca))
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "proxied "+r.URL.String()) }))
	defer proxy.Close()
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "DENO_CERT", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
	const source = `Deno.serve(async (req) => {
		const url = new URL(req.url).searchParams.get("url");
		try { return new Response(await (await fetch(url)).text()); } catch (e) { return new Response(String(e)); }
	});`
	for name, c := range map[string]struct{ variable, value, url, want string }{
		"proxy":               {"HTTP_PROXY", proxy.URL, "http://far.example/x", "proxied http://far.example/x"},
		"lower case proxy":    {"http_proxy", proxy.URL, "http://far.example/x", "proxied http://far.example/x"},
		"SSL_CERT_FILE":       {"SSL_CERT_FILE", ca, tlsServer, "tls"},
		"DENO_CERT":           {"DENO_CERT", ca, tlsServer, "tls"},
		"NODE_EXTRA_CA_CERTS": {"NODE_EXTRA_CA_CERTS", ca, tlsServer, "tls"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(c.variable, c.value)
			if strings.HasSuffix(c.variable, "CERT_FILE") {
				t.Setenv("DENO_TLS_CA_STORE", "system")
			}
			sub := loaded(t, source)
			if got := sub.get(t, "/fn?url="+c.url, ""); got != c.want {
				t.Errorf("%q", got)
			}
		})
	}
}
