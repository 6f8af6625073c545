package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/selvedge-dev/selvedge/internal/config"
	"github.com/selvedge-dev/selvedge/internal/scaffold"
)

func newNew(s Streams) *cobra.Command {
	var template, folder string
	var names []string
	var table strings.Builder
	for _, t := range scaffold.Templates() {
		names = append(names, t.Name)
		fmt.Fprintf(&table, "  %-12s %s\n", t.Name, t.Description)
	}
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "Make a function from a template",
		Long:  "Make a function from a template:\n\n" + strings.TrimRight(table.String(), "\n"),
		Example: `  selvedge new hello
  selvedge new chat --template websocket`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			root := folder
			if root == "" {
				root = "functions"
				cfg, err := resolve(cmd, config.Build)
				var missing *config.FolderError
				switch {
				case err == nil:
					root = cfg.Functions
				case !errors.As(err, &missing):
					return err
				}
			}
			files, err := scaffold.Create(root, args[0], template)
			if err != nil {
				return usage(err)
			}
			for _, f := range files {
				fmt.Fprintln(s.Out, f)
			}
			hints, err := scaffold.HintsFor("http://localhost:9000", args[0], template)
			if err != nil {
				return err
			}
			if hints.Config != "" {
				fmt.Fprintf(s.Err, "\nAdd to %s:\n\n%s\n", filepath.Join(filepath.Dir(root), "config.toml"), strings.TrimSpace(hints.Config))
			}
			fmt.Fprintf(s.Err, "\nNext:\n  selvedge dev\n  %s\n", hints.Curl)
			return nil
		},
	}
	cmd.Flags().StringVarP(&template, "template", "t", "hello", "one of "+strings.Join(names, ", "))
	cmd.Flags().StringVar(&folder, "functions", "", "the functions folder (default: the one found, else ./functions)")
	_ = cmd.RegisterFlagCompletionFunc("template", cobra.FixedCompletions(cobraStrings(names), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func cobraStrings(in []string) []cobra.Completion {
	out := make([]cobra.Completion, len(in))
	copy(out, in)
	return out
}
