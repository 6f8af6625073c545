package docpart

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReplace(t *testing.T) {
	p := Part{File: filepath.Join(t.TempDir(), "page.md"), Name: "table", Command: "make table"}
	const page = "# Page\n<!-- table: begin; made by `make table` -->\nold\n<!-- table: end -->\nThe end.\n"
	if err := os.WriteFile(p.File, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := p.Compare("new\n"); err == nil || !strings.Contains(err.Error(), "make table") {
		t.Errorf("Compare of an old part = %v, want an error that says how to write it", err)
	}
	if err := p.Replace("new\n"); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(p.File)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(raw), strings.Replace(page, "old", "new", 1); got != want {
		t.Errorf("the page is %q, want %q", got, want)
	}
	if err := p.Compare("new\n"); err != nil {
		t.Error(err)
	}
}

func TestNoPart(t *testing.T) {
	for name, page := range map[string]string{
		"neither":    "# Page\n",
		"no end":     "<!-- table: begin; made by `make table` -->\n",
		"end first":  "<!-- table: end -->\n<!-- table: begin; made by `make table` -->\n",
		"other name": "<!-- tables: begin; made by `make table` -->\n<!-- tables: end -->\n",
	} {
		t.Run(name, func(t *testing.T) {
			p := Part{File: filepath.Join(t.TempDir(), "page.md"), Name: "table", Command: "make table"}
			if err := os.WriteFile(p.File, []byte(page), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := p.Replace("new\n"); err == nil {
				t.Error("Replace found a part")
			}
			if raw, _ := os.ReadFile(p.File); string(raw) != page {
				t.Errorf("the page became %q", raw)
			}
		})
	}
}
