package gateway

import (
	"errors"
	"net/http"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/upstream"
)

// What never reaches a function as it came. sb-api-key is how the platform's
// own gateway speaks to its functions, so one from outside is a forgery.
// Forwarded is told in X-Forwarded-*, so that there is one truth. Of these,
// those that the gateway does not write itself are a trusted proxy's alone.
var (
	stripTrusted = []string{"Sb-Api-Key", "Forwarded"}
	stripOthers  = append([]string{"X-Forwarded-"}, stripTrusted...)
)

// invoke has a worker answer. A request that died with its worker before the
// function can have run is tried on another one, once.
func (s *Server) invoke(w http.ResponseWriter, r *http.Request, c *Call) {
	for retried := false; ; retried = true {
		asked := time.Now()
		lease, err := s.opts.Invoker.Acquire(r.Context(), c.Route.Slug)
		waited := time.Since(asked)
		c.queued += waited
		if err != nil {
			s.refuseAcquire(w, r, c, err)
			return
		}
		idle := lease.RequestIdle()
		err = s.forward(w, r, c, lease, asked.Add(waited))
		if err == nil {
			return
		}
		var failure *upstream.Error
		if !retried && errors.As(err, &failure) && failure.Retryable() {
			s.metrics.retried.Add(1)
			c.retried = true
			continue
		}
		s.refuseForward(w, c, err, idle)
		return
	}
}

// forward carries the request to the worker of the lease, which was given out at
// the time at, and gives the lease back.
func (s *Server) forward(w http.ResponseWriter, r *http.Request, c *Call, lease Lease, at time.Time) error {
	defer lease.Release()
	c.executedBy(lease.ExecutionID(), w.Header())
	seen := &c.origin
	strip, realIP := stripOthers, ""
	if seen.trusted {
		strip = stripTrusted
	}
	if len(r.Header["X-Real-Ip"]) > 0 {
		realIP = seen.ip
	}
	c.set = [5]upstream.Field{
		{Name: "Sb-Request-Id", Value: c.RequestID},
		{Name: "X-Forwarded-For", Value: seen.chain},
		{Name: "X-Forwarded-Proto", Value: seen.scheme},
		{Name: "X-Forwarded-Host", Value: seen.host},
		{Name: "X-Real-Ip", Value: realIP}, // for whoever sent it
	}
	c.open = &s.metrics.open
	res, err := lease.Upstream().Forward(w, r, upstream.Options{
		At:        at,
		Path:      c.Route.Target,
		Absolute:  lease.Absolute(),
		Scheme:    seen.scheme,
		Host:      seen.host,
		Set:       c.set[:],
		Strip:     strip,
		FirstByte: lease.RequestIdle(),
		OnHead:    c.onHead,
	})
	if errors.Is(err, function.ErrWorkerGone) || errors.Is(err, upstream.ErrAnswerCut) {
		if limit := lease.Suspect(); limit != nil {
			err = &limitError{err, limit}
		}
	}
	if c.switched {
		c.open.Add(-1)
		c.switched = false
	}
	c.Status, c.Bytes = res.Status, res.Bytes
	if res.Status == http.StatusSwitchingProtocols {
		s.metrics.upgraded.Add(1)
	}
	return err
}

// A limitError is a worker's end for which a limit is to blame.
type limitError struct{ err, limit error }

func (e *limitError) Error() string   { return e.limit.Error() }
func (e *limitError) Unwrap() []error { return []error{e.limit, e.err} }
