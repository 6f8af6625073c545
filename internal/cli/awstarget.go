package cli

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/selvedge-dev/selvedge/internal/deploy"
)

// awsFlags say which deployment a command is about. Every command that talks
// to AWS has them.
type awsFlags struct {
	env, project, region, profile string
	configFile, parametersFile    string
	set                           []string
}

func (f *awsFlags) register(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.env, "env", "", "the environment, `NAME`: prod (production), staging, dev, or any other (default production) [$SELVEDGE_DEPLOY_ENVIRONMENT]")
	fl.StringVar(&f.project, "project", "", "the project's `NAME` on AWS (default supabase-edge-runtime) [$SELVEDGE_DEPLOY_PROJECT_NAME]")
	fl.StringVar(&f.region, "region", "", "the AWS `REGION` [$AWS_REGION]")
	fl.StringVar(&f.profile, "profile", "", "the `PROFILE` of the AWS configuration [$AWS_PROFILE]")
	fl.StringVar(&f.configFile, "deploy-config", "", "take settings from this `FILE` (default: the selvedge.toml here or beside the functions)")
}

// given is the first of the flags that was given, "" for none.
func (f *awsFlags) given(cmd *cobra.Command) string {
	for _, name := range []string{"env", "project", "region", "profile", "deploy-config"} {
		if cmd.Flags().Changed(name) {
			return name
		}
	}
	return ""
}

// registerSettings adds the flags of commands that change what is deployed.
func (f *awsFlags) registerSettings(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.parametersFile, "parameters", "", "take parameters from this `FILE` (default: the parameters.json here or beside the functions)")
	cmd.Flags().StringArrayVar(&f.set, "set", nil, "set a parameter, `KEY=VALUE`, such as desired_count=3; may be repeated")
}

// settings makes the settings from flags, variables and files. functions is
// the functions folder, "" where the command has none.
func (f *awsFlags) settings(s Streams, functions string) (*deploy.Settings, error) {
	src := deploy.Source{ConfigFile: f.configFile, ParametersFile: f.parametersFile, Environ: os.Environ(), Flags: map[string]deploy.Value{}}
	cwd, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	src.Dirs = []string{cwd}
	if functions != "" {
		beside := filepath.Dir(functions)
		src.Dirs = append(src.Dirs, beside, filepath.Dir(beside))
	}
	for flag, value := range map[[2]string]string{
		{"--env", "environment"}: f.env, {"--project", "project_name"}: f.project,
		{"--region", "region"}: f.region, {"--profile", "profile"}: f.profile,
	} {
		if value != "" {
			src.Flags[flag[1]] = deploy.Value{Text: value, Origin: flag[0]}
		}
	}
	for _, text := range f.set {
		key, value, err := deploy.ParseSet(text)
		if err != nil {
			return nil, usage(err)
		}
		src.Flags[key] = value
	}
	settings, err := deploy.Resolve(src)
	if err != nil {
		return nil, err
	}
	warnAll(s.Err, settings.Warnings...)
	return settings, nil
}

// connect makes the settings and the clients of a command that has no business
// with the functions here. ctx ends with the program's signals; the caller
// calls stop.
func (f *awsFlags) connect(cmd *cobra.Command, s Streams) (ctx context.Context, stop func(), settings *deploy.Settings, clients *deploy.Clients, err error) {
	if settings, err = f.settings(s, ""); err != nil {
		return nil, nil, nil, nil, err
	}
	ctx, stop = signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	if clients, err = deploy.Connect(ctx, settings.Profile.Text, settings.Region.Text); err != nil {
		stop()
		return nil, nil, nil, nil, err
	}
	return ctx, stop, settings, clients, nil
}
