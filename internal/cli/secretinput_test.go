package cli

import (
	"bytes"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/deploy"
)

func TestSecretInput(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"key.pem": "-----BEGIN\nabc\n", "a.env": "A=1\nB='two words'\nSUPABASE_URL=x\nJWT_SECRET=s\n"} {
		if err := os.WriteFile(dir+"/"+name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		in      secretInput
		args    []string
		stdin   string
		want    map[string]string
		skipped int
		err     string
	}{
		"in the argument":  {args: []string{"A=1", "B=x=y", "C="}, want: map[string]string{"A": "1", "B": "x=y", "C": ""}},
		"stdin":            {args: []string{"A"}, stdin: "sesame\n", want: map[string]string{"A": "sesame"}},
		"stdin, two lines": {args: []string{"A"}, stdin: "one\ntwo\r\n", want: map[string]string{"A": "one\ntwo"}},
		"a file":           {in: secretInput{fromFile: dir + "/key.pem"}, args: []string{"KEY"}, want: map[string]string{"KEY": "-----BEGIN\nabc"}},
		"stdin as file":    {in: secretInput{fromFile: "-"}, args: []string{"KEY"}, stdin: "v", want: map[string]string{"KEY": "v"}},
		"lines of a file":  {in: secretInput{envFile: dir + "/a.env"}, want: map[string]string{"A": "1", "B": "two words", "JWT_SECRET": "s"}, skipped: 1},
		"lines of stdin":   {args: []string{"-"}, stdin: "A=1\n", want: map[string]string{"A": "1"}},
		"lines and more":   {in: secretInput{envFile: "-"}, args: []string{"Z=9"}, stdin: "A=1\n", want: map[string]string{"A": "1", "Z": "9"}},

		"nothing":              {err: "nothing to set"},
		"no value":             {args: []string{"A"}, err: "stdin has no value for A"},
		"two values":           {args: []string{"A", "B"}, stdin: "x", err: "one NAME at a time"},
		"lines and a value":    {in: secretInput{envFile: "-"}, args: []string{"A"}, stdin: "x", err: "stdin cannot have both"},
		"a file for two":       {in: secretInput{fromFile: "x"}, args: []string{"A", "B"}, err: "give one NAME"},
		"no such file":         {in: secretInput{fromFile: dir + "/none"}, args: []string{"A"}, err: "read the value of A"},
		"no such lines":        {in: secretInput{envFile: dir + "/none"}, err: "read variables"},
		"bad name":             {args: []string{"A-B=sesame"}, err: `"A-B" is no name`},
		"the platform's":       {args: []string{"SUPABASE_ANON_KEY=sesame"}, err: "SUPABASE_ are the platform's"},
		"a setting":            {args: []string{"SUPABASE_URL=sesame"}, err: "--set supabase_url"},
		"an empty key":         {args: []string{"JWT_SECRET="}, err: "secrets unset JWT_SECRET"},
		"NUL":                  {args: []string{"A"}, stdin: "sesame\x00x", err: "NUL"},
		"too much":             {args: []string{"A"}, stdin: strings.Repeat("x", maxSecretInput+1), err: "more than"},
		"- and --env-file":     {in: secretInput{envFile: "x"}, args: []string{"-"}, err: "are the same"},
		"a broken line's file": {args: []string{"-"}, stdin: "A=1\nsesame\n", err: "stdin:2"},
	} {
		t.Run(name, func(t *testing.T) {
			got, skipped, err := tt.in.read(t.Context(), Streams{In: strings.NewReader(tt.stdin), Err: &bytes.Buffer{}}, tt.args)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "sesame") {
					t.Errorf("got %v, %v, want %q", got, err, tt.err)
				}
				return
			}
			if err != nil || !maps.Equal(got, tt.want) || len(skipped) != tt.skipped {
				t.Errorf("got %q, %q, %v, want %q", got, skipped, err, tt.want)
			}
		})
	}
}

func TestPrintSecrets(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var b strings.Builder
	printSecrets(&b, &deploy.SecretList{Functions: []deploy.NamedSecret{{Name: "A", Changed: now.Add(-time.Hour)}, {Name: "LONG", Changed: now.AddDate(0, -1, 0), Before: true}}}, now)
	if want := "Secrets of functions\n  A     changed 1 hour ago\n  LONG  changed before 2025-12-02\nKeys of the project\n  none\n"; b.String() != want {
		t.Errorf("got\n%s", b.String())
	}
}
