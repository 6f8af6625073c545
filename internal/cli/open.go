package cli

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/selvedge-dev/selvedge/internal/deploy"
)

func newOpen(s Streams) *cobra.Command {
	var target awsFlags
	var dashboard, printOnly bool
	cmd := &cobra.Command{
		Use:   "open [NAME]",
		Short: "Print and open the address of the functions on AWS",
		Long: `Print the address of a deployment's functions, or of the function named, and open
it in the browser where the output is a terminal.`,
		Example: `  selvedge open
  selvedge open hello
  selvedge open --dashboard
  curl "$(selvedge open hello)" -H "apikey: $ANON_KEY"`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if dashboard && len(args) > 0 {
				return usage(fmt.Errorf("--dashboard is not of one function; leave out %s", args[0]))
			}
			ctx, stop, settings, clients, err := target.connect(cmd, s)
			if err != nil {
				return err
			}
			defer stop()
			k, err := clients.NeedStack(ctx, settings.Names)
			if err != nil {
				return err
			}
			address, err := addressOf(k, dashboard, args)
			if err != nil {
				return err
			}
			fmt.Fprintln(s.Out, address)
			if printOnly || !isTerminal(s.Out) {
				return nil
			}
			if err := browse(ctx, address); err != nil {
				fmt.Fprintf(s.Err, "No browser could be opened: %v\n", err)
			}
			return nil
		},
	}
	target.register(cmd)
	cmd.Flags().BoolVar(&dashboard, "dashboard", false, "the dashboard with requests, errors, times and tasks")
	cmd.Flags().BoolVar(&printOnly, "print", false, "only print it")
	return cmd
}

// addressOf is the address of the functions, of one of them, or of the
// dashboard.
func addressOf(k *deploy.Stack, dashboard bool, args []string) (string, error) {
	output := "FunctionsUrl"
	if dashboard {
		output = "DashboardUrl"
	}
	address := k.Outputs[output]
	if address == "" {
		return "", &deploy.Problem{What: "the stack " + k.Name + " has no address yet", Why: "it is in the state " + string(k.Status),
			Next: []string{"see how it is: selvedge status"}}
	}
	if len(args) > 0 {
		address = strings.TrimSuffix(address, "/") + "/" + strings.TrimPrefix(args[0], "/")
	}
	return address, nil
}

// browse opens an address in the user's browser.
func browse(ctx context.Context, address string) error {
	// It is an output of a stack, which others may have written.
	if u, err := url.Parse(address); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return fmt.Errorf("%q is no address of a web page", address)
	}
	command := []string{"xdg-open", address}
	if runtime.GOOS == "darwin" {
		command[0] = "open"
	}
	if browser := os.Getenv("BROWSER"); browser != "" {
		command[0] = browser
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return exec.CommandContext(ctx, command[0], command[1:]...).Run()
}
