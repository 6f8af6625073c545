package deno

import (
	"path/filepath"
	"strconv"
	"strings"

	"github.com/selvedge-dev/selvedge/internal/egress"
)

// A Runtime is what all workers of a server have in common.
type Runtime struct {
	// Binary is the Deno executable.
	Binary string
	// Bootstrap is the installed bootstrap script.
	Bootstrap string
	// BundleDir holds the bundles; workers may read below it.
	BundleDir string
	// PrebuiltDir holds bundles that were made elsewhere, "" for none; workers
	// may read below it, too.
	PrebuiltDir string
	// CacheDir is the DENO_DIR of bundled workers: it holds V8's code cache.
	CacheDir string
	// Deny are the addresses that functions cannot connect to.
	Deny egress.Deny
}

// A Profile is what must be known when a process is spawned and cannot be
// changed afterwards. Processes are started ahead of need for the default
// profile only. It is comparable.
type Profile struct {
	// MemoryMB is the V8 heap limit in MiB.
	MemoryMB int
	// Inspect is the address of the inspector, "" for none.
	Inspect string
	// Unbundled is set for functions that run from their source and the
	// package cache.
	Unbundled Unbundled
	// Net says where it may connect.
	Net Net
}

// Net bounds a worker's connections. The zero value is anywhere but to denied
// addresses.
type Net struct {
	// Limited has it connect to the places of Allow only: a list as --allow-net
	// takes it, which may be empty.
	Limited bool
	Allow   string
	// Watched has Deno say on AuditPipe what it connects to.
	Watched bool
}

// Unbundled says where the packages of a function that cannot be bundled are.
// The zero value means that the function is bundled.
type Unbundled struct {
	// CacheDir is the DENO_DIR with the packages, which workers only read.
	CacheDir string
	// OwnDir is the DENO_DIR of its workers and of no others'; see
	// PrepareOwnDir.
	OwnDir string `json:"-"`
	// Config and ImportMap are absolute paths, "" for none.
	Config, ImportMap string
	// Registries are the lines of .npmrc that name registries, without
	// credentials: packages lie in the cache by registry.
	Registries string
}

// allowedSys are the system facts that common npm packages read while they
// load. Host name and user are the container's, not secrets.
const allowedSys = "hostname,osRelease,osUptime,loadavg,systemMemoryInfo,cpus,homedir,uid,gid,statfs"

// hiddenEnv are variables that a function neither sees nor sets. What reads
// them asks no permission of Deno's: DENO_CACHE_LSC_ENDPOINT names a server that
// the Cache API of a Web Worker talks to, whatever address that is; the graphics
// libraries load the drivers that theirs name; the C library opens the files
// that the rest name.
var hiddenEnv = strings.Join([]string{
	"DENO_AUDIT_PERMISSIONS", "DENO_CACHE_LSC_ENDPOINT", "DENO_SERVE_ADDRESS", "DENO_UNSTABLE_CRON_SOCK", "DENO_WEBGPU_BACKEND", "SSLKEYLOGFILE",
	"EGL_*", "__EGL_*", "__GLX_*", "GALLIUM_*", "LIBGL_*", "MESA_*", "VK_*", "WGPU_*",
	"GCONV_PATH", "GETCONF_DIR", "GLIBC_TUNABLES", "HOSTALIASES", "LD_*", "LOCALDOMAIN", "LOCPATH", "MALLOC_*", "NLSPATH",
	"RESOLV_*", "RES_OPTIONS", "TZDIR",
}, ",")

