package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/selvedge-dev/selvedge/internal/config"
	"github.com/selvedge-dev/selvedge/internal/deploy"
	"github.com/selvedge-dev/selvedge/internal/image"
)

// changeFlags are those of commands that change what is deployed.
type changeFlags struct {
	deploy.Options
	yes, asJSON bool
}

func (f *changeFlags) register(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.BoolVar(&f.DryRun, "dry-run", false, "show what would change, and change nothing that runs")
	fl.BoolVar(&f.NoRollback, "no-rollback", false, "leave what fails as it is, to be looked at")
	fl.StringVar(&f.URL, "url", "", "ask the functions at this `URL` whether they answer (default: the stack's own)")
	fl.DurationVar(&f.WaitTimeout, "wait-timeout", deploy.DefaultWait, "how long the change, and then the wait for healthy tasks, may take, `DURATION`")
	fl.BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	fl.BoolVar(&f.asJSON, "json", false, "print JSON, and no progress")
}

// run carries out a change and prints what came of it.
func (f *changeFlags) run(cmd *cobra.Command, s Streams, settings *deploy.Settings, change func(context.Context, *deploy.Operator, *progress) (*deploy.Result, error)) error {
	if !f.yes && !f.DryRun && !isTerminal(s.In) {
		return &deploy.Problem{What: "nobody can be asked: the input is no terminal", Usage: true, Next: []string{"say yes beforehand with --yes, or see what would happen with --dry-run"}}
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	p := newProgress(s, f.asJSON)
	result, err := func() (*deploy.Result, error) {
		defer p.close()
		clients, err := deploy.Connect(ctx, settings.Profile.Text, settings.Region.Text)
		if err != nil {
			return nil, err
		}
		o := &deploy.Operator{Clients: clients, Settings: settings, Report: p, Ask: &asker{s: s, p: p, yes: f.yes, flag: "--yes"}, Options: f.Options}
		return change(ctx, o, p)
	}()
	if f.asJSON {
		if err := printOutcome(s, result, err); err != nil {
			return err
		}
		return err
	}
	if err != nil {
		return err
	}
	f.print(s, result)
	return nil
}

// printOutcome prints the result as JSON, or what failed.
func printOutcome(s Streams, r any, err error) error {
	enc := json.NewEncoder(s.Out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err == nil {
		return enc.Encode(r)
	}
	failure := struct {
		What    string   `json:"what"`
		Why     string   `json:"why,omitempty"`
		Details []string `json:"details,omitempty"`
		State   string   `json:"state,omitempty"`
		Next    []string `json:"next,omitempty"`
	}{What: err.Error()}
	var p *deploy.Problem
	if errors.As(err, &p) {
		failure.What, failure.Why, failure.Details, failure.State, failure.Next = p.What, p.Why, p.Details, p.State, p.Next
	}
	return enc.Encode(map[string]any{"state": "failed", "error": failure})
}

// print says where the functions are, and what to do with them.
func (f *changeFlags) print(s Streams, r *deploy.Result) {
	switch r.State {
	case "planned":
		fmt.Fprintln(s.Err, "Nothing that runs has changed (--dry-run).")
		return
	case "stored":
		fmt.Fprintln(s.Err, "Stored. What runs is as it was; the next deploy takes it.")
		return
	case "unchanged":
		fmt.Fprintf(s.Err, "Nothing changed: release %s of %s is deployed.\n", orDash(r.Release), r.Stack)
	default:
		fmt.Fprintf(s.Err, "Release %s of %s is live after %s.\n", orDash(r.Release), r.Stack, (time.Duration(r.Seconds * float64(time.Second))).Round(100*time.Millisecond))
	}
	env := ""
	if r.Environment != "production" {
		env = " --env " + r.Environment
	}
	fmt.Fprintf(s.Err, "  how it is:  selvedge status%s\n  its log:    selvedge logs --aws --follow%s\n  back:       selvedge rollback%s\n", env, env, env)
	if r.URL != "" {
		fmt.Fprintln(s.Out, r.URL)
	}
}

func newDeploy(s Streams) *cobra.Command {
	var target awsFlags
	var change changeFlags
	var img imageFlags
	cmd := &cobra.Command{
		Use:   "deploy",
		Short: "Bring the functions to AWS, or bring them up to date there",
		Long: `Bring the functions to ECS Fargate behind a load balancer, or bring what is
there up to date, without a moment in which nothing answers: make the image
(without Docker), push it, show what would change, ask, change it, wait until
every task is healthy and the old ones are gone, and ask the functions whether
they answer. What fails is taken back.

Run again, it does nothing where nothing has changed. An interrupt leaves a
state that it names.

Settings come from flags, then variables (SELVEDGE_DEPLOY_* for each key), then
selvedge.toml ([deploy.env.NAME] before [deploy]), then parameters.json, then
what is deployed already. Keys come from JWT_SECRET, ANON_KEY and
SERVICE_ROLE_KEY, then .env beside the functions folder, then parameters.json,
then from Secrets Manager, where the deploy keeps them. docs/aws.md has them all.`,
		Example: `  selvedge deploy
  selvedge deploy --env staging --dry-run
  selvedge deploy --set desired_count=3 --set memory=2048
  selvedge deploy --yes --json                  # in CI`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := resolve(cmd, config.Build)
			if err != nil {
				return err
			}
			settings, err := target.settings(s, cfg.Functions)
			if err != nil {
				return err
			}
			keys, err := deployKeys(cfg, cmd.Flags().Changed("env-file"))
			if err != nil {
				return err
			}
			if settings.Base.Text != "" && !cmd.Flags().Changed("base") {
				img.base = settings.Base.Text
			}
			return change.run(cmd, s, settings, func(ctx context.Context, o *deploy.Operator, p *progress) (*deploy.Result, error) {
				return o.Deploy(ctx, &deployImages{s: s, cfg: cfg, flags: img, p: p}, keys)
			})
		},
	}
	config.Register(cmd.Flags(), config.Build)
	target.register(cmd)
	target.registerSettings(cmd)
	change.register(cmd)
	fl := cmd.Flags()
	fl.StringVar(&img.base, "base", image.DefaultBase, "the image below, `REF`, or host [$SELVEDGE_DEPLOY_BASE]")
	fl.StringSliceVar(&img.binaries, "binary", nil, "the selvedge of a platform, `PLATFORM=FILE`; by default this one where it fits")
	fl.BoolVar(&img.noWarm, "no-warm", false, "do not load the functions while making the image")
	if f := fl.Lookup("env-file"); f != nil {
		f.Usage = "take the keys from this `FILE` (default: .env beside the functions folder)"
	}
	return cmd
}

func newRollback(s Streams) *cobra.Command {
	var target awsFlags
	var change changeFlags
	var withSecrets bool
	cmd := &cobra.Command{
		Use:   "rollback [VERSION]",
		Short: "Bring back an earlier release on AWS",
		Long: `Bring back an earlier release: the one before the current one, or VERSION, which
is a revision, a release or the beginning of an image's digest, as
` + "`selvedge releases`" + ` lists them. Only the image goes back, and with
--with-secrets what the secrets were; sizes and other settings stay. It asks,
waits and checks as a deploy does.`,
		Example: `  selvedge rollback
  selvedge rollback 20260102T030405Z --env staging
  selvedge rollback 7 --with-secrets --yes`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			settings, err := target.settings(s, "")
			if err != nil {
				return err
			}
			version := ""
			if len(args) > 0 {
				version = args[0]
			}
			return change.run(cmd, s, settings, func(ctx context.Context, o *deploy.Operator, _ *progress) (*deploy.Result, error) {
				return o.Rollback(ctx, version, withSecrets)
			})
		},
	}
	target.register(cmd)
	change.register(cmd)
	cmd.Flags().BoolVar(&withSecrets, "with-secrets", false, "bring back the versions of the secrets too")
	return cmd
}
