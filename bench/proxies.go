package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// jsonHello is the function that all gateways serve: JSON out, and for a POST
// JSON in.
const jsonHello = `Deno.serve((req) =>
  req.method === "POST"
    ? req.json().then(({ name }) => Response.json({ message: ` + "`Hello ${name}!`" + ` }))
    : Response.json({ message: "Hello World!" })
);
`

const (
	jsonAnswer = `{"message":"Hello World!"}`
	jsonBody   = `{"name":"Functions"}`
)

// denoServe runs a script with plain Deno, which listens at a host and port or,
// if addr is a path, at a unix socket.
func (l *lab) denoServe(ctx context.Context, addr, script, path, want string) (*process, error) {
	cmd := exec.Command(l.deno, "run", "--allow-all", "--no-lock", "--no-config", script)
	cmd.Dir = filepath.Dir(script)
	listen := "tcp:" + addr
	if network(addr) == "unix" {
		listen = "unix:" + addr
	}
	cmd.Env = l.environ("DENO_DIR="+l.denoDir, "DENO_SERVE_ADDRESS="+listen)
	return l.run(ctx, addr, path, want, cmd)
}

// nginxConfig is nginx at its best here: as many connections to the worker kept
// as there can be, and no log. It takes the workers, the pid file, the user,
// the socket, and the address.
const nginxConfig = `%[3]sworker_processes %[1]s;
daemon off;
pid %[2]s.pid;
worker_rlimit_nofile 8192;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path %[2]s.body;
  proxy_temp_path %[2]s.proxy;
  fastcgi_temp_path %[2]s.fastcgi;
  uwsgi_temp_path %[2]s.uwsgi;
  scgi_temp_path %[2]s.scgi;
  keepalive_requests 1000000000;
  upstream worker {
    server unix:%[4]s;
    keepalive 512;
    keepalive_requests 1000000000;
  }
  server {
    listen %[5]s;
    location / {
      proxy_pass http://worker;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
    }
  }
}
`

// nginx runs nginx in front of a unix socket.
func (l *lab) nginx(ctx context.Context, workers, socket, path, want string) (*process, error) {
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	user := ""
	if os.Getuid() == 0 {
		user = "user root;\n" // as somebody else it would not reach the socket
	}
	files := filepath.Join(l.dir, "nginx-"+workers)
	config := fmt.Sprintf(nginxConfig, workers, files, user, socket, addr)
	if err := os.WriteFile(files+".conf", []byte(config), 0o644); err != nil {
		return nil, err
	}
	cmd := exec.Command("nginx", "-p", l.dir, "-c", files+".conf", "-e", "stderr")
	return l.run(ctx, addr, path, want, cmd)
}

// reverseProxy runs the program of the folder reverseproxy with flags.
func (l *lab) reverseProxy(ctx context.Context, socket, path, want string, flags ...string) (*process, error) {
	binary := filepath.Join(l.dir, "reverseproxy")
	if _, err := output(ctx, l.root, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, "./bench/reverseproxy"); err != nil {
		return nil, err
	}
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	return l.run(ctx, addr, path, want, exec.Command(binary, append(flags, addr, socket)...))
}

// workerdVersion is the release of workerd compared with.
const workerdVersion = "1.20261117.1"

const workerdConfig = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "hello", worker = (
    modules = [(name = "hello.js", esModule = embed "hello.js")],
    compatibilityDate = "2026-11-01",
  ))],
  sockets = [(name = "http", address = "%s", http = (), service = "hello")],
);
`

const workerdHello = `export default {
  fetch: () => Response.json({ message: "Hello World!" }),
};
`

// workerd installs workerd and runs hello in it.
func (l *lab) workerd(ctx context.Context, path, want string) (*process, error) {
	dir := filepath.Join(l.dir, "workerd")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	for name, text := range map[string]string{
		"package.json": `{"private":true}`, "hello.js": workerdHello, "hello.capnp": fmt.Sprintf(workerdConfig, addr),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	if _, err := output(ctx, dir, "npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "workerd@"+workerdVersion); err != nil {
		return nil, err
	}
	// The program itself, without a Node process around it.
	found, err := filepath.Glob(filepath.Join(dir, "node_modules", "@cloudflare", "workerd-*", "bin", "workerd"))
	if err != nil {
		return nil, err
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("npm installed %d workerd programs for %s/%s", len(found), runtime.GOOS, runtime.GOARCH)
	}
	return l.run(ctx, addr, path, want, exec.Command(found[0], "serve", filepath.Join(dir, "hello.capnp")))
}

// denoPeers runs jsonHello with plain Deno, at a unix socket and at a port.
func (l *lab) denoPeers(ctx context.Context) (unix, tcp *process, err error) {
	script, err := l.script("json-hello.ts", jsonHello)
	if err != nil {
		return nil, nil, err
	}
	addr, err := freePort()
	if err != nil {
		return nil, nil, err
	}
	if unix, err = l.denoServe(ctx, filepath.Join(l.dir, "hello.sock"), script, "/", jsonAnswer); err != nil {
		return nil, nil, err
	}
	if tcp, err = l.denoServe(ctx, addr, script, "/", jsonAnswer); err != nil {
		return nil, nil, errors.Join(err, unix.stop())
	}
	return unix, tcp, nil
}

// A guarded server is ours with tokens checked, and the header that has one.
type guarded struct {
	*server
	token string // a header's line
}

// guardedHello serves jsonHello to callers with a token, with one worker that
// takes them all, as the peers have one.
func (l *lab) guardedHello(ctx context.Context, name string) (*guarded, error) {
	const secret = "JWT_SECRET=the-benchmark-has-no-secrets-to-keep-from-you"
	functions, err := l.project(name, 1, func(int) string { return jsonHello })
	if err != nil {
		return nil, err
	}
	if err := l.bundle(ctx, functions); err != nil {
		return nil, err
	}
	sign := exec.CommandContext(ctx, l.selvedge, "keys", "sign", "--role", "anon", "--exp", "24h")
	sign.Dir, sign.Env = l.dir, l.environ(secret)
	token, err := sign.Output()
	if err != nil {
		return nil, fmt.Errorf("selvedge keys sign: %w", err)
	}
	s, err := l.launch(ctx, launch{
		command: "serve", functions: functions, noLog: true, env: []string{secret},
		args: []string{"--max-workers", "1", "--max-concurrency", "1000"},
	})
	if err != nil {
		return nil, err
	}
	g := &guarded{server: s, token: "Authorization: Bearer " + strings.TrimSpace(string(token))}
	if err := g.check(ctx, "/functions/v1/"+slug(name, 0)); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return g, nil
}

// check makes sure that a token is needed, and that this one is good.
func (g *guarded) check(ctx context.Context, path string) error {
	if body, err := fetch(ctx, g.addr, path); err == nil {
		return fmt.Errorf("a request without a token was answered with %q", body)
	}
	_, err := get(ctx, g.addr, path, jsonAnswer, g.token)
	return err
}
