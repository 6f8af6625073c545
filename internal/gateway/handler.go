package gateway

import (
	"net/http"
	"slices"
	"strings"
)

// buildHandler is the way of a request, outermost first.
func (s *Server) buildHandler() Handler {
	h := s.invoke               // a worker is found and answers
	h = s.opts.Admission.use(h) // whether the machine can take one more
	h = s.opts.Limits.use(h)    // whether the request is within its bounds
	h = s.opts.Authenticate.use(h)
	h = s.opts.CORS.use(h) // outside of authentication: refusals need it too
	h = s.opts.Trace.use(h)
	h = s.route(h)    // health, metric, 404, 405; the rest is for functions
	h = s.locate(h)   // who calls, and how it looked from outside
	return s.stamp(h) // request id and the headers of every answer
}

// use puts a middleware around a handler, if there is one.
func (m Middleware) use(next Handler) Handler {
	if m == nil {
		return next
	}
	return m(next)
}

// Chain makes one middleware of several, the first one outermost; nil ones are
// left out.
func Chain(all ...Middleware) Middleware {
	return func(next Handler) Handler {
		for _, m := range slices.Backward(all) {
			next = m.use(next)
		}
		return next
	}
}

// stamp gives the request its id and every answer its headers.
func (s *Server) stamp(next Handler) Handler {
	return func(w http.ResponseWriter, r *http.Request, c *Call) {
		c.identify(s.region)
		c.stamp(w.Header())
		next(w, r, c)
	}
}

// locate works out the request's origin.
func (s *Server) locate(next Handler) Handler {
	return func(w http.ResponseWriter, r *http.Request, c *Call) {
		c.origin = s.opts.TrustedProxies.outside(r)
		if !c.origin.trusted {
			s.ignored.note(s.log, r.Header, &c.origin)
		}
		next(w, r, c)
	}
}

// route answers what is not for functions and what no function is there for.
// An unknown slug is 404 before anything else is looked at; only its preflight
// is answered like any other, or the page would not see the 404.
func (s *Server) route(next Handler) Handler {
	unknown := s.opts.CORS.use(func(w http.ResponseWriter, _ *http.Request, c *Call) { Refuse(w, c, notFound) })
	return func(w http.ResponseWriter, r *http.Request, c *Call) {
		c.Route = ParseRoute(r.RequestURI)
		switch c.Route.Kind {
		case RouteFunction:
			if !s.opts.Invoker.Exists(c.Route.Slug) {
				unknown(w, r, c)
			} else if !allowed(r.Method) {
				w.Header()["Allow"] = []string{strings.Join(methods, ", ")}
				Refuse(w, c, methodNotAllowed)
			} else {
				next(w, r, c)
			}
		case RouteNone:
			if !allowed(r.Method) {
				Refuse(w, c, methodNotAllowed)
				return
			}
			unknown(w, r, c)
		default:
			s.own(w, r, c)
		}
	}
}

// methods are those a function can be called with.
var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

func allowed(method string) bool {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return true
	}
	return false
}
