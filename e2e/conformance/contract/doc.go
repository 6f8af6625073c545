package contract

import (
	"bytes"
	"fmt"
	"strings"
)

// A Report is what running the tests showed.
type Report struct {
	// Clients says what the tests were run with.
	Clients string
	// Results are by what rows say: "pass", or "not yet: " and a reason. Rows
	// without tests have none.
	Results map[string]string
}

const (
	pass   = "pass"
	notYet = "not yet: "
	inPart = "in part: "
	unseen = "not shown: "

	head = `# Compatibility

Existing functions and clients should not notice that Selvedge is not the hosted platform. This is what they expect, statement by statement, and the tests that show it. ` + "`make compatibility`" + ` runs them and writes this page; a test fails when the page and the tests part.

`
	foot = `
A name such as ` + "`curl/routes/with_prefix`" + ` is a test in ` + "`e2e/conformance`" + `: ` + "`go test ./e2e/conformance -run TestConformance/curl/routes/with_prefix`" + `. Others begin with their package.
`
	clientsAre = "The clients were "
	columns    = "| what is expected | result | shown by |\n|---|---|---|\n"
)

// Render writes the page.
func Render(r Report) []byte {
	var b, tables bytes.Buffer
	counts := map[string]int{}
	all := 0
	for _, area := range Areas() {
		fmt.Fprintf(&tables, "\n## %s\n\n%s", area.Name, columns)
		for _, row := range area.Rows {
			result := row.result(r.Results[row.Says])
			kind, _, _ := strings.Cut(result, ":")
			counts[kind]++
			all++
			var tests []string
			for _, test := range row.Tests {
				tests = append(tests, "`"+strings.TrimPrefix(test, "e2e/conformance.TestConformance/")+"`")
			}
			fmt.Fprintf(&tables, "| %s | %s | %s |\n", cell(row.Says), cell(result), cell(strings.Join(tests, "<br>")))
		}
	}
	b.WriteString(head)
	fmt.Fprintf(&b, "%d statements: %d pass, %d in part, %d not yet, %d not shown by a test.\n\n%s%s.\n", all, counts["pass"], counts["in part"], counts["not yet"], counts["not shown"], clientsAre, r.Clients)
	b.WriteString(foot)
	b.Write(tables.Bytes())
	return b.Bytes()
}

// result is the row's cell, given what its tests showed.
func (r *Row) result(shown string) string {
	switch {
	case r.Unshown != "":
		return unseen + r.Unshown
	case len(r.Tests) == 0:
		return notYet + r.Missing
	case r.Missing != "" && shown == pass:
		return inPart + r.Missing
	}
	return shown
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// Parse reads a page as Render writes it.
func Parse(page []byte) Report {
	r := Report{Results: map[string]string{}}
	for line := range strings.Lines(string(page)) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, clientsAre); ok {
			r.Clients = strings.TrimSuffix(rest, ".")
		}
		cells := strings.Split(line, " | ")
		if !strings.HasPrefix(line, "| ") || len(cells) != 3 {
			continue
		}
		says, result := strings.TrimPrefix(cells[0], "| "), cells[1]
		if strings.HasPrefix(result, inPart) {
			result = pass
		}
		r.Results[says] = result
	}
	return r
}
