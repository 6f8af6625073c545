package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/selvedge-dev/selvedge/internal/deploy"
)

func newSecrets(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secrets",
		Short: "Set, list and unset secrets of functions on AWS, and the project's keys",
		Long: `Set, list and unset what functions of a deployment have as variables, and the
project's keys (JWT_SECRET, ANON_KEY, SERVICE_ROLE_KEY, SUPABASE_PUBLISHABLE_KEYS,
SUPABASE_SECRET_KEYS, SUPABASE_JWKS, SUPABASE_DB_URL). They are kept in Secrets
Manager, and never shown again. A change replaces the tasks that run, one by one.`,
		Example: `  selvedge secrets set STRIPE_KEY                  # asks for the value
  selvedge secrets set --env-file production.env
  (umask 077; selvedge keys > new.env); selvedge secrets set --env-file new.env
  selvedge secrets list`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSecretsSet(s), newSecretsList(s), newSecretsUnset(s))
	for _, c := range cmd.Commands() {
		wrapArgs(c)
	}
	return cmd
}

func newSecretsSet(s Streams) *cobra.Command {
	var target awsFlags
	var change changeFlags
	var in secretInput
	var noDeploy bool
	cmd := &cobra.Command{
		Use:   "set [NAME|NAME=VALUE|-]...",
		Short: "Set secrets, and have the tasks that run replaced by ones that have them",
		Long: `Set secrets. The value of a NAME alone is asked for, or read from stdin where that
is no terminal, or from --from-file. "-" reads lines NAME=VALUE from stdin, as
--env-file does from a file. A value in an argument can be seen by whoever sees the
list of processes, and is in the shell's history.

Keys of the project are taken if the anon and service_role keys verify under the
JWT secret as it would be.`,
		Example: `  selvedge secrets set STRIPE_KEY
  selvedge secrets set TLS_KEY --from-file key.pem --yes
  op read op://prod/stripe/key | selvedge secrets set STRIPE_KEY --yes
  selvedge secrets set --env-file production.env --no-deploy`,
		RunE: func(cmd *cobra.Command, args []string) error {
			settings, err := target.settings(s, "")
			if err != nil {
				return err
			}
			values, skipped, err := in.read(cmd.Context(), s, args)
			if errors.Is(err, errAskInterrupted) {
				return err
			}
			if err != nil {
				return usage(err)
			}
			warnAll(s.Err, skipped...)
			return changeSecrets(cmd, s, &change, settings, deploy.SecretChange{Set: values, NoDeploy: noDeploy})
		},
		Args: cobra.ArbitraryArgs,
	}
	target.register(cmd)
	change.register(cmd)
	cmd.Flags().StringVar(&in.envFile, "env-file", "", "set what this `FILE` of NAME=VALUE lines has, - for stdin")
	cmd.Flags().StringVar(&in.fromFile, "from-file", "", "the value is the content of this `FILE`, - for stdin")
	cmd.Flags().BoolVar(&noDeploy, "no-deploy", false, "leave what runs as it is; the next deploy takes the secrets")
	return cmd
}

func newSecretsUnset(s Streams) *cobra.Command {
	var target awsFlags
	var change changeFlags
	var noDeploy bool
	cmd := &cobra.Command{
		Use:     "unset NAME...",
		Short:   "Remove secrets, and have the tasks that run replaced by ones without them",
		Example: "  selvedge secrets unset STRIPE_KEY OLD_KEY",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			settings, err := target.settings(s, "")
			if err != nil {
				return err
			}
			return changeSecrets(cmd, s, &change, settings, deploy.SecretChange{Unset: args, NoDeploy: noDeploy})
		},
	}
	target.register(cmd)
	change.register(cmd)
	cmd.Flags().BoolVar(&noDeploy, "no-deploy", false, "leave what runs as it is; the next deploy takes the change")
	return cmd
}

func changeSecrets(cmd *cobra.Command, s Streams, change *changeFlags, settings *deploy.Settings, c deploy.SecretChange) error {
	change.yes = change.yes || c.NoDeploy // nothing is asked then
	c.Verify = verifyKeys
	return change.run(cmd, s, settings, func(ctx context.Context, o *deploy.Operator, _ *progress) (*deploy.Result, error) {
		return o.ChangeSecrets(ctx, c)
	})
}

func newSecretsList(s Streams) *cobra.Command {
	var target awsFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List secrets and when each was changed, never their values",
		Example: "  selvedge secrets list --env staging",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop, settings, clients, err := target.connect(cmd, s)
			if err != nil {
				return err
			}
			defer stop()
			list, err := clients.ListSecrets(ctx, settings.Names)
			if err != nil {
				return err
			}
			if asJSON {
				return printIndented(s.Out, list)
			}
			printSecrets(s.Out, list, time.Now())
			for _, name := range list.Pending {
				fmt.Fprintf(s.Err, "Tasks that run have an older version of %s; a deploy brings them up to date.\n", name)
			}
			return nil
		},
	}
	target.register(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printSecrets(w io.Writer, list *deploy.SecretList, now time.Time) {
	group := func(title string, names []deploy.NamedSecret) {
		fmt.Fprintln(w, paint(w, bold, title))
		if len(names) == 0 {
			fmt.Fprintln(w, "  none")
		}
		width := 0
		for _, n := range names {
			width = max(width, len(n.Name))
		}
		for _, n := range names {
			when := "changed " + inWords(n.Changed, now)
			if n.Before {
				when = "changed before " + n.Changed.UTC().Format("2006-01-02")
			}
			fmt.Fprintf(w, "  %-*s  %s\n", width, harmless(n.Name), when)
		}
	}
	group("Secrets of functions", list.Functions)
	group("Keys of the project", list.Keys)
}
