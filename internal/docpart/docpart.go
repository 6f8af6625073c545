// Package docpart keeps the parts of documents that programs make from what
// they know or measure.
package docpart

import (
	"fmt"
	"os"
	"strings"
)

// A Part is what lies between two comments of a document.
type Part struct {
	File    string
	Name    string
	Command string // makes it anew
}

func (p Part) begin() string {
	return fmt.Sprintf("<!-- %s: begin; made by `%s` -->\n", p.Name, p.Command)
}

func (p Part) end() string { return fmt.Sprintf("<!-- %s: end -->\n", p.Name) }

// cut divides the document into the part and what is around it.
func (p Part) cut() (before, part, after string, err error) {
	raw, err := os.ReadFile(p.File)
	if err != nil {
		return "", "", "", err
	}
	before, rest, ok := strings.Cut(string(raw), p.begin())
	part, after, closed := strings.Cut(rest, p.end())
	if !ok || !closed {
		return "", "", "", fmt.Errorf("%s has no generated part: it must have the lines %q and %q", p.File, p.begin(), p.end())
	}
	return before, part, after, nil
}

// Replace puts in what was made.
func (p Part) Replace(made string) error {
	before, _, after, err := p.cut()
	if err != nil {
		return err
	}
	return os.WriteFile(p.File, []byte(before+p.begin()+made+p.end()+after), 0o644)
}

// Compare returns an error unless the part is what would be made today.
func (p Part) Compare(made string) error {
	_, part, _, err := p.cut()
	if err == nil && part != made {
		err = fmt.Errorf("%s is out of date; write it with: %s\ngot:\n%s\nwant:\n%s", p.File, p.Command, part, made)
	}
	return err
}
