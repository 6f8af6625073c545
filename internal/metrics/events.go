package metrics

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// statusClientGone is the status of a request that nobody waited for.
const statusClientGone = 499

// A Request is one that ended.
type Request struct {
	// Slug is the function's, "" for none. There need not be one.
	Slug   string
	Method string
	// Status is 499 where nobody waited for the answer any more, and 0 where
	// there was none for another reason.
	Status   int
	Duration time.Duration
	// Dispatched is set when the request asked for a worker; Queued is how
	// long it waited for one.
	Dispatched bool
	Queued     time.Duration
	// Bytes is the size of the answer's body.
	Bytes   int64
	Retried bool
	// Rejected is why there was an answer in the function's place, such as its
	// sb-error-code, "" where there was none; Cut is who broke off before the
	// answer's end.
	Rejected, Cut string
}

// Request counts one.
func (m *Metrics) Request(r Request) {
	if m == nil {
		return
	}
	s := m.of(r.Slug)
	kind := exchange{methodOf(r.Method), codeOf(r.Status)}
	c := s.requests.get(kind)
	if c == nil {
		c = counter(m, s, &s.requests, kind, m.requests, kind.method.String(), kind.code.String())
	}
	c.Inc()
	if r.Status != http.StatusSwitchingProtocols { // how long they last says nothing of speed
		s.duration.Observe(r.Duration.Seconds())
	}
	if r.Dispatched {
		s.queue.Observe(r.Queued.Seconds())
	}
	s.bytes.Add(float64(r.Bytes))
	if r.Retried {
		s.retries.Inc()
	}
	if r.Rejected != "" {
		c := s.rejected.get(r.Rejected)
		if c == nil {
			c = m.rejection(s, r.Rejected)
		}
		c.Inc()
	}
	if r.Cut != "" {
		by := oneOf(r.Cut, "client", "worker", "shutdown")
		c := s.cut.get(by)
		if c == nil {
			c = counter(m, s, &s.cut, by, m.cut, by)
		}
		c.Inc()
	}
}

// maxReasons bounds the rejections that are told apart. There are some twenty,
// all of them constants of the platform; this is the second lock.
const maxReasons = 64

// rejection returns the counter for a reason that was not met before.
func (m *Metrics) rejection(s *series, reason string) prometheus.Counter {
	m.mu.Lock()
	known := m.reasons[reason] || len(m.reasons) < maxReasons
	if known {
		m.reasons[reason] = true
	}
	m.mu.Unlock()
	if !known {
		reason = other
	}
	return counter(m, s, &s.rejected, reason, m.rejected, strings.ToLower(reason))
}

// A Boot is a worker that came to serve.
type Boot struct {
	Slug                              string
	Queue, Bundle, Spawn, Load, Total time.Duration
	// Cached is set when the bundle was there already.
	Cached bool
}

// Boot counts one.
func (m *Metrics) Boot(b Boot) {
	if m == nil {
		return
	}
	s := m.of(b.Slug)
	m.mu.Lock()
	defer m.mu.Unlock()
	slug := s.label()
	bundle := "built"
	if b.Cached {
		bundle = "cached"
	}
	m.starts.WithLabelValues(slug, bundle).Observe(b.Total.Seconds())
	for phase, took := range map[string]time.Duration{"queue": b.Queue, "bundle": b.Bundle, "spawn": b.Spawn, "load": b.Load} {
		m.phases.WithLabelValues(slug, phase).Observe(took.Seconds())
	}
}

// BootFailure counts a start that failed, at a stage of function.BootError.
func (m *Metrics) BootFailure(slug, stage string) {
	if m == nil {
		return
	}
	s := m.of(slug)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failures.WithLabelValues(s.label(), oneOf(stage, "bundle", "load", "serve")).Inc()
}

// Exit counts a worker that had served and ended, with the processor time it
// used. reason is "" for one that ended by itself.
func (m *Metrics) Exit(slug, reason string, cpu time.Duration) {
	if m == nil {
		return
	}
	if reason == "" {
		reason = "exited"
	}
	s := m.of(slug)
	m.mu.Lock()
	defer m.mu.Unlock()
	s.ended += cpu
	m.exits.WithLabelValues(s.label(), oneOf(reason, "exited", "early_drop", "code_changed", "termination_requested",
		"cpu_time", "memory", "wall_clock_time", "tmp_size")).Inc()
}

// other stands for all values of a label that are not expected.
const other = "other"

func oneOf(value string, known ...string) string {
	if slices.Contains(known, value) {
		return value
	}
	return other
}
