package cli

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/admin"
	"github.com/selvedge-dev/selvedge/internal/deploy"
)

func TestAWSQuery(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tt := range []struct {
		asked admin.LogQuery
		want  deploy.LogQuery
	}{
		{admin.LogQuery{}, deploy.LogQuery{Since: now.Add(-time.Hour)}},
		{admin.LogQuery{Follow: true, Last: 3}, deploy.LogQuery{Follow: true, Last: 3, Since: now.Add(-10 * time.Minute)}},
		{admin.LogQuery{Since: "90s", Level: "debug"}, deploy.LogQuery{Since: now.Add(-90 * time.Second)}},
		{admin.LogQuery{Since: "2d", Level: "warning", Functions: []string{"a-b_C"}}, deploy.LogQuery{Since: now.AddDate(0, 0, -2), Levels: []string{"WARN", "ERROR"}, Functions: []string{"a-b_C"}}},
		{admin.LogQuery{Since: "2026-01-01T00:00:00Z", RequestID: "01a2-x"}, deploy.LogQuery{Since: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), RequestID: "01a2-x"}},
	} {
		if got, err := awsQuery(tt.asked, now); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%+v:\n got %+v, %v\nwant %+v", tt.asked, got, err, tt.want)
		}
	}
	for want, asked := range map[string]admin.LogQuery{
		"no function can be called": {Functions: []string{`a") || ($.slug = "b`}},
		"--request":                 {RequestID: `x") || ($.level = "INFO`},
		"--level":                   {Level: "loud"},
		"--since":                   {Since: "yesterday"},
		"3d, or a time":             {Since: "-5m"},
	} {
		if _, err := awsQuery(asked, now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", asked, err, want)
		}
	}
}

func TestAsObject(t *testing.T) {
	for line, want := range map[string]string{
		`{"event":"log","msg":"x"} `: `{"event":"log","msg":"x"}`,
		`panic: "x"`:                 `{"event":"server","level":"INFO","msg":"panic: \"x\"","raw":true}`,
		`{"event":`:                  `{"event":"server","level":"INFO","msg":"{\"event\":","raw":true}`,
	} {
		if got := string(asObject([]byte(line))); got != want {
			t.Errorf("%s\n got %s\nwant %s", line, got, want)
		}
	}
}

func TestLogsFlags(t *testing.T) {
	for want, args := range map[string][]string{
		"--env is for deployments":     {"logs", "--env", "staging"},
		"--server is for servers":      {"logs", "--aws", "--server", "9000"},
		"a function's name is empty":   {"logs", "--aws", "--function", ""},
		"no AWS region is chosen":      {"logs", "--aws"},
		"use debug, info, warn":        {"logs", "--aws", "--level", "x"},
		"--tail 0: use a number above": {"logs", "--aws", "--tail", "0"},
	} {
		t.Setenv("AWS_CONFIG_FILE", "/dev/null")
		if _, errs, code := runAt(t, t.TempDir(), args...); code != 2 || !strings.Contains(errs, want) {
			t.Errorf("%v: exit code %d: %s", args, code, errs)
		}
	}
}
