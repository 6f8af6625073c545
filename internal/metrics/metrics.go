// Package metrics counts what a server does, for Prometheus.
//
// The label "function" is the slug of a function that there is, and "" for all
// else, so strangers cannot add to the series by calling what does not exist;
// nor does any other label take its values from a request. The series of a
// function that was removed are gone at the next scrape.
//
// Counters are moved when something has happened: a request counts when it has
// ended. What there is now (workers, requests in flight) is asked for at each
// scrape.
package metrics

import (
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
)

const (
	// scrapesAtOnce bounds the scrapes that are answered at the same time;
	// Prometheus sends one after the other.
	scrapesAtOnce = 4
	// scrapeTimeout is Prometheus's own default.
	scrapeTimeout = 10 * time.Second
)

// Sources are asked at each scrape. All of them are required.
type Sources struct {
	// Version is the server's.
	Version string
	// Known reports whether there is a function with the slug. It is also
	// asked about the first event of a slug.
	Known func(slug string) bool
	// Functions is how many there are.
	Functions func() int
	// InFlight and Upgraded count requests and those of them that are no HTTP
	// any more.
	InFlight, Upgraded func() int64
	// Prestarted is how many processes wait for a function to be.
	Prestarted func() int
	// Usage is what functions have, with several entries for a slug added up.
	Usage func() []Usage
	// LogErrors is how many lines of the log could not be written.
	LogErrors func() uint64
	// Problems are codes of what is wrong with the machine now.
	Problems func() []string
}

// A Usage is what a function has now.
type Usage struct {
	Slug                        string
	Starting, Serving, Retiring int           // workers
	InFlight, Queued            int           // requests
	CPU                         time.Duration // of the workers there are
	Memory                      int64         // theirs alone, in bytes
}

// Metrics are the counts of one server. A nil *Metrics counts nothing. Its
// methods may be called at the same time.
type Metrics struct {
	sources  Sources
	registry *prometheus.Registry
	families

	functions atomic.Pointer[map[string]*series] // replaced, never changed
	nobody    *series                            // of what is for no function

	mu      sync.Mutex // held while functions change, and for series.ended and below
	reasons map[string]bool
}

// New returns metrics that are all zero.
func New(s Sources) *Metrics {
	m := &Metrics{
		sources: s, registry: prometheus.NewRegistry(), families: newFamilies(), reasons: map[string]bool{},
	}
	m.functions.Store(&map[string]*series{})
	m.nobody = m.newSeries("")
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "selvedge_build_info", Help: "1, with the version of the server.",
		ConstLabels: prometheus.Labels{"version": s.Version},
	})
	build.Set(1)
	m.registry.MustRegister(
		build, usageCollector{m},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.registry.MustRegister(m.families.all()...)
	return m
}

// Handler answers scrapes.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m, promhttp.HandlerOpts{
		MaxRequestsInFlight: scrapesAtOnce,
		Timeout:             scrapeTimeout,
	})
}

// Gather implements prometheus.Gatherer.
func (m *Metrics) Gather() ([]*dto.MetricFamily, error) {
	m.mu.Lock()
	m.prune()
	m.mu.Unlock()
	return m.registry.Gather()
}

// of returns the series of a function, or of nobody where there is none with
// the slug.
func (m *Metrics) of(slug string) *series {
	if s := (*m.functions.Load())[slug]; s != nil {
		return s
	}
	if slug == "" || !m.sources.Known(slug) {
		return m.nobody
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.prune()
	all := *m.functions.Load()
	if s := all[slug]; s != nil {
		return s
	}
	more := maps.Clone(all)
	more[slug] = m.newSeries(slug)
	m.functions.Store(&more)
	return more[slug]
}

// prune drops the series of functions that were removed; the lock is held.
func (m *Metrics) prune() {
	all := *m.functions.Load()
	left := make(map[string]*series, len(all))
	for slug, s := range all {
		if m.sources.Known(slug) {
			left[slug] = s
			continue
		}
		s.gone = true
		m.families.forget(slug)
	}
	if len(left) < len(all) {
		m.functions.Store(&left)
	}
}
