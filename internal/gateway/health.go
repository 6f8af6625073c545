package gateway

import "net/http"

// A Health is how the server is.
type Health struct {
	// Unable means that no function can be answered, or soon none will be: load
	// balancers are to look elsewhere.
	Unable bool
	// Problems are codes of what is wrong, such as disk_full. With them alone
	// the server is sent requests as before: functions that serve go on, and
	// other servers would have to do its work too, where they may have the same
	// problem.
	Problems []string
}

// Health is what the health endpoints tell.
func (s *Server) Health() Health {
	var h Health
	if s.opts.Health != nil {
		h = s.opts.Health()
	}
	h.Unable = h.Unable || s.stopping.Load()
	return h
}

// Status is what a health endpoint answers, and says.
func (h Health) Status() (status int, text string) {
	switch {
	case h.Unable:
		return http.StatusServiceUnavailable, "unhealthy"
	case len(h.Problems) > 0:
		return http.StatusOK, "degraded"
	}
	return http.StatusOK, "ok"
}

// answer is the whole of it. The codes are for everybody to see; what they mean
// here, with paths, is for the log.
func (h Health) answer() (status int, body any) {
	status, text := h.Status()
	return status, struct {
		Message  string   `json:"message"`
		Problems []string `json:"problems,omitempty"`
	}{text, h.Problems}
}
