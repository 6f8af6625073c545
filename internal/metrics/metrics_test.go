package metrics

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
)

// A stand is metrics of a server that a test moves.
type stand struct {
	*Metrics
	t          testing.TB
	slugs      atomic.Pointer[map[string]bool]
	used       atomic.Pointer[[]Usage]
	prestarted int
}

func newStand(t testing.TB, slugs ...string) *stand {
	s := &stand{t: t, prestarted: 2}
	s.serve(slugs...)
	s.use()
	s.Metrics = New(Sources{
		Version:    "1.2.3",
		Known:      func(slug string) bool { return (*s.slugs.Load())[slug] },
		Functions:  func() int { return len(*s.slugs.Load()) },
		InFlight:   func() int64 { return 7 },
		Upgraded:   func() int64 { return 3 },
		Prestarted: func() int { return s.prestarted },
		Usage:      func() []Usage { return *s.used.Load() },
		LogErrors:  func() uint64 { return 1 },
		Problems:   func() []string { return []string{"data_full"} },
	})
	return s
}

// serve replaces the functions, use what they have.
func (s *stand) serve(slugs ...string) {
	all := map[string]bool{}
	for _, slug := range slugs {
		all[slug] = true
	}
	s.slugs.Store(&all)
}

func (s *stand) use(all ...Usage) { s.used.Store(&all) }

// families are what a scrape shows, by name.
func (s *stand) families() map[string]*dto.MetricFamily {
	s.t.Helper()
	all, err := s.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	byName := map[string]*dto.MetricFamily{}
	for _, f := range all {
		byName[f.GetName()] = f
	}
	return byName
}

// series returns the labels of each of a family's, such as "fn GET 200", with
// its value or its count of observations.
func (s *stand) series(family string) map[string]float64 {
	s.t.Helper()
	found := map[string]float64{}
	f := s.families()[family]
	if f == nil {
		return found
	}
	for _, m := range f.GetMetric() {
		var labels []string
		for _, l := range m.GetLabel() {
			labels = append(labels, l.GetName()+"="+l.GetValue())
		}
		value := m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		found[strings.Join(labels, " ")] = value
	}
	return found
}

func (s *stand) expect(family string, want map[string]float64) {
	s.t.Helper()
	if got := s.series(family); !maps.Equal(got, want) {
		s.t.Errorf("%s is\n%v, want\n%v", family, got, want)
	}
}

// all counts the series of all families.
func (s *stand) all() int {
	s.t.Helper()
	n := 0
	for _, f := range s.families() {
		n += len(f.GetMetric())
	}
	return n
}

// aDay has something happen in every family.
func (s *stand) aDay() {
	s.Boot(Boot{Slug: "fn", Queue: 0, Bundle: time.Millisecond, Load: 2 * time.Millisecond, Total: 3 * time.Millisecond, Cached: true})
	s.Boot(Boot{Slug: "fn", Bundle: 300 * time.Millisecond, Spawn: 25 * time.Millisecond, Total: time.Second})
	s.Request(Request{Slug: "fn", Method: "GET", Status: 200, Duration: 3 * time.Millisecond, Dispatched: true, Queued: 2 * time.Millisecond, Bytes: 12})
	s.Request(Request{Slug: "fn", Method: "POST", Status: 200, Duration: 3 * time.Second, Dispatched: true, Bytes: 30, Retried: true})
	s.Request(Request{Slug: "fn", Method: "POST", Status: 401, Rejected: "UNAUTHORIZED_NO_AUTH_HEADER"})
	s.Request(Request{Slug: "fn", Method: "POST", Status: 503, Duration: 30 * time.Second, Dispatched: true, Queued: 30 * time.Second, Rejected: "queue_timeout"})
	s.Request(Request{Slug: "fn", Method: "POST", Status: 200, Dispatched: true, Cut: "worker"})
	s.Request(Request{Slug: "fn", Method: "POST", Status: 499, Dispatched: true, Cut: "client"})
	s.Request(Request{Slug: "fn", Method: "GET", Status: 101, Duration: time.Hour, Dispatched: true, Bytes: 1000})
	s.Request(Request{Slug: "nobody", Method: "GET", Status: 404, Rejected: "NOT_FOUND"})
	s.Request(Request{Method: "GET", Status: 200})
	s.BootFailure("broken", "load")
	s.Exit("fn", "early_drop", 2*time.Second)
	s.Exit("fn", "", time.Second)
	s.use(Usage{Slug: "fn", Starting: 1, Serving: 2, Retiring: 1, InFlight: 5, Queued: 4, CPU: 3 * time.Second, Memory: 1 << 20},
		Usage{Slug: "fn", Retiring: 1, InFlight: 1, Memory: 1 << 20}, Usage{Slug: "removed", Retiring: 1, CPU: time.Hour, Memory: 1 << 20},
		Usage{Slug: "idle"})
}