// Args returns the arguments of a worker whose private folder is dir.
func (r Runtime) Args(p Profile, dir string) []string {
	// The bootstrap gives the permissions for the first two sockets up before
	// it loads a function.
	own := listed(filepath.Join(dir, TempDir))
	for _, name := range []string{ControlSocket, ServeSocket, NodeSocket} {
		own += "," + listed(filepath.Join(dir, name))
	}
	read := listed(r.BundleDir) + "," + own
	if r.PrebuiltDir != "" {
		read = listed(r.PrebuiltDir) + "," + read
	}
	args := []string{
		"run",
		"--quiet",
		"--no-prompt",
		"--no-lock",
		// req.signal aborts when the client is gone, and only then; without the
		// flag it also does after every answer, with a notice in the log.
		"--unstable-no-legacy-abort",
		"--no-remote",
		"--cached-only",
		// V8 lets garbage outside its heap, such as ArrayBuffers, grow by hundreds
		// of MB; the bootstrap takes gc for itself and collects it when asked.
		"--v8-flags=--expose-gc,--max-heap-size=" + strconv.Itoa(p.MemoryMB),
		"--allow-write=" + own,
		"--allow-env",
		"--ignore-env=" + hiddenEnv,
		r.allowNet(p, dir),
		// Deno checks the address that a name resolves to, so that every
		// spelling of an address is covered.
		"--deny-net=" + r.Deny.Flag(),
		"--deny-import",
		"--allow-sys=" + allowedSys,
	}
	if u := p.Unbundled; u.CacheDir == "" {
		args = append(args, "--no-config", "--no-npm")
	} else {
		read += "," + listed(filepath.Join(u.CacheDir, NPMDir))
		args = append(args, "--node-modules-dir=none")
		if u.Config != "" {
			args = append(args, "--config="+u.Config)
		} else {
			args = append(args, "--no-config")
		}
		if u.ImportMap != "" {
			args = append(args, "--import-map="+u.ImportMap)
		}
	}
	if p.Inspect != "" {
		args = append(args, "--inspect="+p.Inspect)
	}
	return append(args, "--allow-read="+read, r.Bootstrap)
}

// allowNet is the flag for what a worker may connect to. With a list, sockets
// with a path are a matter of it, too.
func (r Runtime) allowNet(p Profile, dir string) string {
	if !p.Net.Limited {
		return "--allow-net"
	}
	var list []string
	if p.Net.Allow != "" {
		list = append(list, p.Net.Allow)
	}
	for _, name := range []string{ControlSocket, ServeSocket, NodeSocket} {
		list = append(list, "unix:"+listed(filepath.Join(dir, name)))
	}
	return "--allow-net=" + strings.Join(list, ",")
}

// DenoDir is the DENO_DIR of a worker, to which Deno writes.
func (r Runtime) DenoDir(p Profile) string {
	if p.Unbundled != (Unbundled{}) {
		return p.Unbundled.OwnDir
	}
	return r.CacheDir
}

// listed returns a path as an item of a list of permissions, where a comma is
// written twice.
func listed(path string) string { return strings.ReplaceAll(path, ",", ",,") }

// Env returns the whole environment of a worker at its start. Nothing of the
// supervisor's own is passed on but what a process needs to find its libraries,
// time zone and certificates; the function's variables come with the load.
func (r Runtime) Env(p Profile, dir string, lookup func(string) (string, bool)) []string {
	tmp := filepath.Join(dir, TempDir)
	env := []string{
		"DENO_DIR=" + r.DenoDir(p),
		"DENO_NO_UPDATE_CHECK=1",
		// A node:http server of the function binds this, whatever port it names.
		"DENO_SERVE_ADDRESS=unix:" + filepath.Join(dir, NodeSocket),
		"DENO_WEBGPU_BACKEND=none", // it loads drivers into the process
		"NO_COLOR=1",
		"HOME=" + tmp,
		"TMPDIR=" + tmp,
	}
	if p.Net.Watched {
		env = append(env, "DENO_AUDIT_PERMISSIONS="+filepath.Join(dir, AuditPipe))
	}
	if _, ok := lookup("TZ"); !ok {
		env = append(env, "TZ=UTC") // as on the hosted platform
	}
	for _, name := range passedOn {
		if v, ok := lookup(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// passedOn are read by Deno itself while it starts; the bootstrap removes all
// but the time zone before a function's code runs.
var passedOn = []string{
	"LD_LIBRARY_PATH", "TZ", "LANG",
	"DENO_CERT", "DENO_TLS_CA_STORE", "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
}
