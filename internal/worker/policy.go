package worker

import (
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/selvedge-dev/selvedge/internal/confine"
	"github.com/selvedge-dev/selvedge/internal/deno"
)

// mostFiles bounds the open files of a worker. A connection is one, and there
// can be as many WebSockets as the function is configured for.
const mostFiles = 16 << 10

// What Deno, V8 and the C library read beside their libraries: certificates,
// how names are resolved, time zones, what the machine is like.
var systemFiles = []string{
	"/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/usr/share/pki",
	"/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services", "/etc/protocols",
	"/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ld-musl-x86_64.path", "/etc/ld-musl-aarch64.path",
	"/etc/localtime", "/etc/timezone", "/usr/share/zoneinfo", "/etc/os-release", "/usr/lib/os-release",
	"/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/loadavg", "/proc/uptime", "/proc/version", "/proc/sys/vm", "/proc/sys/kernel",
	"/sys/devices/system/cpu", "/sys/fs/cgroup", "/sys/kernel/mm/transparent_hugepage",
	"/dev/urandom", "/dev/random", "/dev/zero",
}

// policy is what the system lets a worker do whose private folder is dir.
func (h *Host) policy(p deno.Profile, dir string) confine.Policy {
	read, run := h.libraries()
	read = append(read[:len(read):len(read)], systemFiles...)
	read = append(read, resolvConf()...)
	for _, name := range []string{"DENO_CERT", "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS"} {
		if path, ok := os.LookupEnv(name); ok && path != "" {
			read = append(read, filepath.SplitList(path)...)
		}
	}
	cache := h.Runtime.CacheDir
	if p.Unbundled.CacheDir != "" {
		cache = p.Unbundled.CacheDir
	}
	policy := confine.Policy{
		Run:   run,
		Read:  append(read, h.Runtime.Bootstrap, h.Runtime.BundleDir),
		Write: []string{dir, cache, "/dev/null"},
		Files: mostFiles,
	}
	if _, port, err := net.SplitHostPort(p.Inspect); err == nil {
		if n, err := strconv.ParseUint(port, 10, 16); err == nil {
			policy.Listen = []uint16{uint16(n)}
		}
	}
	return policy
}

// libraries are looked up once: Deno does not move while the server runs.
func (h *Host) libraries() (read, run []string) {
	h.once.Do(func() { h.read, h.run = confine.Libraries(h.Runtime.Binary) })
	return h.read, h.run
}

// resolvConf is where the C library finds its name servers. That file is often
// a link to one that is replaced as networks change, so its folder is meant.
// Users other than root can read nothing in /etc that is not for all of them.
func resolvConf() []string {
	if os.Geteuid() != 0 {
		return []string{"/etc", "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager"}
	}
	return []string{"/etc/resolv.conf", "/run/systemd/resolve", "/run/resolvconf"}
}
