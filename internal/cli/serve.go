package cli

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/selvedge-dev/selvedge/internal/config"
)

func newServe(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the functions in production",
		Long: `Serve the functions of a folder. Logs go to stdout, one JSON object a line
unless stdout is a terminal. Nothing is watched, and a function that was called keeps its code: a change on
disk takes effect at the next start.`,
		Example: `  selvedge serve --functions ./supabase/functions --listen :9000
  SELVEDGE_PRESTART=8 selvedge serve`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := resolve(cmd, config.Serve)
			if err != nil {
				return err
			}
			set, project, err := discover(s.Err, cfg)
			if err != nil {
				return err
			}
			srv, err := startServer(cmd.Context(), s, cfg, set, project)
			if err != nil {
				return err
			}
			fmt.Fprintf(s.Err, "Selvedge %s serves %s on %s\n", currentVersion(), functions(set.Len()), srv.url())
			srv.sayAdmin(s.Err)
			return srv.run(cmd.Context(), s.Err)
		},
	}
	config.Register(cmd.Flags(), config.Serve)
	return cmd
}

// functions says how many there are.
func functions(n int) string {
	if n == 1 {
		return "1 function"
	}
	return strconv.Itoa(n) + " functions"
}
