package image

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/match"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/selvedge-dev/selvedge/internal/wholefile"
)

// An Artifact is an image, or the index of several.
type Artifact struct {
	Image v1.Image
	Index v1.ImageIndex // nil for one image
}

// Digest names the artifact's content.
func (a Artifact) Digest() (v1.Hash, error) {
	if a.Index != nil {
		return a.Index.Digest()
	}
	return a.Image.Digest()
}

// PushOptions are how Push gets into a registry.
type PushOptions struct {
	// User and Password are those of the registry, "" for the credentials that
	// docker and podman use.
	User, Password string
	// Insecure means that the registry speaks HTTP.
	Insecure bool
	// Transport is nil for the usual one.
	Transport http.RoundTripper
	// Progress hears the bytes that are done and those there are; it may be nil.
	Progress func(done, total int64)
}

// Push takes it to a registry. The registry is asked what it has, and sent the
// rest.
func (a Artifact) Push(ctx context.Context, reference string, p PushOptions) error {
	var names []name.Option
	if p.Insecure {
		names = append(names, name.Insecure)
	}
	ref, err := name.ParseReference(reference, names...)
	if err != nil {
		return fmt.Errorf("read the name to push to: %w", err)
	}
	o := []remote.Option{remote.WithContext(ctx)}
	if p.User != "" {
		o = append(o, remote.WithAuth(&authn.Basic{Username: p.User, Password: p.Password}))
	} else {
		o = append(o, remote.WithAuthFromKeychain(authn.DefaultKeychain))
	}
	if p.Transport != nil {
		o = append(o, remote.WithTransport(p.Transport))
	}
	updates, told := make(chan v1.Update, 16), make(chan struct{})
	go func() {
		defer close(told)
		for u := range updates {
			if p.Progress != nil && u.Error == nil {
				p.Progress(u.Complete, u.Total)
			}
		}
	}()
	o = append(o, remote.WithProgress(updates)) // remote closes it
	if a.Index != nil {
		err = remote.WriteIndex(ref, a.Index, o...)
	} else {
		err = remote.Write(ref, a.Image, o...)
	}
	<-told
	if err != nil {
		return fmt.Errorf("push to %s: %w; check the name and the network, and log in to the registry (docker login, podman login)", reference, err)
	}
	return nil
}

// Layout writes an OCI image layout to a folder, which it makes. One that holds
// a layout gets it added; what had the same tag there goes.
func (a Artifact) Layout(dir, tag string) error {
	at, err := layout.FromPath(dir)
	if err != nil {
		entries, rerr := os.ReadDir(dir)
		if rerr == nil && len(entries) > 0 {
			return fmt.Errorf("%s holds something else than an OCI image layout; name an empty folder, or a new one", dir)
		}
		if at, err = layout.Write(dir, mutate.IndexMediaType(empty.Index, "application/vnd.oci.image.index.v1+json")); err != nil {
			return fmt.Errorf("write the OCI layout: %w", err)
		}
	}
	o := layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": tag})
	same := match.Name(tag)
	if a.Index != nil {
		err = at.ReplaceIndex(a.Index, same, o)
	} else {
		err = at.ReplaceImage(a.Image, same, o)
	}
	if err != nil {
		return fmt.Errorf("write the OCI layout: %w", err)
	}
	return nil
}

// Tarball writes an archive for `docker load`, which knows one platform.
func (a Artifact) Tarball(file, tag string) error {
	if a.Index != nil {
		return fmt.Errorf("an archive for docker load holds one platform; build them one by one, or use --oci")
	}
	ref, err := name.NewTag(tag)
	if err != nil {
		return fmt.Errorf("read the tag: %w", err)
	}
	err = wholefile.Write(file, wholefile.Options{Mode: 0o644, Temp: ".image-*"}, func(w io.Writer) error {
		return tarball.Write(ref, a.Image, w)
	})
	if err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	return nil
}