func TestCounts(t *testing.T) {
	s := newStand(t, "fn", "broken", "idle")
	s.aDay()
	for family, want := range map[string]map[string]float64{
		"selvedge_build_info": {"version=1.2.3": 1},
		"selvedge_requests_total": {
			"code=200 function=fn method=GET": 1, "code=200 function=fn method=POST": 2, "code=401 function=fn method=POST": 1,
			"code=503 function=fn method=POST": 1, "code=499 function=fn method=POST": 1, "code=101 function=fn method=GET": 1,
			"code=404 function= method=GET": 1, "code=200 function= method=GET": 1,
		},
		"selvedge_request_duration_seconds":  {"function=fn": 6, "function=broken": 0, "function=": 2},
		"selvedge_request_queue_seconds":     {"function=fn": 6, "function=broken": 0, "function=": 0},
		"selvedge_requests_rejected_total":   {"function=fn reason=unauthorized_no_auth_header": 1, "function=fn reason=queue_timeout": 1, "function= reason=not_found": 1},
		"selvedge_requests_cut_total":        {"by=worker function=fn": 1, "by=client function=fn": 1},
		"selvedge_request_retries_total":     {"function=fn": 1, "function=broken": 0, "function=": 0},
		"selvedge_response_body_bytes_total": {"function=fn": 1042, "function=broken": 0, "function=": 0},
		"selvedge_cold_start_seconds":        {"bundle=cached function=fn": 1, "bundle=built function=fn": 1},
		"selvedge_cold_start_phase_seconds": {
			"function=fn phase=queue": 2, "function=fn phase=bundle": 2, "function=fn phase=spawn": 2, "function=fn phase=load": 2,
		},
		"selvedge_boot_failures_total":  {"function=broken stage=load": 1},
		"selvedge_worker_exits_total":   {"function=fn reason=early_drop": 1, "function=fn reason=exited": 1},
		"selvedge_functions":            {"": 3},
		"selvedge_requests_in_flight":   {"": 7},
		"selvedge_upgraded_connections": {"": 3},
		"selvedge_requests_in_worker":   {"function=fn": 6, "function=broken": 0, "function=": 0},
		"selvedge_requests_queued":      {"function=fn": 4, "function=broken": 0, "function=": 0},
		"selvedge_workers": {
			"function=fn state=starting": 1, "function=fn state=serving": 2, "function=fn state=retiring": 2,
			"function=broken state=starting": 0, "function=broken state=serving": 0, "function=broken state=retiring": 0,
			"function= state=starting": 0, "function= state=serving": 0, "function= state=retiring": 1, "function= state=prestarted": 2,
		},
		"selvedge_worker_cpu_seconds_total": {"function=fn": 6, "function=broken": 0},
		"selvedge_worker_memory_bytes":      {"function=fn": 2 << 20, "function=broken": 0, "function=": 1 << 20},
		"selvedge_log_write_errors_total":   {"": 1},
		"selvedge_problem":                  {"problem=data_full": 1},
	} {
		s.expect(family, want)
	}
	// Seconds, not something else, and in the right bucket.
	for _, b := range s.families()["selvedge_cold_start_seconds"].GetMetric()[0].GetHistogram().GetBucket() {
		want := uint64(0)
		if b.GetUpperBound() >= 1 {
			want = 1
		}
		if got := b.GetCumulativeCount(); got != want {
			t.Errorf("%d starts within %g s, want %d", got, b.GetUpperBound(), want)
		}
	}
}

