package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/deploy"
)

func TestAddressOf(t *testing.T) {
	k := &deploy.Stack{Name: "shop", Status: "CREATE_IN_PROGRESS", Outputs: map[string]string{"FunctionsUrl": "https://x/", "DashboardUrl": "https://d#a"}}
	for _, tt := range []struct {
		dashboard bool
		args      []string
		want      string
	}{
		{false, nil, "https://x/"}, {false, []string{"hello"}, "https://x/hello"}, {false, []string{"/hello/a?b=c"}, "https://x/hello/a?b=c"}, {true, nil, "https://d#a"},
	} {
		if got, err := addressOf(k, tt.dashboard, tt.args); got != tt.want || err != nil {
			t.Errorf("%v: %q, %v", tt, got, err)
		}
	}
	k.Outputs = nil
	if _, err := addressOf(k, false, nil); err == nil || !strings.Contains(err.Error(), "CREATE_IN_PROGRESS") {
		t.Errorf("%v", err)
	}
}

func TestBrowse(t *testing.T) {
	dir := t.TempDir()
	opened := filepath.Join(dir, "opened")
	script := filepath.Join(dir, "browser")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nprintf %s \"$1\" > "+opened+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("BROWSER", script)
	if err := browse(t.Context(), "https://x/a b;c"); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(opened); string(got) != "https://x/a b;c" {
		t.Errorf("opened %q, %v", got, err)
	}
	for _, address := range []string{"", "--help", "file:///etc/passwd", "javascript:alert(1)", "https:///x"} {
		if err := browse(t.Context(), address); err == nil {
			t.Errorf("%q was opened", address)
		}
	}
}
