package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/selvedge-dev/selvedge/internal/deploy"
)

func newStatus(s Streams) *cobra.Command {
	var target awsFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how the deployment on AWS is",
		Long: `Say how a deployment on AWS is: its stack, the release that runs, its tasks and
how the load balancer finds them, alarms, tasks that failed in the last hour, and
the last events.

With --json, "state" is healthy, alarm, degraded, changing, down, failed or
unknown. The exit code is 0 whenever it could be said.`,
		Example: `  selvedge status
  selvedge status --env staging
  test "$(selvedge status --json | jq -r .state)" = healthy`,
		RunE: func(cmd *cobra.Command, _ []string) error {
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
				return printIndented(s.Out, status)
			}
			printStatus(s.Out, status, time.Now())
			warnAll(s.Err, status.Unknown...)
			return nil
		},
	}
	target.register(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// printIndented prints JSON for scripts, and for those who read it.
func printIndented(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

func printStatus(w io.Writer, s *deploy.Status, now time.Time) {
	color := green
	switch s.State {
	case deploy.StateChanging, deploy.StateDegraded, deploy.StateAlarm, deploy.StateUnknown:
		color = yellow
	case deploy.StateDown, deploy.StateFailed:
		color = red
	}
	head := paint(w, color, s.State)
	if s.Why != "" && s.State != deploy.StateUnknown {
		head += ": " + harmless(s.Why)
	}
	fmt.Fprintf(w, "%s in %s is %s\n\n", paint(w, bold, s.Stack.Name), s.Region, head)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-9s  %s\n", name, harmless(fmt.Sprintf(format, args...)))
	}
	if s.URL != "" {
		row("URL", "%s", s.URL)
	}
	row("stack", "%s, %s", s.Stack.Status, inWords(s.Stack.Changed, now))
	if s.Stack.Reason != "" {
		row("", "%s", s.Stack.Reason)
	}
	if s.Image != "" {
		row("release", "%s, %s", cmp.Or(s.Release, "without a name"), s.Image)
	}
	row("tasks", "%d running, %d starting, %d wanted; scaling keeps %d to %d", s.Tasks.Running, s.Tasks.Pending, s.Tasks.Desired, s.Tasks.Min, s.Tasks.Max)
	row("targets", "%s", countTargets(s.Targets))
	for _, t := range s.Targets {
		if t.State != "healthy" && t.Reason != "" {
			row("", "%s is %s: %s", t.Address, t.State, t.Reason)
		}
	}
	if len(s.Deployments) > 1 || len(s.Deployments) == 1 && s.Deployments[0].State != "completed" {
		for i, d := range s.Deployments {
			state := strings.ReplaceAll(d.State, "_", " ")
			if i > 0 {
				state = "leaving"
			}
			row("rollout", "%s, of %s, %s: %d of %d tasks run, %d starting, %d failed", cmp.Or(d.Release, "a release"),
				d.Started.Local().Format("15:04:05"), state, d.Running, d.Desired, d.Pending, d.Failed)
			if d.Reason != "" {
				row("", "%s", d.Reason)
			}
		}
	}
	if len(s.Alarms) > 0 {
		row("alarms", "%s", countAlarms(s.Alarms))
		for _, a := range s.Alarms {
			if a.State == "ALARM" {
				row("", "%s, %s: %s", a.Name, inWords(a.Since, now), a.Reason)
			}
		}
	}
	if len(s.Stopped) > 0 {
		fmt.Fprintf(w, "\n%s\n", paint(w, bold, "Tasks that failed in the last hour"))
		for _, t := range s.Stopped[:min(3, len(s.Stopped))] {
			fmt.Fprintf(w, "  %s  %s\n", t.Stopped.Local().Format("15:04:05"), harmless(t.Reason))
		}
	}
	if len(s.Events) > 0 {
		fmt.Fprintf(w, "\n%s\n", paint(w, bold, "Last events"))
		for _, e := range s.Events {
			fmt.Fprintf(w, "  %s  %s\n", e.Time.Local().Format("01-02 15:04:05"), harmless(e.Message))
		}
	}
}

// countTargets says how many targets are in each state.
func countTargets(targets []deploy.TargetStatus) string {
	if len(targets) == 0 {
		return "none"
	}
	count := map[string]int{}
	for _, t := range targets {
		count[t.State]++
	}
	var parts []string
	for _, state := range slices.Sorted(maps.Keys(count)) {
		parts = append(parts, fmt.Sprint(count[state], " ", state))
	}
	return strings.Join(parts, ", ")
}

func countAlarms(alarms []deploy.AlarmStatus) string {
	set, unsure := 0, 0
	for _, a := range alarms {
		switch a.State {
		case "ALARM":
			set++
		case "OK":
		default:
			unsure++
		}
	}
	text := fmt.Sprintf("%d of %d are set off", set, len(alarms))
	if unsure > 0 {
		text += fmt.Sprintf(", %d have too little data", unsure)
	}
	return text
}
