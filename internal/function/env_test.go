package function

import (
	"maps"
	"path/filepath"
	"strings"
	"testing"
)

func TestEnvMergeOrder(t *testing.T) {
	project := tree(t, map[string]string{
		fns + "a/index.ts": "",
		fns + "b/index.ts": "",
		fns + ".env":       "B=dotenv\nC=dotenv\nD=dotenv\nSUPABASE_URL=evil\n",
		fns + "a/.env":     "C=own\nD=own\n",
		"custom.env":       "B=custom\n",
	})
	change := func(o *Options) {
		o.EdgeRuntime = EdgeRuntime{File: "supabase/config.toml", Secrets: map[string]string{"A": "secret", "B": "secret", "SUPABASE_X": "evil"}}
		o.Overrides = map[string]Override{"a": {File: "supabase/config.toml", Env: map[string]string{"D": "table", "SUPABASE_ANON_KEY": "evil"}}}
	}
	set := discover(t, project, change)
	a, _ := set.Lookup("a")
	b, _ := set.Lookup("b")
	if want := map[string]string{"A": "secret", "B": "dotenv", "C": "own", "D": "table"}; !maps.Equal(a.Env, want) {
		t.Errorf("a: %v", a.Env)
	}
	if want := map[string]string{
		"A": "supabase/config.toml [edge_runtime.secrets]",
		"B": "supabase/functions/.env",
		"C": "supabase/functions/a/.env",
		"D": "supabase/config.toml [functions.a.env]",
	}; !maps.Equal(a.EnvSource, want) {
		t.Errorf("a: %v", a.EnvSource)
	}
	if want := map[string]string{"A": "secret", "B": "dotenv", "C": "dotenv", "D": "dotenv"}; !maps.Equal(b.Env, want) {
		t.Errorf("b: %v", b.Env)
	}
	warnings := set.Warnings()
	if len(warnings) != 3 {
		t.Errorf("warnings: %s", strings.Join(warnings, "\n"))
	}
	for i, want := range []string{"[edge_runtime.secrets]: SUPABASE_X skipped", "functions/.env: SUPABASE_URL skipped", "[functions.a.env]: SUPABASE_ANON_KEY skipped"} {
		if !strings.Contains(warnings[i], want) {
			t.Errorf("warning %q, want %q in it", warnings[i], want)
		}
	}

	set = discover(t, project, func(o *Options) { change(o); o.EnvFile = filepath.Join(project, "custom.env") })
	b, _ = set.Lookup("b")
	if want := map[string]string{"A": "secret", "B": "custom"}; !maps.Equal(b.Env, want) {
		t.Errorf("with --env-file: %v", b.Env)
	}

	set = discover(t, project, func(o *Options) {
		change(o)
		o.Secrets, o.SecretsFrom = map[string]string{"A": "store", "B": "store", "D": "store", "SUPABASE_URL": "evil"}, "the store"
	})
	a, _ = set.Lookup("a")
	if want := map[string]string{"A": "store", "B": "store", "C": "own", "D": "table"}; !maps.Equal(a.Env, want) || a.EnvSource["B"] != "the store" {
		t.Errorf("with secrets: %v from %v", a.Env, a.EnvSource)
	}
	if w := set.Warnings(); len(w) != 4 || !strings.HasPrefix(w[2], "the store: SUPABASE_URL skipped") {
		t.Errorf("with secrets: warnings %q", w)
	}
}

func TestParseDotenv(t *testing.T) {
	for name, tt := range map[string]struct {
		src  string
		want map[string]string
		err  string
	}{
		"empty":         {"", map[string]string{}, ""},
		"plain":         {"A=1\n\n# x\nB = two # comment\nexport C=3", map[string]string{"A": "1", "B": "two", "C": "3"}, ""},
		"quotes":        {"A='x y'\nB=\"a\\nb\"\nC=\"line\nline\"\n", map[string]string{"A": "x y", "B": "a\nb", "C": "line\nline"}, ""},
		"expansion":     {"A=1\nB=${A}2\nC='$A'\n", map[string]string{"A": "1", "B": "12", "C": "$A"}, ""},
		"windows":       {"\ufeffA=1\r\nB=2\r\n", map[string]string{"A": "1", "B": "2"}, ""},
		"value of none": {"A=\nB=", map[string]string{"A": "", "B": ""}, ""},
		"open quote":    {"A=1\nB=\"secret\nC=3\n", nil, "f:2: a quoted value never ends"},
		"no equals":     {"A=1\nsecret\nB=2\n", nil, "f:2: the line has no ="},
		"last line":     {"A=1\nsecret\n\n", nil, "f:2: the line has no ="},
		"last, no end":  {"A=1\nsecret", nil, "f:2: the line has no ="},
		"bad name":      {"A=1\nB-C=secret\n", nil, "f:2: a variable's name"},
		"name of two":   {"A=1\n\nB C=secret\n", nil, "f:3: a variable's name"},
		"digit first":   {"A=1\n1B=secret\n", nil, "f:2: a variable's name"},
		"nul":           {"A=1\nB=\x00secret\n", nil, "f:2: there is a NUL"},
		"too large":     {"A=" + strings.Repeat("x", maxDotenv), nil, "variables may have"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseDotenv([]byte(tt.src), "f")
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want %q in it", err, tt.err)
				}
				if strings.Contains(err.Error(), "secret") {
					t.Errorf("the error shows the content: %v", err)
				}
				return
			}
			if err != nil || !maps.Equal(got, tt.want) {
				t.Errorf("%q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

// FuzzDotenv checks that any file is either refused with its name, or gives
// variables that a process can be started with.
func FuzzDotenv(f *testing.F) {
	for _, seed := range []string{"A=1", "export A='x'\nB=\"$A\\n\"", "A=\"open", "no equals", "\xff\xfe=1", "A: yaml", "=x", "#", "A=${", "\ufeffA=1\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		values, err := ParseDotenv(src, "file.env")
		if err != nil {
			if !strings.HasPrefix(err.Error(), "file.env") {
				t.Errorf("the error does not name the file: %v", err)
			}
			return
		}
		for name, value := range values {
			if !ValidEnvName(name) || strings.ContainsRune(value, 0) {
				t.Errorf("variable %q = %q", name, value)
			}
		}
	})
}
