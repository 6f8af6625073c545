package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/selvedge-dev/selvedge/internal/config"
)

func newConfig(s Streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print the configuration in force, and where each value came from",
		Long: `Print the configuration that ` + "`selvedge serve`" + ` would run with, and where each
value came from. Secrets are masked.`,
		Example: `  selvedge config
  selvedge config --functions ./supabase/functions --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := resolve(cmd, config.Serve)
			if err != nil {
				return err
			}
			set, project, err := cfg.Discover()
			if err != nil {
				return usage(err)
			}
			warnings := append(append(cfg.Warnings(), project.Warnings...), set.Warnings()...)
			functions := config.ExplainFunctions(set)
			if asJSON {
				enc := json.NewEncoder(s.Out)
				enc.SetIndent("", "  ")
				return enc.Encode(map[string]any{"settings": cfg.Explain(), "functions": functions, "warnings": warnings})
			}
			warnAll(s.Err, warnings...)
			t := tabwriter.NewWriter(s.Out, 0, 4, 2, ' ', 0)
			fmt.Fprintln(t, "SETTING\tVALUE\tFROM")
			for _, v := range cfg.Explain() {
				fmt.Fprintf(t, "%s\t%s\t%s\n", v.Name, orDash(v.Value), v.Source)
			}
			if err := t.Flush(); err != nil {
				return err
			}
			for _, f := range functions {
				printFunction(s, f)
			}
			return nil
		},
	}
	config.Register(cmd.Flags(), config.Serve)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printFunction(s Streams, f config.FunctionInfo) {
	fmt.Fprintf(s.Out, "\n%s\n", paint(s.Out, bold, f.Slug))
	if f.Problem != "" {
		fmt.Fprintf(s.Out, "  %s %s\n", paint(s.Out, red, "cannot be run:"), f.Problem)
		return
	}
	t := tabwriter.NewWriter(s.Out, 0, 4, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(t, "  %s\t%s\n", name, value)
		}
	}
	row("entrypoint", f.Entrypoint)
	row("imports", f.Imports)
	row(".npmrc", f.NPMRC)
	row("static files", strings.Join(f.Static, ", "))
	row("verify_jwt", fmt.Sprint(f.VerifyJWT))
	row("policy", string(f.Policy))
	if l := f.Limits; l != nil {
		row("limits", fmt.Sprintf("memory %d MB, files %d MB, %d open files, log %d lines/s, CPU %d ms, wall clock %gs, request idle %gs, worker idle %gs, %d workers of %d requests",
			l.MemoryMB, l.TmpMB, l.OpenFiles, l.LogLinesS, l.CPUMS, l.TimeoutS, l.IdleTimeoutS, l.WorkerIdleS, l.MaxWorkers, l.MaxConcurrency))
		body := "off"
		if l.MaxBodyMB != nil {
			body = fmt.Sprintf("%g MB", *l.MaxBodyMB)
		}
		row("admission", fmt.Sprintf("queue of %d for %gs at most, rate limit %s, body limit %s", l.MaxQueue, l.QueueTimeoutS, l.RateLimit, body))
	}
	switch {
	case f.AllowNetDryRun:
		row("network", "anywhere, and the log says where (allow_net_dry_run)")
	case f.AllowNet != nil && len(*f.AllowNet) == 0:
		row("network", "nowhere")
	case f.AllowNet != nil:
		row("network", strings.Join(*f.AllowNet, ", "))
	}
	for _, e := range f.Env {
		fmt.Fprintf(t, "  env %s\t%s\t%s\n", e.Name, e.Value, e.Source)
	}
	_ = t.Flush()
}

func orDash(v string) string {
	if v == "" {
		return "-"
	}
	return v
}
