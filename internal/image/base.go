package image

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// DefaultBase has glibc, libgcc and certificates, and no shell.
const DefaultBase = "gcr.io/distroless/cc-debian12:nonroot"

// Pull takes a base image from its registry. It returns the digest as well, of
// what the reference names.
func Pull(ctx context.Context, reference string, platform v1.Platform) (v1.Image, string, error) {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return nil, "", fmt.Errorf("read the base image's name: %w", err)
	}
	desc, err := remote.Get(ref, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithPlatform(platform))
	if err == nil {
		var img v1.Image
		if img, err = desc.Image(); err == nil {
			return img, desc.Digest.String(), isFor(img, reference, platform)
		}
	}
	hint := "check the name, and log in to the registry if it asks for that"
	var op *net.OpError
	var dns *net.DNSError
	if errors.As(err, &op) || errors.As(err, &dns) {
		hint = "check the network and the proxy, name a base that can be reached with --base, or use --base host on a Linux machine with glibc"
	}
	return nil, "", fmt.Errorf("pull the base image %s for %s: %w; %s", reference, platform.String(), err, hint)
}

// isFor refuses a base of another platform: a registry hands out an image that
// is there for one only, whatever was asked for.
func isFor(img v1.Image, reference string, platform v1.Platform) error {
	file, err := img.ConfigFile()
	if err != nil {
		return fmt.Errorf("read the base image %s: %w", reference, err)
	}
	if file.OS != platform.OS || file.Architecture != platform.Architecture {
		return fmt.Errorf("the base image %s is for %s/%s, not for %s; name one for that platform with --base", reference, file.OS, file.Architecture, platform.String())
	}
	return nil
}

// hostLibraries are what Deno's release is linked with, and what the C library
// loads by itself to resolve names.
var hostLibraries = []string{
	"libc.so.6", "libm.so.6", "libdl.so.2", "librt.so.1", "libpthread.so.0", "libgcc_s.so.1",
	"libresolv.so.2", "libnss_dns.so.2", "libnss_files.so.2",
}

// loaders are the paths that programs name theirs by.
var loaders = map[string]string{"amd64": "/lib64/ld-linux-x86-64.so.2", "arm64": "/lib/ld-linux-aarch64.so.1"}

var triplets = map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}

var certificates = []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"}

// HostBase is the least that the server needs of a system, from this machine:
// its C library, its certificates, a user, and /tmp. root is "/".
func HostBase(root, arch string) (Layer, error) {
	l := Layer{Comment: "the C library and certificates of the machine that built the image", Entries: []Entry{
		{Path: "tmp", Mode: os.ModeDir | os.ModeSticky | 0o777},
		{Path: "etc/passwd", Mode: 0o644, Content: []byte("root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n")},
		{Path: "etc/group", Mode: 0o644, Content: []byte("root:x:0:\nnonroot:x:65532:\n")},
		{Path: "etc/nsswitch.conf", Mode: 0o644, Content: []byte("hosts: files dns\n")},
	}}
	fail := func(what string) (Layer, error) {
		return l, fmt.Errorf("this machine has no %s to make a base image from; name one with --base, such as %s", what, DefaultBase)
	}
	add := func(from, to string) bool {
		real, err := filepath.EvalSymlinks(filepath.Join(root, from))
		if err != nil {
			return false
		}
		l.Entries = append(l.Entries, Entry{Path: to, Mode: 0o755, From: real})
		return true
	}
	loader, ok := loaders[arch]
	if !ok || !add(loader, loader) {
		return fail("loader of glibc for " + arch)
	}
	dirs := []string{"/lib/" + triplets[arch], "/usr/lib/" + triplets[arch], "/lib64", "/usr/lib64", "/lib", "/usr/lib"}
	for _, lib := range hostLibraries {
		found := false
		for _, dir := range dirs {
			if found = add(filepath.Join(dir, lib), filepath.Join(dir, lib)); found {
				break
			}
		}
		// The name services are part of newer C libraries.
		if !found && lib[:6] != "libnss" {
			return fail(lib)
		}
	}
	for _, file := range certificates {
		if add(file, certificates[0]) {
			l.Entries[len(l.Entries)-1].Mode = 0o644
			return l, nil
		}
	}
	return fail("certificates (the package ca-certificates)")
}
