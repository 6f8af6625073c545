package metrics

import (
	"cmp"
	"flag"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/selvedge-dev/selvedge/internal/docpart"
)

var update = flag.Bool("update", false, "write the table of docs/observability.md anew")

// TestDocumented keeps the table of docs/observability.md what a scrape shows.
func TestDocumented(t *testing.T) {
	s := newStand(t, "fn", "broken")
	s.aDay()
	part := docpart.Part{File: "../../docs/observability.md", Name: "metrics", Command: "go test ./internal/metrics -update"}
	keep := part.Compare
	if *update {
		keep = part.Replace
	}
	if err := keep(s.table()); err != nil {
		t.Error(err)
	}
}

// table describes the metrics of its own, and fails where aDay leaves one out
// that is registered.
func (s *stand) table() string {
	families := s.families()
	var b strings.Builder
	b.WriteString("| metric | type | labels | unit | meaning |\n|---|---|---|---|---|\n")
	for _, name := range s.registered() {
		f := families[name]
		if f == nil {
			s.t.Errorf("%s is registered, but nothing of a day moves it", name)
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+l.GetName()+"`")
		}
		slices.SortFunc(labels, func(a, b string) int { // the function first
			return cmp.Or(-cmp.Compare(btoi(a == "`function`"), btoi(b == "`function`")), cmp.Compare(a, b))
		})
		unit := ""
		switch base := strings.TrimSuffix(name, "_total"); {
		case strings.HasSuffix(base, "_seconds"):
			unit = "seconds"
		case strings.HasSuffix(base, "_bytes"):
			unit = "bytes"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", name, strings.ToLower(f.GetType().String()), strings.Join(labels, " "), unit, f.GetHelp())
	}
	return b.String()
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

var descName = regexp.MustCompile(`fqName: "(selvedge_\w+)"`)

// registered returns the names of the metrics of its own, sorted.
func (s *stand) registered() []string {
	descs := make(chan *prometheus.Desc)
	go func() {
		s.registry.Describe(descs)
		close(descs)
	}()
	var names []string
	for d := range descs {
		if m := descName.FindStringSubmatch(d.String()); m != nil {
			names = append(names, m[1])
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
