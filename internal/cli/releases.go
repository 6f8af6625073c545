package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/selvedge-dev/selvedge/internal/deploy"
)

func newReleases(s Streams) *cobra.Command {
	var target awsFlags
	var asJSON bool
	var most int
	cmd := &cobra.Command{
		Use:   "releases",
		Short: "List what was deployed on AWS, and what runs",
		Long: `List the releases of a deployment, the newest first: the revisions of its task
definition, with the image of each. ` + "`selvedge rollback`" + ` brings one back, as long as
its image is in the repository, which keeps the last 20.`,
		Example: `  selvedge releases
  selvedge releases --env staging --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if most < 1 {
				return usage(fmt.Errorf("--limit %d: write a number from 1", most))
			}
			ctx, stop, settings, clients, err := target.connect(cmd, s)
			if err != nil {
				return err
			}
			defer stop()
			list, err := clients.Releases(ctx, settings.Names, most)
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(s.Out)
				enc.SetIndent("", "  ")
				return enc.Encode(list)
			}
			return printReleases(s, list)
		},
	}
	target.register(cmd)
	cmd.Flags().IntVarP(&most, "limit", "n", 20, "list this many, `N`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printReleases(s Streams, list []deploy.Release) error {
	t := tabwriter.NewWriter(s.Out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "REVISION\tRELEASE\tTIME\tIMAGE\tBY\t")
	for _, r := range list {
		digest := r.Image
		if r.Digest != "" {
			digest = cut(strings.TrimPrefix(r.Digest, "sha256:"), 13)
		}
		note := ""
		switch {
		case r.Current:
			note = "runs"
		case r.Gone:
			note = "its image is gone"
		}
		by := r.By[strings.LastIndexAny(r.By, "/:")+1:]
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\n", r.Revision, orDash(r.Release), r.Time.UTC().Format("2006-01-02 15:04:05"), digest, orDash(by), note)
	}
	return t.Flush()
}
