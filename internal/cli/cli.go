// Package cli is the command line: one command a file, and the only place
// where the parts are wired together.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/selvedge-dev/selvedge/internal/config"
	"github.com/selvedge-dev/selvedge/internal/deploy"
	"github.com/selvedge-dev/selvedge/internal/machine"
)

// Streams are the three a command uses: data goes to Out, everything about
// how it is going to Err.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Exit codes, as `selvedge --help` documents them.
const (
	exitOK    = 0
	exitFail  = 1 // the command did not do what it was asked
	exitUsage = 2 // flags, variables or files are wrong; nothing was done
	exitCut   = 3 // the server stopped, but requests were cut short
)

// A codedError ends the program with a code of its own.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

func usage(err error) error {
	if err == nil {
		return nil
	}
	return &codedError{exitUsage, err}
}

// errSilent is a failure that the command has already reported.
var errSilent = errors.New("failed")

// Main runs the command that args name and returns the exit code.
func Main(ctx context.Context, args []string, s Streams) int {
	root := newRoot(s)
	root.SetArgs(args)
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if !errors.Is(err, errSilent) {
		fmt.Fprintln(s.Err, paint(s.Err, red, "error:"), err)
	}
	var coded *codedError
	var value *config.ValueError
	var folder *config.FolderError
	var problem *deploy.Problem
	switch {
	case errors.As(err, &coded):
		return coded.code
	case errors.As(err, &value), errors.As(err, &folder):
		return exitUsage
	case errors.As(err, &problem) && problem.Usage:
		return exitUsage
	default:
		return exitFail
	}
}

func newRoot(s Streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "selvedge",
		Short: "Run Supabase Edge Functions on your own machines",
		Long: `Selvedge serves Supabase Edge Functions, a folder a function, on real Deno
processes that it supervises.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration (nothing was
done), 3 the server stopped but had to cut requests short.`,
		Example: `  selvedge dev                    # serve ./functions on http://localhost:9000, reload on save
  selvedge new hello              # make a function
  selvedge invoke hello --data '{"name":"World"}'`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath()))
	})
	root.AddCommand(
		newDev(s), newServe(s), newBundle(s), newImage(s), newNew(s), newInvoke(s),
		newDeploy(s), newReleases(s), newRollback(s), newStatus(s), newScale(s), newSecrets(s), newOpen(s), newCost(s), newDestroy(s),
		newLogs(s), newPs(s), newTop(s), newHealthcheck(s), newConfig(s), newDoctor(s), newDeno(s), newKeys(s), newVersion(s),
	)
	wrapArgs(root)
	return root
}

// wrapArgs makes wrong arguments a usage error that names the help.
func wrapArgs(cmd *cobra.Command) {
	for _, c := range append(cmd.Commands(), cmd) {
		check := c.Args
		if check == nil {
			check = cobra.NoArgs
		}
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usage(fmt.Errorf("%w; see `%s --help`", err, c.CommandPath()))
			}
			return nil
		}
	}
}

// resolve makes the configuration of a command.
func resolve(cmd *cobra.Command, kind config.Command) (*config.Config, error) {
	cwd, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("find the current folder: %w", err)
	}
	limitCPUs(machine.Here()) // some defaults depend on it
	return config.Resolve(cmd.Flags(), os.Environ(), cwd, kind)
}

// Colours of what the program itself says.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
	bold   = "1"
	dim    = "2"
)

// paint colours text where w is a terminal that wants it.
func paint(w io.Writer, code, text string) string {
	if !colored(w) {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func colored(w io.Writer) bool {
	if os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	if v := os.Getenv("FORCE_COLOR"); v != "" {
		return v != "0"
	}
	return isTerminal(w)
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// warnAll prints warnings, each on a line of its own.
func warnAll(w io.Writer, warnings ...string) {
	for _, text := range warnings {
		fmt.Fprintln(w, paint(w, yellow, "warning:"), strings.TrimSpace(text))
	}
}
