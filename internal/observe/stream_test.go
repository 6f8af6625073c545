//go:build unix

package observe

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestBrokenStdout runs this test again as a process whose stdout nobody reads.
func TestBrokenStdout(t *testing.T) {
	if os.Getenv("OBSERVE_BROKEN_STDOUT") != "" {
		log := New(Options{Out: os.Stdout, Format: FormatJSON})
		log.Info("one")
		log.Info("two")
		fmt.Fprintln(os.Stderr, "errors:", WriteErrors(log))
		os.Exit(0)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	var stderr strings.Builder
	cmd := exec.Command(os.Args[0], "-test.run=^TestBrokenStdout$")
	cmd.Env = append(os.Environ(), "OBSERVE_BROKEN_STDOUT=1")
	cmd.Stdout, cmd.Stderr = w, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	if got := stderr.String(); got != "errors: 2\n" {
		t.Errorf("stderr %q", got)
	}
}

func TestTerminal(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	defer terminal.Close()
	for _, tt := range []struct {
		environ      string
		format       string
		pretty, ansi bool
	}{
		{"", "auto", true, true},
		{"", "pretty", true, true},
		{"", "json", false, false},
		{"NO_COLOR=1", "auto", true, false},
		{"FORCE_COLOR=false", "auto", true, false},
		{"TERM=dumb", "auto", true, false},
	} {
		t.Run(tt.environ+" "+tt.format, func(t *testing.T) {
			for _, name := range []string{"NO_COLOR", "FORCE_COLOR"} {
				t.Setenv(name, "")
			}
			t.Setenv("TERM", "xterm")
			if name, value, isSet := strings.Cut(tt.environ, "="); isSet {
				t.Setenv(name, value)
			}
			h, isPretty := New(Options{Out: terminal, Format: tt.format}).Handler().(*prettyHandler)
			if isPretty != tt.pretty || isPretty && h.color != tt.ansi {
				t.Errorf("pretty %t (%+v), want %t with colours %t", isPretty, h, tt.pretty, tt.ansi)
			}
		})
	}
}
