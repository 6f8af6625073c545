package metrics

import (
	"maps"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A series is what is counted of one function. Counters are looked up once and
// kept: finding one by its labels costs more than moving it.
type series struct {
	slug            string
	duration, queue prometheus.Observer
	bytes, retries  prometheus.Counter
	requests        handles[exchange]
	rejected, cut   handles[string]

	// Under the lock of Metrics. gone is set when the function was removed:
	// nothing may be added to the families for it then.
	gone bool
	// ended is the processor time of the workers that have ended, and shown
	// what a scrape was last told, those alive included.
	ended, shown time.Duration
}

func (m *Metrics) newSeries(slug string) *series {
	return &series{
		slug:     slug,
		duration: m.duration.WithLabelValues(slug),
		queue:    m.queue.WithLabelValues(slug),
		bytes:    m.bytes.WithLabelValues(slug),
		retries:  m.retries.WithLabelValues(slug),
	}
}

// label is the value of the label function, "" for a request that ended just
// after its function was removed; the lock is held.
func (s *series) label() string {
	if s.gone {
		return ""
	}
	return s.slug
}

// handles are the counters of one family and function.
type handles[K comparable] struct {
	known atomic.Pointer[map[K]prometheus.Counter] // replaced, never changed
}

// get returns nil where put was not called.
func (h *handles[K]) get(key K) prometheus.Counter {
	if known := h.known.Load(); known != nil {
		return (*known)[key]
	}
	return nil
}

// put is called with the lock held.
func (h *handles[K]) put(key K, c prometheus.Counter) {
	more := map[K]prometheus.Counter{}
	if known := h.known.Load(); known != nil {
		more = maps.Clone(*known)
	}
	more[key] = c
	h.known.Store(&more)
}

// counter returns the counter of a family with the labels, and keeps it as a
// handle.
func counter[K comparable](m *Metrics, s *series, h *handles[K], key K, family *prometheus.CounterVec, labels ...string) prometheus.Counter {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := family.WithLabelValues(append([]string{s.label()}, labels...)...)
	h.put(key, c)
	return c
}

// An exchange is the kind of a request, in so few values that each may have a
// series.
type exchange struct {
	method method
	code   code
}

type method uint8

var methodNames = [...]string{"other", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

func (m method) String() string { return methodNames[m] }

func methodOf(name string) method {
	switch name {
	case http.MethodGet:
		return 1
	case http.MethodHead:
		return 2
	case http.MethodPost:
		return 3
	case http.MethodPut:
		return 4
	case http.MethodPatch:
		return 5
	case http.MethodDelete:
		return 6
	case http.MethodOptions:
		return 7
	}
	return 0
}

// A code is a status that has a meaning, or the class of one that has none, or
// 0 for no answer.
type code uint16

func codeOf(status int) code {
	switch {
	case status == statusClientGone || http.StatusText(status) != "":
		return code(status)
	case status >= 100 && status <= 999:
		return code(status / 100)
	}
	return 0
}

func (c code) String() string {
	switch {
	case c == 0:
		return "none"
	case c < 10:
		return strconv.Itoa(int(c)) + "xx"
	}
	return strconv.Itoa(int(c))
}
