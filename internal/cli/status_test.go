package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/deploy"
)

func TestPrintStatus(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	var b strings.Builder
	printStatus(&b, &deploy.Status{
		State: deploy.StateChanging, Why: "a release is being rolled out", Region: "eu-central-1", URL: "https://x", Release: "20260102T030000Z", Image: "repo@sha256:0",
		Stack:   deploy.StackStatus{Name: "shop-production", Status: "UPDATE_COMPLETE", Changed: now.Add(-2 * time.Hour)},
		Tasks:   deploy.TaskCounts{Desired: 2, Running: 3, Pending: 1, Min: 2, Max: 10},
		Targets: []deploy.TargetStatus{{Address: "10.0.0.1", State: "draining", Reason: "Target deregistration is in progress"}, {Address: "10.0.0.2", State: "healthy"}, {Address: "10.0.0.3", State: "healthy"}},
		Deployments: []deploy.RolloutStatus{
			{Release: "20260102T030000Z", State: "in_progress", Desired: 2, Running: 1, Pending: 1, Started: now.Add(-time.Minute)},
			{State: "completed", Desired: 1, Running: 2, Started: now.Add(-time.Hour)},
		},
		Alarms:  []deploy.AlarmStatus{{Name: "5xx", State: "OK"}, {Name: "cpu", State: "ALARM", Reason: "above 90 %", Since: now.Add(-5 * time.Minute)}, {Name: "latency", State: "INSUFFICIENT_DATA"}},
		Stopped: []deploy.StoppedTask{{ID: "1", Reason: "exit code 2\x1b[2J", Stopped: now.Add(-3 * time.Minute)}},
		Events:  []deploy.ServiceMessage{{Time: now.Add(-time.Minute), Message: "(service shop-production) has started 1 tasks"}},
	}, now)
	want := `shop-production in eu-central-1 is changing: a release is being rolled out

  URL        https://x
  stack      UPDATE_COMPLETE, 2 hours ago
  release    20260102T030000Z, repo@sha256:0
  tasks      3 running, 1 starting, 2 wanted; scaling keeps 2 to 10
  targets    1 draining, 2 healthy
             10.0.0.1 is draining: Target deregistration is in progress
  rollout    20260102T030000Z, of 03:03:05, in progress: 1 of 2 tasks run, 1 starting, 0 failed
  rollout    a release, of 02:04:05, leaving: 2 of 1 tasks run, 0 starting, 0 failed
  alarms     1 of 3 are set off, 1 have too little data
             cpu, 5 minutes ago: above 90 %

Tasks that failed in the last hour
  03:01:05  exit code 2\u001b[2J

Last events
  01-02 03:03:05  (service shop-production) has started 1 tasks
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
