package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/selvedge-dev/selvedge/internal/config"
	"github.com/selvedge-dev/selvedge/internal/deno/release"
	"github.com/selvedge-dev/selvedge/internal/image"
)

// imageFlags are those of `selvedge image`.
type imageFlags struct {
	platforms, binaries           []string
	base, push, oci, tarball, tag string
	asJSON, noWarm                bool
}

// An imageReport is what `selvedge image` made.
type imageReport struct {
	Digest    string           `json:"digest"`
	Platforms []platformReport `json:"platforms"`
	Pushed    string           `json:"pushed,omitempty"`
	OCI       string           `json:"oci,omitempty"`
	Tarball   string           `json:"tarball,omitempty"`
}

type platformReport struct {
	Platform string        `json:"platform"`
	Digest   string        `json:"digest"`
	Bytes    int64         `json:"compressed_bytes"`
	Layers   []layerReport `json:"layers"`
}

type layerReport struct {
	Digest string `json:"digest"`
	Bytes  int64  `json:"compressed_bytes"`
	Holds  string `json:"holds"`
}

func newImage(s Streams) *cobra.Command {
	var f imageFlags
	cmd := &cobra.Command{
		Use:   "image",
		Short: "Make a container image of the functions, without Docker",
		Long: `Make a container image that holds this server, its Deno and the functions,
built ahead. It starts without a network, as user 65532, and writes below /tmp
only. The same input makes the same digest; times in it are 1970, or
SOURCE_DATE_EPOCH. Variables of functions (.env) and credentials (.npmrc) stay
out: give them to the container.

Each function is a layer of its own, so that a push after a change sends that
function. Credentials of registries are those of docker login and podman login.

The base needs glibc, libgcc and certificates. --base host makes one from those
of this machine, for its own platform. For another platform give --binary, or
run the command in Selvedge's source tree, where it compiles.`,
		Example: `  selvedge image --push registry.example.com/team/functions:1
  selvedge image --platform linux/amd64,linux/arm64 --push registry.example.com/team/functions:1
  selvedge image --tarball image.tar --tag functions:1 && docker load -i image.tar
  selvedge image --base host --oci ./layout --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := resolve(cmd, config.Build)
			if err != nil {
				return err
			}
			platforms, err := f.check()
			if err != nil {
				return usage(err)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return makeImage(ctx, s, cfg, f, platforms)
		},
	}
	config.Register(cmd.Flags(), config.Build)
	fl := cmd.Flags()
	fl.StringSliceVar(&f.platforms, "platform", []string{"linux/" + release.HostPlatform().Arch}, "the `PLATFORMS` to make it for: linux/amd64, linux/arm64")
	fl.StringSliceVar(&f.binaries, "binary", nil, "the selvedge of a platform, `PLATFORM=FILE`; by default this one where it fits")
	fl.StringVar(&f.base, "base", image.DefaultBase, "the image below, `REF`, or host")
	fl.StringVar(&f.push, "push", "", "push it as `REF`")
	fl.StringVar(&f.oci, "oci", "", "write an OCI image layout to `DIR`")
	fl.StringVar(&f.tarball, "tarball", "", "write an archive for docker load to `FILE`")
	fl.StringVar(&f.tag, "tag", "selvedge:latest", "what the image is called in --oci and --tarball, `NAME`")
	fl.BoolVar(&f.noWarm, "no-warm", false, "do not load the functions")
	fl.BoolVar(&f.asJSON, "json", false, "print JSON")
	return cmd
}

// check looks at what can be wrong before anything is done.
func (f *imageFlags) check() ([]release.Platform, error) {
	if f.push == "" && f.oci == "" && f.tarball == "" {
		return nil, errors.New("nowhere to put the image: give --push REF, --oci DIR or --tarball FILE")
	}
	var platforms []release.Platform
	for _, name := range f.platforms {
		goos, arch, _ := strings.Cut(strings.TrimSpace(name), "/")
		p := release.Platform{OS: goos, Arch: arch}
		if goos != "linux" || arch != "amd64" && arch != "arm64" {
			return nil, fmt.Errorf("--platform %s: use linux/amd64 or linux/arm64", name)
		}
		if !slices.Contains(platforms, p) {
			platforms = append(platforms, p)
		}
	}
	if f.tarball != "" && len(platforms) > 1 {
		return nil, errors.New("--tarball holds one platform; name one with --platform, or use --oci")
	}
	if f.base == "host" {
		for _, p := range platforms {
			if p != release.HostPlatform() {
				return nil, fmt.Errorf("--base host: this machine is %s, not %s; name a base image with --base", release.HostPlatform(), p)
			}
		}
	}
	for _, b := range f.binaries {
		if platform, path, ok := strings.Cut(b, "="); !ok || platform == "" || path == "" {
			return nil, fmt.Errorf("--binary %s: use PLATFORM=FILE, such as linux/arm64=./selvedge-arm64", b)
		}
	}
	return platforms, nil
}

// sourceDate is the time of everything in an image.
func sourceDate() (time.Time, error) {
	v := os.Getenv("SOURCE_DATE_EPOCH")
	if v == "" {
		return time.Unix(0, 0).UTC(), nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 {
		return time.Time{}, usage(fmt.Errorf("SOURCE_DATE_EPOCH=%q: use seconds since 1970", v))
	}
	return time.Unix(n, 0).UTC(), nil
}

func makeImage(ctx context.Context, s Streams, cfg *config.Config, f imageFlags, platforms []release.Platform) error {
	created, err := sourceDate()
	if err != nil {
		return err
	}
	app, err := stageApp(ctx, s, cfg, !f.noWarm)
	if err != nil {
		return err
	}
	defer app.remove()
	report := imageReport{}
	var images []v1.Image
	for _, p := range platforms {
		fmt.Fprintf(s.Err, "%s: making the image\n", p)
		img, err := app.image(ctx, s, cfg, f, p, created)
		if err != nil {
			return err
		}
		row, err := describe(img, p)
		if err != nil {
			return err
		}
		fmt.Fprintf(s.Err, "%s: %s compressed, %d layers\n", p, size(row.Bytes), len(row.Layers))
		report.Platforms = append(report.Platforms, row)
		images = append(images, img)
	}
	made := image.Artifact{Image: images[0]}
	if len(images) > 1 {
		if made.Index, err = image.Index(images); err != nil {
			return err
		}
	}
	digest, err := made.Digest()
	if err != nil {
		return err
	}
	report.Digest = digest.String()
	if f.oci != "" {
		if err := made.Layout(f.oci, f.tag); err != nil {
			return err
		}
		report.OCI = f.oci
	}
	if f.tarball != "" {
		if err := made.Tarball(f.tarball, f.tag); err != nil {
			return err
		}
		report.Tarball = f.tarball
	}
	if f.push != "" {
		if err := made.Push(ctx, f.push, image.PushOptions{Progress: pushProgress(s)}); err != nil {
			return err
		}
		if isTerminal(s.Err) {
			fmt.Fprint(s.Err, "\r\x1b[K")
		}
		fmt.Fprintf(s.Err, "pushed to %s\n", f.push)
		report.Pushed = f.push
	}
	if f.asJSON {
		enc := json.NewEncoder(s.Out)
		enc.SetIndent("", "  ")
		return enc.Encode(report)
	}
	fmt.Fprintln(s.Out, report.Digest)
	return nil
}

func describe(img v1.Image, p release.Platform) (platformReport, error) {
	row := platformReport{Platform: p.String()}
	digest, err := img.Digest()
	if err != nil {
		return row, err
	}
	row.Digest = digest.String()
	if row.Bytes, err = image.CompressedSize(img); err != nil {
		return row, err
	}
	m, err := img.Manifest()
	if err != nil {
		return row, err
	}
	file, err := img.ConfigFile()
	if err != nil {
		return row, err
	}
	var holds []string
	for _, h := range file.History {
		if !h.EmptyLayer {
			holds = append(holds, h.Comment)
		}
	}
	for i, l := range m.Layers {
		r := layerReport{Digest: l.Digest.String(), Bytes: l.Size}
		if len(holds) == len(m.Layers) { // a base need not tell its history
			r.Holds = holds[i]
		}
		row.Layers = append(row.Layers, r)
	}
	return row, nil
}

// pushProgress writes a live line on a terminal, and nothing to anything else.
func pushProgress(s Streams) func(done, total int64) {
	if !isTerminal(s.Err) {
		return nil
	}
	var last time.Time
	return func(done, total int64) {
		if time.Since(last) > 100*time.Millisecond {
			last = time.Now()
			fmt.Fprintf(s.Err, "\rpushing: %s of %s ", size(done), size(total))
		}
	}
}