func TestNothingIsCountedWithoutMetrics(t *testing.T) {
	s := stand{Metrics: nil}
	s.use()
	s.aDay() // and does not panic
}

func TestLint(t *testing.T) {
	s := newStand(t, "fn", "broken")
	s.aDay()
	problems, err := testutil.GatherAndLint(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestSeriesAreBounded: whatever strangers send, series do not grow.
func TestSeriesAreBounded(t *testing.T) {
	s := newStand(t, "fn")
	for status := range 1000 {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} {
			s.Request(Request{Slug: "fn", Method: method, Status: status})
			s.Request(Request{Method: method, Status: status})
		}
	}
	before := s.all()
	if before > 1500 {
		t.Errorf("one function has %d series at most", before)
	}
	for i := range 10_000 {
		text := fmt.Sprint("x", i)
		s.Request(Request{Slug: text, Method: text, Status: i})
		s.Request(Request{Slug: text, Method: "GET", Status: -i})
		s.Request(Request{Slug: "fn", Method: text, Status: i})
	}
	if after := s.all(); after != before {
		t.Errorf("unknown slugs, methods and statuses made %d series of %d", after, before)
	}
	// None of these comes from a request; they are bounded all the same.
	for i := range 10_000 {
		text := fmt.Sprint("x", i)
		s.Request(Request{Slug: text, Method: "GET", Status: 500, Rejected: text, Cut: text})
		s.Request(Request{Slug: "fn", Method: "GET", Status: 500, Rejected: text, Cut: text})
		s.Boot(Boot{Slug: text})
		s.BootFailure(text, text)
		s.BootFailure("fn", text)
		s.Exit(text, text, 0)
		s.Exit("fn", text, 0)
		s.use(Usage{Slug: text, Serving: 1})
	}
	if after := s.all(); after > before+2*maxReasons+20 {
		t.Errorf("unknown reasons made %d series of %d", after, before)
	}
}

func TestRemovedFunctions(t *testing.T) {
	s := newStand(t, "fn", "broken", "kept")
	s.aDay()
	s.Request(Request{Slug: "kept", Method: "GET", Status: 200})
	late := s.of("fn") // as a request has it that ends after the function's removal
	s.serve("kept")
	of := func(slug string) (found []string) {
		for name, f := range s.families() {
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					if l.GetName() == "function" && l.GetValue() == slug {
						found = append(found, name)
					}
				}
			}
		}
		slices.Sort(found)
		return slices.Compact(found)
	}
	if found := slices.Concat(of("fn"), of("broken")); len(found) > 0 {
		t.Errorf("removed functions are still in %v", found)
	}
	if len(of("kept")) == 0 {
		t.Error("a function is gone that was kept")
	}
	counter(s.Metrics, late, &late.requests, exchange{1, 200}, s.requests, "GET", "418").Inc()
	s.Request(Request{Slug: "fn", Method: "GET", Status: 418})
	s.Boot(Boot{Slug: "fn"})
	s.Exit("fn", "code_changed", time.Second)
	if found := of("fn"); len(found) > 0 {
		t.Errorf("late events brought back %v", found)
	}
	if got := s.series("selvedge_requests_total")["code=418 function= method=GET"]; got != 2 {
		t.Errorf("%v late requests were counted for nobody, want 2", got)
	}
	s.serve("kept", "fn")
	s.Request(Request{Slug: "fn", Method: "GET", Status: 200})
	if got := s.series("selvedge_requests_total")["code=200 function=fn method=GET"]; got != 1 {
		t.Errorf("a function that is there again has %v requests, want 1", got)
	}
}

