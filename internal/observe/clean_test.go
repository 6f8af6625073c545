package observe

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAppendClean(t *testing.T) {
	tests := []struct{ in, keep, drop, show string }{
		{"", "", "", ""},
		{"plain\tünï", "plain\tünï", "plain\tünï", "plain\tünï"},
		{"a\x1b[31mb", "a\x1b[31mb\x1b[0m", "ab", `a\x1b[31mb`},
		{"\x1b[m", "\x1b[m\x1b[0m", "", `\x1b[m`},
		{"\x1b[38;2;1;2;3m", "\x1b[38;2;1;2;3m\x1b[0m", "", `\x1b[38;2;1;2;3m`},
		{"\x1b[?25l", `\x1b[?25l`, `\x1b[?25l`, `\x1b[?25l`},
		{"\x1b\x1b[0m[2J", `\x1b` + "\x1b[0m[2J\x1b[0m", `\x1b[2J`, `\x1b\x1b[0m[2J`},
		{"\x1b[1", `\x1b[1`, `\x1b[1`, `\x1b[1`},
		{"\x1b", `\x1b`, `\x1b`, `\x1b`},
		{"a\r\nb", `a\r\nb`, `a\r\nb`, `a\r\nb`},
		{"\u009b31m\x7f\x00", `\x9b31m\x7f\x00`, `\x9b31m\x7f\x00`, `\x9b31m\x7f\x00`},
		{"\x9b\xc2", "\ufffd\ufffd", "\ufffd\ufffd", "\ufffd\ufffd"},
		{"\ufffd", "\ufffd", "\ufffd", "\ufffd"},
		// What is left of a sequence joins with nothing to a control character.
		{"\xc2\x1b[m\x9b", "\ufffd\x1b[m\ufffd\x1b[0m", "\ufffd\ufffd", "\ufffd\\x1b[m\ufffd"},
	}
	for _, tt := range tests {
		for colors, want := range map[colors]string{keepColors: tt.keep, dropColors: tt.drop, showColors: tt.show} {
			if got := string(appendClean([]byte("> "), tt.in, colors)); got != "> "+want {
				t.Errorf("appendClean(%q, %d) = %q, want %q", tt.in, colors, got[2:], want)
			}
		}
	}
	if got := appendClean(nil, "\x1b["+strings.Repeat("1", 100)+"m", keepColors); bytes.Contains(got, []byte("\x1b")) {
		t.Errorf("an endless sequence is kept: %q", got)
	}
}

var sgr = regexp.MustCompile(`\x1b\[[0-9;:]*m`)

func isHarmless(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' && r != '\t' || r >= 0x7f && r <= 0x9f
	})
}

func FuzzAppendClean(f *testing.F) {
	for _, seed := range []string{"", "a\x1b[31mb\x1b[0m", "\x1b]0;t\a\r\n", "\x1b\x1b[m[2J", "\u009b\x9b\xc2\x1b[m\x85", "\x1b[;:m"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, colors := range []colors{dropColors, showColors} {
			got := string(appendClean(nil, s, colors))
			if !isHarmless(got) {
				t.Errorf("%q became %q", s, got)
			}
			if again := string(appendClean(nil, got, colors)); again != got {
				t.Errorf("%q became %q, and that %q", s, got, again)
			}
		}
		kept := string(appendClean(nil, s, keepColors))
		if !isHarmless(sgr.ReplaceAllString(kept, "")) {
			t.Errorf("%q became %q", s, kept)
		}
		if strings.Contains(kept, "\x1b") && !strings.HasSuffix(kept, sgrReset) {
			t.Errorf("%q became %q, whose colours do not end", s, kept)
		}
		if isHarmless(s) && kept != s {
			t.Errorf("harmless %q became %q", s, kept)
		}
	})
}

func FuzzAppendString(f *testing.F) {
	for _, seed := range []string{"", `a"\b`, "\n\r\t\x00\x7f", "\u0085\u2028\xff\xed\xa0\x80", "\U0001f9f5"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		encoded := appendString(nil, s)
		if !isHarmless(string(encoded)) {
			t.Errorf("%q became %q", s, encoded)
		}
		var got, want string
		if err := json.Unmarshal(encoded, &got); err != nil {
			t.Fatalf("%q became %s: %v", s, encoded, err)
		}
		// What encoding/json makes of invalid UTF-8 is what is meant.
		reference, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(reference, &want); err != nil || got != want {
			t.Errorf("%q became %q, want %q (%v)", s, got, want, err)
		}
	})
}

// Nobody can write a line that looks like another's.
func FuzzPretty(f *testing.F) {
	f.Add("slug", "two\nlines\r\n\x1b[31m", "GET", "/slug/\n")
	f.Fuzz(func(t *testing.T, slug, text, method, path string) {
		var out bytes.Buffer
		log := New(Options{Out: &out, Format: FormatPretty, Color: new(bool)})
		Line{Time: noon, Slug: slug, Text: text}.Log(log)
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if want := strings.Count(text, "\n") + 1; len(lines) != want {
			t.Errorf("%d lines, want %d: %q", len(lines), want, lines)
		}
		for i, line := range lines {
			if !isHarmless(line) {
				t.Errorf("harm in %q", line)
			}
			if i > 0 && !strings.HasPrefix(line, strings.Repeat(" ", timeWidth)) {
				t.Errorf("not indented: %q", line)
			}
		}
		out.Reset()
		Request{Time: noon, Slug: slug, Method: method, Path: path}.Log(log)
		if line := strings.TrimSuffix(out.String(), "\n"); !isHarmless(line) {
			t.Errorf("harm in %q", line)
		}
		out.Reset()
		log.Info("msg", slug, text, slug, []string{text})
		if line := strings.TrimSuffix(out.String(), "\n"); !isHarmless(line) {
			t.Errorf("harm in %q", line)
		}
	})
}
