package escape

import (
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/docpart"
)

var update = flag.Bool("update", false, "write the table of docs/security.md anew")

// TestDocumented keeps the table of docs/security.md what the other tests make
// and check.
func TestDocumented(t *testing.T) {
	part := docpart.Part{File: "../../docs/security.md", Name: "attempts", Command: "go test ./e2e/escape -run TestDocumented -update"}
	keep := part.Compare
	if *update {
		keep = part.Replace
	}
	if err := keep(table()); err != nil {
		t.Error(err)
	}
}

func table() string {
	var b strings.Builder
	b.WriteString("| area | attempt | held by |\n|---|---|---|\n")
	for _, a := range attempts() {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", a.area, a.name, a.heldBy())
	}
	for _, a := range buildings() {
		fmt.Fprintf(&b, "| Builds | %s | the build |\n", a.name)
	}
	return b.String()
}

// heldBy names what holds the attempt, each of it without the others.
func (a attempt) heldBy() string {
	switch {
	case a.needs != "":
		return string(a.needs)
	case a.also != "":
		return "Deno; " + string(a.also)
	}
	return "Deno"
}
