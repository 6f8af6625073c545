package npmrc

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"empty", "", ""},
		{"comments", "# a\n  ; b\n\nk=v", "4 k=v"},
		{"spaces", "  k  =  v w  ", "1 k=v w"},
		{"trailing comment", "k=v ; c\nl=v # c", "1 k=v|2 l=v"},
		{"escaped comment", `k=a\;b\#c\\d\e`, `1 k=a;b#c\d\e`},
		{"double quotes", `k="a ; \"b\""`, `1 k=a ; "b"`},
		{"single quotes", `k='a ; b'`, "1 k=a ; b"},
		{"broken quotes", `k="a\x"`, `1 k="a\x"`},
		{"lone quote", `k="`, `1 k="`},
		{"second equals sign", "k=a=b", "1 k=a=b"},
		{"key alone", "k", "1 k=true"},
		{"empty value", "k=", "1 k="},
		{"no key", "=v", ""},
		{"list", "k[]=a\nk[]=b", "2 k=a,b"},
		{"later wins", "k=a\nk=b", "2 k=b"},
		{"section", "a=1\n[s]\nb=2", "1 a=1"},
		{"line ends", "a=1\r\nb=2\rc=3", "1 a=1|2 b=2|3 c=3"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			entries, err := parse([]byte(tc.in))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range entries {
				got = append(got, strings.Join([]string{itoa(e.line), " ", e.key, "=", strings.Join(e.list, ",")}, ""))
			}
			if s := strings.Join(got, "|"); s != tc.want {
				t.Errorf("parse(%q) = %s, want %s", tc.in, s, tc.want)
			}
		})
	}
}

func itoa(n int) string { return string(rune('0' + n)) }

func TestExpand(t *testing.T) {
	env := environ{"A": "1", "EMPTY": "", "D-E": "dash"}
	for _, tc := range []struct{ in, want, unset string }{
		{"x", "x", ""},
		{"${A}", "1", ""},
		{"a${A}b${A}c", "a1b1c", ""},
		{"${NO}", "${NO}", "NO"},
		{"${NO?}", "", ""},
		{"${A?}", "1", ""},
		{"${NO-d}", "d", ""},
		{"${NO-}", "", ""},
		{"${A-d}", "1", ""},
		{"${EMPTY-d}", "", ""},
		{"${EMPTY:-d}", "d", ""},
		{"${D-E}", "dash", ""},
		{"${NO-https://h:1/}", "https://h:1/", ""},
		{`\${A}`, "${A}", ""},
		{`\\${A}`, `\1`, ""},
		{`\\\${A}`, `\${A}`, ""},
		{"$A ${", "$A ${", ""},
		{"${}", "${}", ""},
		{"${${A}}", "${1}", ""},
	} {
		got, unset := expand(tc.in, env)
		if got != tc.want || unset != tc.unset {
			t.Errorf("expand(%q) = %q, %q; want %q, %q", tc.in, got, unset, tc.want, tc.unset)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"registry=https://h/", "//h/:_authToken=${T?}", `k[]="a\nb"`, "[s]\nk", "\\${\\${A-}", "\xFF\xFE", "ca='", "a=\x00"} {
		f.Add([]byte(s))
	}
	env := environ{"A": "1"}
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := parse(data)
		if err != nil {
			return
		}
		lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + 1
		seen := map[string]bool{}
		l := loader{Config: Config{values: map[string]value{}, env: env}}
		found := map[string]value{}
		for _, e := range entries {
			if e.key == "" || seen[e.key] || len(e.list) == 0 || e.line < 1 || e.line > lines {
				t.Fatalf("bad entry %+v", e)
			}
			seen[e.key] = true
			key, _ := expand(e.key, env)
			found[key] = l.expandValue(e.list, "f:1")
		}
		l.merge(found)
		if l.resolve() != nil {
			return
		}
		// Whatever a file says, no header may be able to break out of its line.
		for _, header := range l.auth {
			if strings.ContainsAny(header, "\r\n\x00") {
				t.Fatalf("header %q", header)
			}
		}
		if u := l.RegistryFor("@a/b"); u.Host == "" {
			t.Fatal("registry without host")
		}
		l.AuthorizationFor("@a/b", l.RegistryFor("@a/b").JoinPath("c"))
		_ = l.String()
	})
}
