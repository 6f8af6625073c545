package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
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
				file := filepath.Join(filepath.Dir(root), "config.toml")
				if err := appendConfig(file, hints.Config); err != nil {
					return fmt.Errorf("declare the function's static files: %w; add this to %s yourself:\n\n%s", err, file, hints.Config)
				}
				fmt.Fprintf(s.Err, "\nAdded [functions.%s] to %s\n", args[0], file)
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

// appendConfig adds a table to a config.toml, which need not exist yet.
func appendConfig(file, table string) error {
	before, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text := strings.TrimSpace(table) + "\n"
	if len(before) > 0 {
		text = strings.TrimRight(string(before), "\n") + "\n\n" + text
	}
	tmp := file + ".tmp"
	if err := os.WriteFile(tmp, []byte(text), 0o644); err != nil {
		return err
	}
	defer os.Remove(tmp)
	return os.Rename(tmp, file)
}

func cobraStrings(in []string) []cobra.Completion {
	out := make([]cobra.Completion, len(in))
	copy(out, in)
	return out
}
