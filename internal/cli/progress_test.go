package cli

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/deploy"
)

// TestProgressOnPipe: lines that stay, and of what goes on one at a time.
func TestProgressOnPipe(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(Streams{Err: &b}, false)
	p.Begin("stack")
	p.Now("1 of 3")
	p.Now("1 of 3")
	p.Now("2 of 3") // too soon for a log
	p.Note("two\nlines\x1b[2J")
	p.Warn("look")
	p.End("3 of 3")
	p.close()
	got := regexp.MustCompile(`\d+\.\ds`).ReplaceAllString(b.String(), "T")
	want := "  stack       T  1 of 3\n  two\n  lines\\u001b[2J\nwarning: look\n✓ stack       T  3 of 3\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestProgressQuiet: with --json nothing is said but warnings.
func TestProgressQuiet(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(Streams{Err: &b}, true)
	p.Begin("stack")
	p.Now("1 of 3")
	p.Note("a note")
	p.Warn("look")
	p.End("3 of 3")
	p.close()
	if b.String() != "warning: look\n" {
		t.Errorf("got %q", b.String())
	}
}

// TestAskerWithoutTerminal: nobody is waited for who cannot answer.
func TestAskerWithoutTerminal(t *testing.T) {
	var b bytes.Buffer
	s := Streams{In: strings.NewReader("y\n"), Err: &b}
	p := newProgress(s, false)
	defer p.close()
	err := (&asker{s: s, p: p, flag: "--yes"}).Confirm(context.Background(), "Change it?")
	var problem *deploy.Problem
	if !errors.As(err, &problem) || !problem.Usage || !strings.Contains(err.Error(), "--yes") || strings.Contains(b.String(), "Change it?") {
		t.Errorf("%v %q", err, b.String())
	}
	if err := (&asker{s: s, p: p, yes: true}).Confirm(context.Background(), "Change it?"); err != nil {
		t.Error(err)
	}
}
