package cli

import (
	"context"
	"fmt"
	"io"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/selvedge-dev/selvedge/internal/deploy"
)

func newDestroy(s Streams) *cobra.Command {
	var target awsFlags
	var options deploy.Options
	var yes, asJSON bool
	var name string
	cmd := &cobra.Command{
		Use:   "destroy",
		Short: "Remove a deployment from AWS",
		Long: `Remove a deployment: its stacks with all that is in them, its releases and images,
and its secrets, which can be brought back for 30 days. It asks to type the stack's
name, and says what remains and how to remove that. Run again, it goes on where it
ended.`,
		Example: `  selvedge destroy --env staging
  selvedge destroy --dry-run
  selvedge destroy --yes --name supabase-edge-runtime-dev --env dev`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := target.settings(s, "")
			if err != nil {
				return err
			}
			switch {
			case yes && name == "":
				return usage(fmt.Errorf("--yes needs the stack's name, too: --name %s", settings.Stack()))
			case name != "" && name != settings.Stack():
				return usage(fmt.Errorf("--name %s is another than that of this deployment, %s", name, settings.Stack()))
			case !yes && !options.DryRun && !isTerminal(s.In):
				return &deploy.Problem{What: "nobody can be asked: the input is no terminal", Usage: true, Next: []string{"say yes beforehand: --yes --name " + settings.Stack(), "or see what there is: --dry-run"}}
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop) // a second signal ends the program at once
			p := newProgress(s, asJSON)
			result, err := func() (*deploy.Destroyed, error) {
				defer p.close()
				clients, err := deploy.Connect(ctx, settings.Profile.Text, settings.Region.Text)
				if err != nil {
					return nil, err
				}
				o := &deploy.Operator{Clients: clients, Settings: settings, Report: p, Ask: &asker{s: s, p: p, yes: yes, flag: "--yes --name " + settings.Stack()}, Options: options}
				return o.Destroy(ctx)
			}()
			if asJSON {
				if printErr := printOutcome(s, result, err); printErr != nil {
					return printErr
				}
				return err
			}
			if err == nil {
				printDestroyed(s.Out, s.Err, result)
			}
			return err
		},
	}
	target.register(cmd)
	fl := cmd.Flags()
	fl.BoolVar(&options.DryRun, "dry-run", false, "show what there is to be removed, and remove nothing")
	fl.DurationVar(&options.WaitTimeout, "wait-timeout", deploy.DefaultWait, "how long each stack may take, `DURATION`")
	fl.BoolVarP(&yes, "yes", "y", false, "do not ask; needs --name")
	fl.StringVar(&name, "name", "", "the stack's `NAME`, for --yes")
	fl.BoolVar(&asJSON, "json", false, "print JSON, and no progress")
	return cmd
}

func printDestroyed(out, errs io.Writer, r *deploy.Destroyed) {
	switch r.State {
	case "absent":
		fmt.Fprintf(errs, "There is nothing of %s in %s (account %s).\n", r.Stack, r.Region, r.Account)
		return
	case "planned":
		fmt.Fprintln(errs, "Nothing was removed (--dry-run).")
	default:
		fmt.Fprintf(errs, "%s is destroyed after %s.\n", r.Stack, (time.Duration(r.Seconds * float64(time.Second))).Round(100*time.Millisecond))
	}
	if len(r.Remains) == 0 {
		return
	}
	fmt.Fprintln(errs, "What remains:")
	for _, left := range r.Remains {
		fmt.Fprintf(out, "  %s\n", harmless(left.What))
		if left.Remove != "" {
			fmt.Fprintf(out, "    remove it: %s\n", harmless(left.Remove))
		}
	}
}
