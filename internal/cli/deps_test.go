package cli

import (
	"os/exec"
	"strings"
	"testing"
)

// TestImportsPointDown keeps the arrows of docs/architecture.md: what a package
// may import of Selvedge. A package that is missing here fails the test.
func TestImportsPointDown(t *testing.T) {
	const base = "github.com/selvedge-dev/selvedge/internal/"
	allowed := map[string]string{
		"function":      "",
		"observe":       "",
		"metrics":       "",
		"recent":        "",
		"admin":         "recent",
		"npmrc":         "",
		"watch":         "",
		"auth":          "function",
		"ratelimit":     "function",
		"upstream":      "fieldtext function sockio",
		"http1":         "fieldtext sockio",
		"fieldtext":     "",
		"sockio":        "",
		"gateway":       "function upstream auth http1 ratelimit",
		"tracing":       "gateway",
		"config":        "function machine suggest",
		"suggest":       "",
		"deploy":        "stack suggest",
		"stack":         "",
		"cost":          "",
		"machine":       "",
		"vitals":        "",
		"deno":          "egress wholefile",
		"deno/release":  "npmrc wholefile",
		"deno/denotest": "deno deno/release wholefile",
		"egress":        "",
		"bundle":        "function confine deno egress wholefile",
		"confine":       "",
		"cgroup":        "",
		"worker":        "function confine cgroup deno upstream",
		"pool":          "function bundle deno upstream worker",
		"scaffold":      "function",
		"docpart":       "",
		"wholefile":     "",
		"image":         "wholefile",
		"cli":           "*",
	}
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}: {{join .Imports " "}}`, "../...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		pkg, imports, _ := strings.Cut(strings.TrimSpace(line), ": ")
		name := strings.TrimPrefix(strings.TrimSuffix(pkg, ":"), base)
		may, known := allowed[name]
		if !known {
			t.Errorf("%s is not in the table: decide what it may import", name)
		}
		if may == "*" {
			continue
		}
		for imp := range strings.FieldsSeq(imports) {
			if rest, internal := strings.CutPrefix(imp, base); internal && !strings.Contains(" "+may+" ", " "+rest+" ") {
				t.Errorf("%s must not import %s", name, rest)
			}
		}
	}
}
