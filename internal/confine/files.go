package confine

import (
	"os"
	"path/filepath"
)

// systemFiles are what Deno, V8 and the C library read beside their libraries:
// certificates, how names are resolved, time zones, what the machine is like.
var systemFiles = []string{
	"/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/usr/share/pki",
	"/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services", "/etc/protocols",
	"/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ld-musl-x86_64.path", "/etc/ld-musl-aarch64.path",
	"/etc/localtime", "/etc/timezone", "/usr/share/zoneinfo", "/etc/os-release", "/usr/lib/os-release",
	"/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/loadavg", "/proc/uptime", "/proc/version", "/proc/sys/vm", "/proc/sys/kernel",
	"/sys/devices/system/cpu", "/sys/fs/cgroup", "/sys/kernel/mm/transparent_hugepage",
	"/dev/urandom", "/dev/random", "/dev/zero",
}

// certificates are the variables that name files of certificates.
var certificates = []string{"DENO_CERT", "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS"}

// SystemFiles are what a program reads of the system to use the network, given
// its environment.
func SystemFiles(lookup func(string) (string, bool)) []string {
	read := append(systemFiles[:len(systemFiles):len(systemFiles)], resolvConf()...)
	return append(read, Certificates(lookup)...)
}

// Certificates are the files and folders of certificates that an environment
// names.
func Certificates(lookup func(string) (string, bool)) (paths []string) {
	for _, name := range certificates {
		if path, ok := lookup(name); ok && path != "" {
			paths = append(paths, filepath.SplitList(path)...)
		}
	}
	return paths
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
