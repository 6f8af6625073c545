package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/selvedge-dev/selvedge/internal/admin"
)

func newPs(s Streams) *cobra.Command {
	var which string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ps",
		Short: "List the workers of a running server",
		Long: `List the workers of a server that runs on this machine, one a line: PSS is the
memory of the process, with its share of what several have in common, or where
the kernel does not tell that, what is its alone; CPU the processor time it has
used; REQUESTS those it was given, ACTIVE those that have not ended. A worker
without a function is one that was started ahead of need.`,
		Example: `  selvedge ps
  selvedge ps --json | jq 'select(.in_flight > 0)'
  selvedge ps --server 9001      # the one on this port`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			server, err := attach(cmd.Context(), which)
			if err != nil {
				return err
			}
			workers, err := server.Workers(cmd.Context(), true)
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(s.Out)
				for _, w := range workers {
					if err := enc.Encode(w); err != nil {
						return err
					}
				}
				return nil
			}
			return printWorkers(s.Out, workers)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, one object a line")
	serverFlag(cmd, &which)
	return cmd
}

func printWorkers(w io.Writer, all []admin.Worker) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "FUNCTION\tSTATE\tPID\tPSS\tCPU\tREQUESTS\tACTIVE\tAGE\tVERSION")
	for _, p := range all {
		memory := p.PSSBytes
		if memory == 0 {
			memory = p.MemoryBytes // all that the kernel tells of this one
		}
		fmt.Fprintln(t, strings.Join([]string{
			orDash(plain(p.Function)), stateOf(p), orDash(number(p.PID)), orDash(megabytes(memory)),
			seconds(p.CPUSeconds), strconv.Itoa(p.Requests), strconv.Itoa(p.InFlight), age(p), orDash(plain(p.Version)),
		}, "\t"))
	}
	return t.Flush()
}

// stateOf is a worker's state, and why it leaves.
func stateOf(w admin.Worker) string {
	if w.Reason == "" {
		return plain(w.State)
	}
	return plain(w.State + " (" + strings.ReplaceAll(w.Reason, "_", " ") + ")")
}

// plain takes out what a terminal would act on: root may ask the server of a
// user that it should not trust.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// megabytes prints units of 2^20 bytes, "" for nothing known.
func megabytes(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(n)/(1<<20), 'f', 1, 64) + " MB"
}

func seconds(s float64) string { return strconv.FormatFloat(s, 'f', 2, 64) + " s" }

// age prints the two greatest units of a worker's age.
func age(w admin.Worker) string {
	d := time.Duration(w.AgeSeconds * float64(time.Second))
	switch {
	case d < time.Minute:
		return d.Truncate(time.Second).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
	}
}
