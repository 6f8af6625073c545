package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/selvedge-dev/selvedge/internal/deploy"
)

func newScale(s Streams) *cobra.Command {
	var target awsFlags
	var change changeFlags
	var bounds deploy.Scale
	cmd := &cobra.Command{
		Use:   "scale [N]",
		Short: "Change how many tasks a deployment on AWS has",
		Long: `Change how many tasks a deployment has at least, N or --min, and at most, --max.
Between the two their number follows the load. Everything else stays as it is, and
later deploys keep the numbers unless the settings have others. It does not ask.
Without numbers, print them.

Tasks beyond a new minimum end when they have little to do.`,
		Example: `  selvedge scale
  selvedge scale 4
  selvedge scale --min 1 --max 3 --env staging`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			least, most := cmd.Flags().Changed("min"), cmd.Flags().Changed("max")
			if len(args) > 0 {
				n, err := strconv.Atoi(args[0])
				if err != nil {
					return usage(fmt.Errorf("%q is no number of tasks", args[0]))
				}
				if least {
					return usage(errors.New("--min and N are the same; leave out one of them"))
				}
				bounds.Min, least = n, true
			}
			if least && bounds.Min < 1 || most && bounds.Max < 1 {
				return usage(errors.New("there is at least one task; to have none, use `selvedge destroy`"))
			}
			if least && most && bounds.Min > bounds.Max {
				return usage(fmt.Errorf("%d tasks at least and %d at most do not go together", bounds.Min, bounds.Max))
			}
			if !least && !most {
				return showScale(cmd, s, &target, change.asJSON)
			}
			settings, err := target.settings(s, "")
			if err != nil {
				return err
			}
			change.yes = true // it is but a number, and was just typed
			var result *deploy.Result
			err = change.run(cmd, s, settings, func(ctx context.Context, o *deploy.Operator, _ *progress) (*deploy.Result, error) {
				var err error
				result, err = o.Scale(ctx, bounds)
				return result, err
			})
			if err == nil && !change.asJSON {
				fmt.Fprint(s.Err, sayCost(result))
			}
			return err
		},
	}
	target.register(cmd)
	change.register(cmd)
	cmd.Flags().IntVar(&bounds.Min, "min", 0, "how many tasks there are at least, `N`")
	cmd.Flags().IntVar(&bounds.Max, "max", 0, "how many tasks there are at most, `N`")
	return cmd
}

func showScale(cmd *cobra.Command, s Streams, target *awsFlags, asJSON bool) error {
	ctx, stop, settings, clients, err := target.connect(cmd, s)
	if err != nil {
		return err
	}
	defer stop()
	status, err := clients.Status(ctx, settings.Names)
	if err != nil {
		return err
	}
	if asJSON {
		return printIndented(s.Out, status.Tasks)
	}
	t := status.Tasks
	fmt.Fprintf(s.Out, "%d to %d tasks; %d running, %d starting, %d wanted\n", t.Min, t.Max, t.Running, t.Pending, t.Desired)
	return nil
}

// sayCost says what another number of tasks costs, "" where it is the same.
func sayCost(r *deploy.Result) string {
	if r == nil || r.Changes == nil {
		return ""
	}
	for _, p := range r.Changes.Parameters {
		if p.Name != "DesiredCount" {
			continue
		}
		was, err1 := strconv.Atoi(p.Before)
		is, err2 := strconv.Atoi(p.After)
		if err1 != nil || err2 != nil {
			return ""
		}
		return fmt.Sprintf("%d tasks at least, were %d: `selvedge cost --deployed` says what that costs\n", is, was)
	}
	return ""
}
