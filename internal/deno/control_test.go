package deno

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseEvent(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for line, want := range map[string]Event{
		"up":                {Up: true},
		"unloaded":          {Unloaded: true},
		"wait 1":            {Waiting: &yes},
		"wait 0":            {Waiting: &no},
		"ready serve 1.500": {Ready: &Ready{ModeServe, 1500 * time.Microsecond}},
		"ready node 12.000": {Ready: &Ready{ModeNode, 12 * time.Millisecond}},
		`failed {"stage":"load","message":"m","detail":"a\nb"}`: {Failed: &Failed{"load", "m", "a\nb"}},
	} {
		if got, err := ParseEvent(line); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v", line, got, err)
		}
	}
	for _, line := range []string{
		"", " ", "up ", "up 1", "UP", "unloaded x", "wait", "wait 2", "wait x", "ready", "ready serve", "ready undefined 1.000",
		"ready serve x", "ready serve NaN", "ready serve Inf", "ready serve -1", "ready serve 1e300", "failed", "failed x", "failed null", "failed []",
	} {
		if got, err := ParseEvent(line); err == nil {
			t.Errorf("%q: %+v", line, got)
		} else if !strings.Contains(err.Error(), "parse control line") {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func FuzzParseEvent(f *testing.F) {
	for _, line := range []string{"up", "wait 1", "unloaded", "ready serve 1.5", "ready node NaN", `failed {"stage":"load"}`} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		ev, err := ParseEvent(line)
		set := 0
		for _, is := range []bool{ev.Up, ev.Ready != nil, ev.Failed != nil, ev.Waiting != nil, ev.Unloaded} {
			if is {
				set++
			}
		}
		if err != nil && set != 0 || err == nil && set != 1 {
			t.Errorf("%q: %+v, %v", line, ev, err)
		}
		if ev.Ready != nil && (ev.Ready.Evaluate < 0 || ev.Ready.Mode != ModeServe && ev.Ready.Mode != ModeNode) {
			t.Errorf("%q: %+v", line, ev.Ready)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
	})
}

func TestControlLines(t *testing.T) {
	t.Parallel()
	line, err := Load{Specifier: "file:///a%20b.js", Env: map[string]string{"A": "x\ny\u2028"}, Secret: "s"}.MarshalLine()
	if err != nil || strings.Count(string(line), "\n") != 1 {
		t.Fatalf("%q %v", line, err)
	}
	var got map[string]any
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"c": "load", "specifier": "file:///a%20b.js", "env": map[string]any{"A": "x\ny\u2028"}, "secret": "s"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
	if line, err := (Load{}).MarshalLine(); err != nil || !strings.Contains(string(line), `"env":{}`) {
		t.Errorf("no variables: %q %v", line, err)
	}
	if got := string(UnloadLine("a\"\n")); got != `{"c":"unload","reason":"a\"\n"}`+"\n" {
		t.Errorf("%q", got)
	}
}
