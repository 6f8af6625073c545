package cli

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/selvedge-dev/selvedge/internal/deno/release"
)

// version is set by the linker for a release.
var version = ""

// currentVersion falls back on what the Go tool knows about the module.
func currentVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "0.1.0-dev"
}

func newVersion(s Streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the versions of Selvedge and of the Deno it runs",
		Example: "  selvedge version --json",
		RunE: func(*cobra.Command, []string) error {
			platform := runtime.GOOS + "/" + runtime.GOARCH
			if asJSON {
				return json.NewEncoder(s.Out).Encode(map[string]string{
					"selvedge": currentVersion(), "deno": release.Version, "go": runtime.Version(), "platform": platform,
				})
			}
			_, err := fmt.Fprintf(s.Out, "selvedge %s (deno %s, %s, %s)\n", currentVersion(), release.Version, runtime.Version(), platform)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
