package gateway

import (
	"net/http"
	"slices"
	"strings"
)

// What the gateway allows where it answers for a function: see the contract's
// "CORS".
const (
	corsHeaders = "authorization, x-client-info, apikey, content-type, x-retry-count, x-region, traceparent, tracestate, baggage"
	corsMethods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
	corsExposed = "sb-error-code, sb-request-id"
	// corsMaxAge is how long a browser may remember the answer to a preflight,
	// in seconds.
	corsMaxAge = "3600"
)

// Shared header values: they are read, never written.
var (
	anyOrigin      = []string{"*"}
	exposedHeaders = []string{corsExposed}
)

// CORS returns the middleware for the origins, ["*"] for all.
//
// With origins the gateway answers preflights, and allows them to read an
// answer that says nothing about it itself. Without, preflights reach the
// function, and the gateway answers one only where the function has no answer,
// which is 404 or 405. In neither case is a header changed that the function
// set.
//
// A preflight never fails for the platform's reasons. Only so does a browser
// send the request that it is about, whose refusal its page can read.
func CORS(origins []string) Middleware {
	p := &cors{}
	for _, origin := range origins {
		if origin == "*" {
			p.any = true
		}
		p.origins = append(p.origins, strings.ToLower(origin))
	}
	return p.middleware
}

// cors says who may read answers. With no origins it leaves that to functions.
type cors struct {
	any     bool
	origins []string // in small letters, as browsers send them
}

func (p *cors) middleware(next Handler) Handler {
	return func(w http.ResponseWriter, r *http.Request, c *Call) {
		if len(p.origins) > 0 {
			c.cors = allowance{p, originOf(r)}
			if isPreflight(r) {
				h := w.Header()
				p.answer(h, c.cors.origin)
				h.Set("Access-Control-Max-Age", corsMaxAge)
				w.WriteHeader(http.StatusNoContent)
				c.Status = http.StatusNoContent
				return
			}
		}
		if r.Method != http.MethodOptions {
			next(w, r, c)
			return
		}
		s := &substitute{ResponseWriter: w, cors: p, r: r, c: c}
		next(s, r, c)
		if s.replaced {
			c.Status, c.Bytes, c.Code = http.StatusNoContent, 0, ""
		}
	}
}

// isPreflight reports whether a browser asks whether it may send a request.
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && len(r.Header["Origin"]) > 0 && len(r.Header["Access-Control-Request-Method"]) > 0
}

// originOf returns where the page is from, "" for not from a page. Two of them
// are none: no browser sends that.
func originOf(r *http.Request) string {
	if sent := r.Header["Origin"]; len(sent) == 1 {
		return sent[0]
	}
	return ""
}

// answer adds what the answer to a preflight needs and does not have.
func (p *cors) answer(h http.Header, origin string) {
	p.allow(h, origin)
	for name, value := range map[string]string{
		"Access-Control-Allow-Methods": corsMethods,
		"Access-Control-Allow-Headers": corsHeaders,
	} {
		if len(h[name]) == 0 {
			h[name] = []string{value}
		}
	}
}

// everybody reports whether the origin makes no difference: either all are
// allowed, or there are none configured, and who reads what is for the
// function to say where it can.
func (p *cors) everybody() bool { return p.any || len(p.origins) == 0 }

// allow lets the origin read the answer, unless the answer says who may.
func (p *cors) allow(h http.Header, origin string) {
	if len(h["Access-Control-Allow-Origin"]) > 0 {
		return
	}
	switch {
	case p.everybody():
		h["Access-Control-Allow-Origin"] = anyOrigin
	case slices.Contains(p.origins, origin):
		varyOrigin(h)
		h["Access-Control-Allow-Origin"] = []string{origin}
	default:
		varyOrigin(h) // or a cache gives this answer to an allowed one
		return
	}
	if len(h["Access-Control-Expose-Headers"]) == 0 {
		h["Access-Control-Expose-Headers"] = exposedHeaders
	}
}

// varyOrigin says that the answer depends on the origin, in the function's own
// line if it has one.
func varyOrigin(h http.Header) {
	value, had := "Origin", strings.Join(h["Vary"], ", ")
	for item := range strings.SplitSeq(had, ",") {
		if item = strings.TrimSpace(item); item == "*" || strings.EqualFold(item, value) {
			return
		}
	}
	if had != "" {
		value = had + ", " + value
	}
	h["Vary"] = []string{value}
}

// An allowance is what CORS adds to the answer of a function; the zero value
// adds nothing.
type allowance struct {
	cors   *cors
	origin string
}

func (a allowance) apply(status int, h http.Header) {
	if a.cors != nil && status != http.StatusSwitchingProtocols {
		a.cors.allow(h, a.origin)
	}
}

// A substitute is the ResponseWriter of an OPTIONS request. It puts the
// gateway's answer in the place of one that is none.
type substitute struct {
	http.ResponseWriter
	cors     *cors
	r        *http.Request
	c        *Call
	replaced bool
}

// Unwrap is for http.ResponseController.
func (s *substitute) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (s *substitute) WriteHeader(status int) {
	switch {
	case s.replaced:
	case s.isNone(status):
		s.replaced = true
		h := s.Header()
		for name := range h {
			if !strings.HasPrefix(name, "Access-Control-") && name != "Vary" && name != "Connection" {
				delete(h, name)
			}
		}
		s.c.stamp(h)
		s.cors.answer(h, originOf(s.r))
		s.ResponseWriter.WriteHeader(http.StatusNoContent)
	default:
		s.ResponseWriter.WriteHeader(status)
	}
}

// isNone reports whether an answer with the status is none to an OPTIONS
// request: the function knows no OPTIONS, or a preflight never came to it.
func (s *substitute) isNone(status int) bool {
	if s.c.function {
		return status == http.StatusNotFound || status == http.StatusMethodNotAllowed
	}
	return status >= http.StatusBadRequest && isPreflight(s.r)
}

func (s *substitute) Write(p []byte) (int, error) {
	if s.replaced {
		return len(p), nil // of the body that went with the answer
	}
	return s.ResponseWriter.Write(p)
}
