package cli

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/selvedge-dev/selvedge/internal/admin"
	"github.com/selvedge-dev/selvedge/internal/observe"
)

func newLogs(s Streams) *cobra.Command {
	var q admin.LogQuery
	var which string
	var functions []string
	var asJSON, onAWS bool
	var target awsFlags
	cmd := &cobra.Command{
		Use:   "logs [NAME...]",
		Short: "Print what functions said and went through of late",
		Long: `Print the last lines of the log of a server that runs on this machine: of the
functions named, or of all of them and the server itself. The server keeps some
600 lines of each function, and of the access log some 200 lines more, in
memory; what the log of the server leaves out is not here either.

With --aws, print the log of a deployment, of all of its tasks: of the last hour,
and with --follow of the last ten minutes and from then on.`,
		Example: `  selvedge logs hello --follow
  selvedge logs --aws --follow --function hello
  selvedge logs --aws --env staging --since 2d --level error
  selvedge logs --since 5m --level warn
  selvedge logs --request 019f0f5e-7a51-7c3a-b6a1-0d6ef3a1c2b4 --json`,
		Args: cobra.ArbitraryArgs,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return completeFunctions(cmd.Context(), which, args), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Functions = append(args, functions...)
			if slices.Contains(q.Functions, "") {
				return usage(errors.New("a function's name is empty"))
			}
			if cmd.Flags().Changed("tail") && q.Last < 1 {
				return usage(fmt.Errorf("--tail %d: use a number above 0", q.Last))
			}
			if onAWS {
				return followAWS(cmd, s, &target, q, asJSON)
			}
			if name := target.given(cmd); name != "" {
				return usage(fmt.Errorf("--%s is for deployments; add --aws", name))
			}
			// An interrupt is how following ends; it is no failure.
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			server, err := attach(ctx, which)
			if err != nil {
				return err
			}
			err = printLogs(ctx, s, server, q, asJSON)
			var refused *admin.RefusedError
			switch {
			case ctx.Err() != nil:
				return nil
			case errors.As(err, &refused) && refused.Status == 400:
				return usage(err)
			case err == nil && q.Follow:
				fmt.Fprintln(s.Err, paint(s.Err, dim, "The server has stopped"))
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&q.Follow, "follow", "f", false, "go on with the lines to come, until interrupted")
	cmd.Flags().StringVar(&q.Since, "since", "", "leave out what is older than a duration (5m), or than a `TIME` of RFC 3339")
	cmd.Flags().StringVar(&q.Level, "level", "", "leave out what is below a `LEVEL`: debug, info, warn or error")
	cmd.Flags().StringVar(&q.RequestID, "request", "", "only what belongs to the request with this `ID`, an answer's sb-request-id")
	cmd.Flags().IntVarP(&q.Last, "tail", "n", 0, "begin with the last `N` lines (default all that are kept)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the lines as they are in the log, one JSON object each")
	cmd.Flags().StringArrayVar(&functions, "function", nil, "only what belongs to the function `NAME`, as if it were an argument; may be repeated")
	serverFlag(cmd, &which)
	cmd.Flags().BoolVar(&onAWS, "aws", false, "the log of a deployment on AWS; the flags below say which")
	target.register(cmd)
	return cmd
}

// completeFunctions are the names that the shell offers, without those given.
func completeFunctions(ctx context.Context, which string, given []string) []string {
	server, err := attach(ctx, which)
	if err != nil {
		return nil
	}
	all, _ := server.Functions(ctx) // without them there is nothing to offer
	var names []string
	for _, f := range all {
		if !slices.Contains(given, f.Function) {
			names = append(names, plain(f.Function))
		}
	}
	return names
}

func printLogs(ctx context.Context, s Streams, server *admin.Client, q admin.LogQuery, asJSON bool) error {
	if asJSON {
		return server.Logs(ctx, q, func(line []byte) error {
			_, err := s.Out.Write(append(line, '\n'))
			return err
		})
	}
	return server.Logs(ctx, q, observe.NewPrinter(s.Out, colored(s.Out)).Print)
}
