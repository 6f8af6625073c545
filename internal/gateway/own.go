package gateway

import (
	"encoding/json"
	"maps"
	"net/http"
	"sync/atomic"
	"time"
)

// own answers what is the gateway's own, never authenticated.
func (s *Server) own(w http.ResponseWriter, r *http.Request, c *Call) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header()["Allow"] = []string{"GET, HEAD"}
		Refuse(w, c, methodNotAllowed)
		return
	}
	status, answer := http.StatusOK, any(nil)
	switch c.Route.Kind {
	case RouteHealth:
		status, answer = s.Health().answer()
	case RouteMetric:
		answer = s.counters()
	default:
		answer = message{"Selvedge serves functions at " + functionsPrefix + "/{name}"}
	}
	body, err := json.Marshal(answer)
	if err != nil {
		c.Err = err
		Refuse(w, c, workerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	c.write(w, status, body)
}

type message struct {
	Message string `json:"message"`
}

// metrics count since the server was made.
type metrics struct {
	received, handled, retried, upgraded, cut atomic.Int64
	// open is how many upgraded connections there are now.
	open atomic.Int64
	// classes counts answers by the first digit of their status; 0 is for
	// requests that got none.
	classes [6]atomic.Int64
}

// counters returns what /_internal/metric shows.
func (s *Server) counters() map[string]int64 {
	m := &s.metrics
	all := map[string]int64{
		"uptimeSeconds":         int64(time.Since(s.born) / time.Second),
		"receivedRequestsCount": m.received.Load(),
		"handledRequestsCount":  m.handled.Load(),
		"activeRequestsCount":   s.inflight.Load(),
		"retriedRequestsCount":  m.retried.Load(),
		"upgradedRequestsCount": m.upgraded.Load(),
		"cutAnswersCount":       m.cut.Load(),
		"answered2xxCount":      m.classes[2].Load(),
		"answered3xxCount":      m.classes[3].Load(),
		"answered4xxCount":      m.classes[4].Load(),
		"answered5xxCount":      m.classes[5].Load(),
	}
	if s.opts.Metrics != nil {
		maps.Copy(all, s.opts.Metrics())
	}
	return all
}

// count notes an ended call.
func (m *metrics) count(c *Call) {
	m.handled.Add(1)
	if c.abort {
		m.cut.Add(1)
	}
	if class := c.Status / 100; class > 0 && class < len(m.classes) && c.Status != StatusClientGone {
		m.classes[class].Add(1)
	}
}
