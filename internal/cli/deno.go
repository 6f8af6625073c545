package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/selvedge-dev/selvedge/internal/config"
	"github.com/selvedge-dev/selvedge/internal/deno/release"
	"github.com/selvedge-dev/selvedge/internal/wholefile"
)

func newDeno(s Streams) *cobra.Command {
	var platform, to string
	cmd := &cobra.Command{
		Use:   "deno",
		Short: "Fetch the pinned Deno and print where it is",
		Long: `Fetch the Deno that this version of Selvedge runs functions on, unless it is
there already, verify it, and print its path. Other commands do so by
themselves; this one is for images and for machines that will have no network.`,
		Example: `  selvedge deno
  selvedge deno --platform linux/arm64 --to ./deno`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			wanted := release.HostPlatform()
			if platform != "" {
				goos, arch, ok := strings.Cut(platform, "/")
				if !ok || goos == "" || arch == "" {
					return usage(fmt.Errorf("--platform %s: write OS/ARCH, such as linux/arm64", platform))
				}
				wanted = release.Platform{OS: goos, Arch: arch}
			}
			cfg, err := resolve(cmd, config.Build)
			var missing *config.FolderError
			if errors.As(err, &missing) {
				cfg, err = resolveWithout(cmd)
			}
			if err != nil {
				return err
			}
			binary, err := ensureDeno(cmd.Context(), s.Err, cfg, wanted)
			if err != nil {
				return err
			}
			path := binary.Path
			if to != "" {
				if path, err = filepath.Abs(to); err != nil {
					return err
				}
				if err := copyProgram(binary.Path, path); err != nil {
					return fmt.Errorf("copy Deno: %w", err)
				}
			}
			fmt.Fprintln(s.Out, path)
			return nil
		},
	}
	config.Register(cmd.Flags(), config.Build)
	cmd.Flags().StringVar(&platform, "platform", "", "for the platform `OS/ARCH`; by default this one")
	cmd.Flags().StringVar(&to, "to", "", "put a copy at `FILE`")
	return cmd
}

// copyProgram makes to a copy of from in one step: nobody runs half of it.
func copyProgram(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	return wholefile.Write(to, wholefile.Options{Mode: 0o755, Temp: ".partial-"}, func(w io.Writer) error {
		_, err := io.Copy(w, in)
		return err
	})
}
