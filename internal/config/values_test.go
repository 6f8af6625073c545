package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
)

func prefixes(list ...string) (p []netip.Prefix) {
	for _, s := range list {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

func TestTrustedProxies(t *testing.T) {
	cwd := tree(t, map[string]string{"functions/a/index.ts": ""})
	if c := mustResolve(t, cwd, Dev, nil, "--trusted-proxies=none"); len(c.TrustedProxies) != 0 {
		t.Errorf("none is %v", c.TrustedProxies)
	}
	c := mustResolve(t, cwd, Serve, nil, "--trusted-proxies=0.0.0.0/0,loopback")
	if w := c.Warnings(); len(w) != 1 || !strings.Contains(w[0], "--trusted-proxies holds 0.0.0.0/0: every caller is believed") {
		t.Errorf("warnings %q", w)
	}
}

func TestValues(t *testing.T) {
	cwd := tree(t, map[string]string{"functions/a/index.ts": "", "x.env": "", "bin/deno": "", "c.toml": "", "cert.pem": "", "key.pem": ""})
	environ := []string{
		"JWT_SECRET=" + strings.Repeat("j", 40), "SUPABASE_ANON_KEY=anon", "SERVICE_ROLE_KEY=role", "VERIFY_JWT=no",
		"ENVIRONMENT=Staging", "SUPABASE_URL=https://x.supabase.co/", "SUPABASE_DB_URL=postgres://u:p@h/d", "SB_REGION=eu-west-1",
		`SUPABASE_PUBLISHABLE_KEYS={"default":"sb_publishable_1","web":"sb_publishable_2"}`, "SUPABASE_SECRET_KEYS=sb_secret_1",
		`SUPABASE_JWKS={"keys":[{"kty":"EC"}]}`, "CORS_ORIGINS=https://a.example, https://b.example/", "SELVEDGE_PRESTART=0", "SELVEDGE_TRUSTED_PROXIES=192.0.2.1, private,2001:db8::/32",
		"SELVEDGE_DENY_NET=192.0.2.7", "SELVEDGE_SYSTEM_WALLS=auto",
	}
	c := mustResolve(t, cwd, Dev, environ,
		"--env-file=x.env", "--deno=./bin/deno", "--config=c.toml", "--data-dir=data", "--admin=unix:run/admin", "--max-workers=9", "--max-concurrency=8", "--worker-idle=7s",
		"--boot-timeout=6", "--max-queue=0", "--queue-timeout=5s", "--max-body=1gb", "--memory=1GB", "--max-memory=3GB", "--tmp-size=64MB", "--open-files=99", "--log-lines=88", "--cpu=3s", "--timeout=10m", "--idle-timeout=9s", "--drain-delay=8s", "--keep-alive=2h", "--rate-limit=9/m burst 2", "--max-requests=77", "--log-format=json", "--log-level=debug", "--inspect=a", "--inspect-addr=:1", "--drain-timeout=0", "--tls-cert=cert.pem", "--tls-key=key.pem", "--functions", "functions")
	got := *c
	got.cwd, got.environ, got.resolved, got.warnings = "", nil, nil, nil
	want := Config{
		Command: Dev, Functions: filepath.Join(cwd, "functions"), ProjectFile: filepath.Join(cwd, "c.toml"), EnvFile: filepath.Join(cwd, "x.env"),
		DataDir: filepath.Join(cwd, "data"), Deno: filepath.Join(cwd, "bin/deno"), Listen: "localhost:9000", Admin: "unix:" + filepath.Join(cwd, "run/admin"),
		DenyNet: prefixes("192.0.2.7/32"), SystemWalls: "auto", WorkerUIDs: autoUIDs(),
		TLSCert: filepath.Join(cwd, "cert.pem"), TLSKey: filepath.Join(cwd, "key.pem"),
		TrustedProxies: prefixes("192.0.2.1/32", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "2001:db8::/32"),
		CORSOrigins:    []string{"https://a.example", "https://b.example"},
		MaxWorkers:     9, MaxConcurrency: 8, WorkerIdle: 7 * time.Second, BootTimeout: 6 * time.Second,
		MaxRequests: 77, QueueTimeout: 5 * time.Second, RateLimit: function.Rate{Requests: 9, Per: time.Minute, Burst: 2},
		MaxBody:   1 << 30,
		MaxMemory: 3 << 30, MemoryMB: 1024, TmpMB: 64, OpenFiles: 99, LogLines: 88, CPU: 3 * time.Second, Timeout: 10 * time.Minute, IdleTimeout: 9 * time.Second, DrainDelay: 8 * time.Second, KeepAlive: 2 * time.Hour,
		LogFormat: "json", LogLevel: slog.LevelDebug, Inspect: "a", InspectAddr: ":1",
		Environment: "staging", Region: "eu-west-1", JWTSecret: Secret(strings.Repeat("j", 40)), AnonKey: "anon", ServiceRoleKey: "role",
		PublishableKeys: map[string]Secret{"default": "sb_publishable_1", "web": "sb_publishable_2"},
		SecretKeys:      map[string]Secret{"default": "sb_secret_1"},
		JWKS:            `{"keys":[{"kty":"EC"}]}`, URL: "https://x.supabase.co", DBURL: "postgres://u:p@h/d",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %#v\nwant %#v", got, want)
	}
	if w := c.Warnings(); len(w) != 1 || !strings.Contains(w[0], "the debugger on :1") {
		t.Errorf("warnings %q", w)
	}
	if c := mustResolve(t, cwd, Serve, nil, "--cors", "--require-auth=false", "--deno=deno-canary"); c.CORSOrigins[0] != "*" || c.RequireAuth || c.Deno != "deno-canary" {
		t.Errorf("cors %v, require-auth %v, deno %q", c.CORSOrigins, c.RequireAuth, c.Deno)
	}
}

func TestBadValues(t *testing.T) {
	cwd := tree(t, map[string]string{"functions/a/index.ts": ""})
	for _, tt := range []struct{ given, want string }{
		{"--tls-cert=functions/a/index.ts", "HTTPS needs a certificate and its key; use --tls-cert and --tls-key together"},
		{"--tls-key=nowhere.pem", "there is no such file; use the path of a PEM file"},
		{"--listen=host", `--listen="host": it has no port; use host:port`},
		{"--listen=:99999", "is no number from 0 to 65535"},
		{"--admin=host", `--admin="host": it has no port; use a port of this machine, host:port, or unix:/path`},
		{"SELVEDGE_ADMIN=:99999", "is no number from 0 to 65535"},
		{"--admin=unix:", "it has no path"},
		{"--admin=unix:/" + strings.Repeat("x", 120), "a socket's path may have 103 bytes"},
		{"PORT=http", `PORT="http": the port "http" is no number`},
		{"SELVEDGE_PRESTART=many", `SELVEDGE_PRESTART="many": it is no number; use auto or a number`},
		{"--max-workers=0", `--max-workers="0": it is not between 1 and 10000`},
		{"--max-workers=99999999999999999999", "not between"},
		{"--max-requests=0", `--max-requests="0": it is not between 1 and 1000000; use auto or a number`},
		{"--max-queue=-1", `--max-queue="-1": it is not between 0 and 1000000`},
		{"--queue-timeout=0", "it is below 1ms"},
		{"--keep-alive=0", "it is below 1s"},
		{"--max-body=20", `--max-body="20": it has no unit; use a size such as 20MB, or off`},
		{"--max-body=20TB", "it has no unit"},
		{"--max-body=0", "every body would be too large, and off is the word for no bound"},
		{"--max-body=5000000000000B", "it is above 1024GB"},
		{"--max-body=99999999999999999999B", "it is above 1024GB"},
		{"--max-body=-1MB", "it is no size"},
		{"--max-body=1.5MB", "it is no size"},
		{"--max-body=2000000MB", "it is above 1024GB"},
		{"SELVEDGE_MAX_BODY=99999999999GB", "it is above 1024GB"},
		{"--rate-limit=100", `--rate-limit="100": it names no unit of time; use 100/s, 100/m, 1000/h, '100/s burst 200' or off`},
		{"SELVEDGE_RATE_LIMIT=fast/s", `SELVEDGE_RATE_LIMIT="fast/s": "fast" is no number from 1 to 1000000`},
		{"--memory=16MB", "it is below 32MB; use a size of at least 32MB, such as 256MB"},
		{"--max-memory=64MB", "it is below 128MB; use auto, off, or a size"},
		{"--max-memory=half", "it is no size"},
		{"--memory=off", "it is no size"},
		{"--memory=0", "it is below 32MB"},
		{"--memory=100000KB", "it is no whole number of MB"},
		{"--tmp-size=1023KB", "it is below 1MB"},
		{"--cpu=0", "it is below 1ms; use a duration such as 2s"},
		{"--timeout=10ms", "it is below 1s"},
		{"--idle-timeout=-1s", "it is below 1s"},
		{"--worker-idle=soon", "it is no duration; use a duration such as 60s"},
		{"--worker-idle=0", "it is below 1ms"},
		{"--drain-timeout=-1s", "it is below 0s"},
		{"--log-format=xml", "use auto, pretty or json"},
		{"--log-level=loud", "use debug, info"},
		{"--inspect=../x", "no function can have that name"},
		{"--env-file=none.env", "there is no such file"},
		{"--config=functions", "it is a folder"},
		{"--deno=./none", "there is no such file"},
		{"REQUIRE_AUTH=maybe", "use true or false"},
		{"ENVIRONMENT=a b", "use development, production"},
		{"SUPABASE_URL=x.supabase.co", "it is no http or https URL"},
		{"--trusted-proxies=10.0.0.0/33", `"10.0.0.0/33" is no address and no network; use addresses and networks such as`},
		{"--trusted-proxies=10.0.0.7/8", `"10.0.0.7/8" has bits beyond its mask; write 10.0.0.0/8 or 10.0.0.7`},
		{"--trusted-proxies=::ffff:10.0.0.7", `write "::ffff:10.0.0.7" as IPv4`},
		{"--trusted-proxies=::ffff:10.0.0.0/104", `write "::ffff:10.0.0.0/104" as IPv4`},
		{"--trusted-proxies=fe80::1%eth0", `"fe80::1%eth0" is no address and no network`},
		{"--trusted-proxies=1", `"1" is no address and no network: the number of proxies is not what counts`},
		{"--trusted-proxies=proxy.internal", `"proxy.internal" is no address and no network`},
		{"SELVEDGE_TRUSTED_PROXIES=none,loopback", "none goes with nothing else"},
		{"--trusted-proxies=,", "it names nobody"},
		{"--system-walls=maybe", "use auto or off"},
		{"--worker-uids=maybe", "use auto, off, or two numbers"},
		{"--worker-uids=200000", "use auto, off, or two numbers"},
		{"--worker-uids=0-65535", "users from 1000 to 2147483646 can be used"},
		{"--worker-uids=200000-4294967295", "users from 1000 to 2147483646 can be used"},
		{"--worker-uids=200000-200099", "these are too few"},
		{"--worker-uids=200000-100000", "these are too few"},
		{"--deny-net=10.0.0.7/8", `"10.0.0.7/8" has bits beyond its mask`},
		{"SELVEDGE_DENY_NET=db.internal", `"db.internal" is no address and no network`},
		{"--cors=app.example.com", `"app.example.com" is no origin`},
		{"SUPABASE_SECRET_KEYS=[1]", "it is no JSON object of strings"},
		{"SUPABASE_SECRET_KEYS=null", "it is no JSON object of strings"},
		{`SUPABASE_SECRET_KEYS={"default":" "}`, `its key "default" is empty`},
		{`SUPABASE_JWKS=[]`, `it is no JSON object with an array "keys"`},
		{`SUPABASE_JWKS={"keys":[{}]}`, `its key 0 has no "kty"`},
	} {
		t.Run(tt.given, func(t *testing.T) {
			var args, environ []string
			if strings.HasPrefix(tt.given, "--") {
				args = append(args, tt.given)
			} else {
				environ = append(environ, tt.given)
			}
			_, err := Resolve(flags(t, Dev, args...), environ, cwd, Dev)
			var bad *ValueError
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}

	_, err := Resolve(flags(t, Dev, "--listen=x"), []string{"REQUIRE_AUTH=x", "SUPABASE_SECRET_KEYS=tell-nobody-this-secret-value"}, cwd, Dev)
	if n := strings.Count(fmt.Sprint(err), "; use "); n != 3 {
		t.Errorf("%d errors of 3: %v", n, err)
	}
	if strings.Contains(fmt.Sprint(err), "tell-nobody") {
		t.Errorf("the error shows a secret: %v", err)
	}
}

func TestAdminAddress(t *testing.T) {
	cwd := tree(t, map[string]string{"functions/a/index.ts": ""})
	for given, want := range map[string]struct {
		addr string
		warn bool
	}{
		"":                {"", false},
		"9001":            {"localhost:9001", false}, // not all addresses, as for --listen
		"localhost:0":     {"localhost:0", false},
		"127.0.0.1:9001":  {"127.0.0.1:9001", false},
		"[::1]:9001":      {"[::1]:9001", false},
		":9001":           {":9001", true},
		"0.0.0.0:9001":    {"0.0.0.0:9001", true},
		"10.1.2.3:9001":   {"10.1.2.3:9001", true},
		"unix:/run/a.sck": {"unix:/run/a.sck", false},
	} {
		c := mustResolve(t, cwd, Dev, []string{"SELVEDGE_ADMIN=" + given})
		warned := slices.ContainsFunc(c.Warnings(), func(w string) bool { return strings.Contains(w, "the admin address") })
		if c.Admin != want.addr || warned != want.warn {
			t.Errorf("%q is %q (warned: %v), want %q (%v)", given, c.Admin, warned, want.addr, want.warn)
		}
	}
}

func TestDenyNet(t *testing.T) {
	cwd := tree(t, map[string]string{"functions/a/index.ts": ""})
	for _, command := range []Command{Dev, Serve, Build} {
		c := mustResolve(t, cwd, command, nil, "--deny-net=10.0.0.0/8,loopback,2001:db8::1")
		if len(c.DenyNet) != 4 || c.DenyNet[0].String() != "10.0.0.0/8" {
			t.Errorf("%v", c.DenyNet)
		}
		for _, w := range c.Warnings() {
			if strings.Contains(w, "deny-net") {
				t.Errorf("%s", w)
			}
		}
	}
	c := mustResolve(t, cwd, Serve, nil, "--deny-net=private")
	if !slices.ContainsFunc(c.Warnings(), func(w string) bool {
		return strings.Contains(w, "--deny-net holds fc00::/7: builds are kept from it, functions are not")
	}) {
		t.Errorf("%q", c.Warnings())
	}
}