// TestSeriesAreDroppedWithoutScrapes: nobody may ever look.
func TestSeriesAreDroppedWithoutScrapes(t *testing.T) {
	s := newStand(t)
	for i := range 100 {
		slug := fmt.Sprint("x", i)
		s.serve(slug)
		s.Request(Request{Slug: slug, Method: "GET", Status: 200})
	}
	if n := len(*s.functions.Load()); n != 1 {
		t.Errorf("series of %d functions are kept, of which 1 is there", n)
	}
}

// TestProcessorTimeNeverFalls, which would look like a counter that began
// anew, and add all of it once more.
func TestProcessorTimeNeverFalls(t *testing.T) {
	s := newStand(t, "fn")
	s.Boot(Boot{Slug: "fn"})
	expect := func(want float64) {
		t.Helper()
		s.expect("selvedge_worker_cpu_seconds_total", map[string]float64{"function=fn": want})
	}
	s.use(Usage{Slug: "fn", Serving: 2, CPU: 5 * time.Second})
	expect(5)
	s.use(Usage{Slug: "fn", Serving: 1, CPU: time.Second}) // one has ended, and is yet to be reported
	expect(5)
	s.Exit("fn", "", 4*time.Second+500*time.Millisecond)
	expect(5.5)
	s.use()
	s.Exit("fn", "early_drop", 2*time.Second)
	expect(6.5)
}

func TestAtOnce(t *testing.T) {
	s := newStand(t, "fn", "kept")
	var wg sync.WaitGroup
	const each = 300
	for range 4 {
		wg.Go(func() {
			for range each {
				s.aDay()
			}
		})
	}
	wg.Go(func() {
		for i := range each {
			if i%2 == 0 {
				s.serve("kept")
			} else {
				s.serve("kept", "fn", "broken")
			}
			s.families()
		}
	})
	wg.Go(func() {
		for range each {
			s.Request(Request{Slug: "kept", Method: "GET", Status: 200})
		}
	})
	wg.Wait()
	s.serve("kept")
	if got := s.series("selvedge_requests_total"); got["code=200 function=kept method=GET"] != each {
		t.Errorf("%v", got)
	}
	for labels := range s.series("selvedge_requests_total") {
		if strings.Contains(labels, "function=fn") {
			t.Errorf("%s is left of a removed function", labels)
		}
	}
}

func TestRequestAllocatesNothing(t *testing.T) {
	s := newStand(t, "fn")
	for name, r := range requests {
		s.Request(r)
		if n := testing.AllocsPerRun(100, func() { s.Request(r) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

var requests = map[string]Request{
	"answer":  {Slug: "fn", Method: "POST", Status: 200, Duration: 3 * time.Millisecond, Dispatched: true, Queued: 200, Bytes: 1234},
	"unknown": {Slug: "what-is-not-there", Method: "GET", Status: 404, Duration: 30 * time.Microsecond, Bytes: 70, Rejected: "NOT_FOUND"},
	"refusal": {Slug: "fn", Method: "POST", Status: 401, Duration: 30 * time.Microsecond, Bytes: 70, Rejected: "UNAUTHORIZED_LEGACY_JWT"},
}

func BenchmarkRequest(b *testing.B) {
	s := newStand(b, "fn")
	for name, r := range requests {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Request(r)
			}
		})
	}
	b.Run("answer, in parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				s.Request(requests["answer"])
			}
		})
	})
}

// BenchmarkScrape is of a hundred functions that were called.
func BenchmarkScrape(b *testing.B) {
	var slugs []string
	for i := range 100 {
		slugs = append(slugs, fmt.Sprint("fn", i))
	}
	s := newStand(b, slugs...)
	for _, slug := range slugs {
		s.Request(Request{Slug: slug, Method: "POST", Status: 200})
		s.Boot(Boot{Slug: slug})
	}
	for b.Loop() {
		s.families()
	}
}
