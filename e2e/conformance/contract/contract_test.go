package contract

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const repo = "../../.."

// TestPageIsOfThisTable: the page is what the table makes of its own results.
func TestPageIsOfThisTable(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(repo, "docs", "compatibility.md"))
	if err != nil {
		t.Fatal(err)
	}
	report := Parse(page)
	if !bytes.Equal(Render(report), page) {
		t.Error("docs/compatibility.md is of another table; run `make compatibility`")
	}
	for _, area := range Areas() {
		for _, row := range area.Rows {
			if got := report.Results[row.Says]; len(row.Tests) > 0 && got != pass && !strings.HasPrefix(got, notYet) {
				t.Errorf("docs/compatibility.md has %q for %q; run `make compatibility`", got, row.Says)
			}
		}
	}
}

func TestRows(t *testing.T) {
	seen := map[string]bool{}
	for _, area := range Areas() {
		for _, row := range area.Rows {
			if seen[row.Says] {
				t.Errorf("twice: %s", row.Says)
			}
			seen[row.Says] = true
			if row.Unshown != "" && (row.Missing != "" || len(row.Tests) > 0) {
				t.Errorf("shown and not shown: %s", row.Says)
			}
			if len(row.Tests) == 0 && row.Missing == "" && row.Unshown == "" {
				t.Errorf("neither a test nor a reason: %s", row.Says)
			}
		}
	}
}

// TestNamedTestsAreThere looks for the names in the sources. Whether the tests
// run and pass is for `make compatibility` to find out.
func TestNamedTestsAreThere(t *testing.T) {
	sources := map[string]*names{}
	for _, test := range Tests() {
		dir, name, ok := strings.Cut(test, ".")
		if !ok {
			t.Errorf("%s names no package", test)
			continue
		}
		if sources[dir] == nil {
			sources[dir] = read(t, filepath.Join(repo, filepath.FromSlash(dir)))
		}
		function, subtests, _ := strings.Cut(name, "/")
		if !sources[dir].functions[function] {
			t.Errorf("%s: there is no %s in %s", test, function, dir)
		}
		for part := range strings.SplitSeq(subtests, "/") {
			if part != "" && !sources[dir].has(part) {
				t.Errorf("%s: nothing in %s is called %q", test, dir, part)
			}
		}
	}
}

// names are what tests of a package can be called.
type names struct {
	functions map[string]bool
	literals  map[string]bool // with _ for spaces, as `go test` prints them
	patterns  []*regexp.Regexp
	clients   string // the programs that report checks by name
}

func (n *names) has(part string) bool {
	if n.literals[part] || strings.Contains(n.clients, part) {
		return true
	}
	for _, p := range n.patterns {
		if p.MatchString(part) {
			return true
		}
	}
	return false
}

// template is a name with values in it, in a client program.
var template = regexp.MustCompile("check\\(`([^`]*)`")

func read(t *testing.T, dir string) *names {
	t.Helper()
	n := &names{functions: map[string]bool{}, literals: map[string]bool{}}
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests in %s: %v", dir, err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.FuncDecl:
				n.functions[node.Name.Name] = true
			case *ast.BasicLit:
				if text, err := strconv.Unquote(node.Value); node.Kind == token.STRING && err == nil {
					n.literals[strings.ReplaceAll(text, " ", "_")] = true
				}
			}
			return true
		})
	}
	for _, pattern := range []string{"*.mjs", "suites/*.mjs"} {
		programs, _ := filepath.Glob(filepath.Join(dir, "client", pattern))
		for _, file := range programs {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, found := range template.FindAllStringSubmatch(string(text), -1) {
				parts := regexp.MustCompile(`\$\{[^}]*\}`).Split(strings.ReplaceAll(found[1], " ", "_"), -1)
				for i := range parts {
					parts[i] = regexp.QuoteMeta(parts[i])
				}
				n.patterns = append(n.patterns, regexp.MustCompile("^"+strings.Join(parts, ".+")+"$"))
			}
			// A slash in a name is told as a space.
			n.clients += strings.NewReplacer(" ", "_", "/", "_").Replace(string(text))
		}
	}
	return n
}
