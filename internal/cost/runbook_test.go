package cost

import (
	"os"
	"strings"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/stack"
)

// TestRunbookNamesAlarms checks that each alarm of the template has its row.
func TestRunbookNamesAlarms(t *testing.T) {
	page, err := os.ReadFile("../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	alarms := 0
	for _, r := range stack.Service().Resources {
		if r.Type != "AWS::CloudWatch::Alarm" {
			continue
		}
		alarms++
		if !strings.Contains(string(page), "| `"+r.Name+"` |") {
			t.Errorf("docs/runbook.md has no row for %s", r.Name)
		}
	}
	if alarms != ownAlarms {
		t.Errorf("the template has %d alarms", alarms)
	}
}
