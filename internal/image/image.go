package image

import (
	"fmt"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A Spec is what an image is made of.
type Spec struct {
	// Base is what it stands on, nil for nothing.
	Base v1.Image
	// Platform is the one it is for.
	Platform v1.Platform
	// Layers come one upon the other: what changes most comes last, since a
	// registry is sent only what it has not.
	Layers []Layer
	// Env are NAME=value entries, added to the base's.
	Env []string
	// Labels are those of the image, without the base's.
	Labels map[string]string
	// Annotations are those of its manifest.
	Annotations map[string]string
	// Created is the time of everything in it.
	Created time.Time
}

// User runs the server; it owns nothing in the image.
const User = "65532:65532"

// Build makes the image.
func Build(s Spec) (v1.Image, error) {
	img, layerKind := s.Base, types.OCILayer
	if img == nil {
		img = mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	} else if kind, err := img.MediaType(); err != nil {
		return nil, fmt.Errorf("read the base image: %w", err)
	} else if kind == types.DockerManifestSchema2 {
		layerKind = types.DockerLayer // one manifest, one vocabulary
	}
	for _, l := range s.Layers {
		layer, err := l.build(s.Created, layerKind)
		if err != nil {
			return nil, fmt.Errorf("make the layer of %s: %w", l.Comment, err)
		}
		img, err = mutate.Append(img, mutate.Addendum{
			Layer: layer, MediaType: layerKind,
			History: v1.History{Created: v1.Time{Time: s.Created}, CreatedBy: "selvedge image", Comment: l.Comment},
		})
		if err != nil {
			return nil, fmt.Errorf("add the layer of %s: %w", l.Comment, err)
		}
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read the base image: %w", err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Variant = s.Platform.OS, s.Platform.Architecture, s.Platform.Variant
	file.Created, file.Author, file.Container = v1.Time{Time: s.Created}, "", ""
	c := &file.Config
	c.User, c.WorkingDir = User, "/app"
	c.Entrypoint, c.Cmd = []string{"selvedge", "serve"}, nil
	c.ExposedPorts = map[string]struct{}{"9000/tcp": {}}
	c.Healthcheck = &v1.HealthConfig{
		Test: []string{"CMD", "selvedge", "healthcheck"}, Interval: 30 * time.Second, Timeout: 5 * time.Second, StartPeriod: 10 * time.Second, Retries: 3,
	}
	c.Env = append(append([]string(nil), c.Env...), s.Env...)
	c.Labels = s.Labels
	if img, err = mutate.ConfigFile(img, file); err != nil {
		return nil, fmt.Errorf("write the image's configuration: %w", err)
	}
	if len(s.Annotations) > 0 {
		img = mutate.Annotations(img, s.Annotations).(v1.Image)
	}
	return img, nil
}

// Index joins the images of several platforms.
func Index(images []v1.Image) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, img := range images {
		file, err := img.ConfigFile()
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        img,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: file.OS, Architecture: file.Architecture, Variant: file.Variant}},
		})
	}
	return index, nil
}

// CompressedSize is what a registry keeps of the image, in bytes.
func CompressedSize(img v1.Image) (int64, error) {
	m, err := img.Manifest()
	if err != nil {
		return 0, err
	}
	total := m.Config.Size
	for _, l := range m.Layers {
		total += l.Size
	}
	return total, nil
}
