// Package contract says what Supabase's Edge Functions, their clients and their
// tools expect of a platform, statement by statement, and which test shows that
// Selvedge does it. docs/compatibility.md is made of it.
package contract

import "slices"

// An Area is a part of the contract.
type Area struct {
	Name string
	Rows []Row
}

// A Row is one statement.
type Row struct {
	// Says is the statement, a sentence in Markdown.
	Says string
	// Tests show it. Each is a package's folder, a dot, and the name of a test
	// as `go test` prints it.
	Tests []string
	// Missing is why Selvedge does not do it, or does only a part; "" where it
	// does.
	Missing string
	// Unshown is why there is no test of what it does. A row has tests, or a
	// reason for having none.
	Unshown string
}

// Areas returns the whole contract.
func Areas() []Area {
	return []Area{
		{"Layout and discovery", layout()},
		{"Entry forms", entryForms()},
		{"Routing", routing()},
		{"Authentication", authentication()},
		{"Platform errors", platformErrors()},
		{"CORS", cors()},
		{"Bodies and streams", bodies()},
		{"A worker's life", workerLife()},
		{"Walls", walls()},
		{"Clients", clients()},
		{"Beyond the contract", beyond()},
	}
}

// Tests returns every test that a row names, once, sorted.
func Tests() []string {
	var all []string
	for _, area := range Areas() {
		for _, row := range area.Rows {
			all = append(all, row.Tests...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// The folders of packages whose tests are named often.
const (
	node     = "e2e/conformance.TestConformance/node/"
	sdk      = node + "supabase-js/"
	chromium = "e2e/conformance.TestConformance/chromium/"
	curl     = "e2e/conformance.TestConformance/curl/"
	inside   = "e2e/conformance.TestConformance/inside/"
	entry    = "internal/worker.TestEntryForms/"
	refusals = curl + "unauthorized/"
)
