package gateway

import (
	"net/http"

	"github.com/selvedge-dev/selvedge/internal/auth"
	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/ratelimit"
)

// RateLimit lets each caller call a function as often as its rate allows, and
// tells the others when to come back.
//
// Who calls is what was verified: the subject of a token, the name of a secret
// key. The anon and publishable keys are in every visitor's hands, so behind
// these, as without any, a caller is an address.
func RateLimit(l *ratelimit.Limiter, rate func(slug string) function.Rate) Middleware {
	return func(next Handler) Handler {
		return func(w http.ResponseWriter, r *http.Request, c *Call) {
			if bound := rate(c.Route.Slug); bound.Limited() {
				if wait := l.Take(caller(l, r, c), bound, c.Start); wait > 0 {
					c.Err = &function.OverloadError{Reason: function.RateLimited, RetryAfter: wait}
					Refuse(w, c, overloaded(c.Err))
					return
				}
			}
			next(w, r, c)
		}
	}
}

// The kinds of callers.
const (
	callerAddress byte = iota
	// callerPreflight is an address as far as it sends preflights. Those take
	// nothing from its requests, but cannot be a way around the limit: past it
	// the gateway answers them itself, see CORS.
	callerPreflight
	callerSubject
	callerSecret
)

func caller(l *ratelimit.Limiter, r *http.Request, c *Call) ratelimit.Key {
	slug, id := c.Route.Slug, &c.Identity
	switch {
	case isPreflight(r):
		return l.Address(slug, callerPreflight, c.Client())
	case id.Kind == auth.KindSecret, id.Kind == auth.KindToken && id.Role == "service_role" && id.Subject == "":
		return l.Named(slug, callerSecret, id.KeyName)
	case id.Kind == auth.KindToken && id.Subject != "" && id.Role != "anon":
		return l.Named(slug, callerSubject, id.Subject)
	}
	return l.Address(slug, callerAddress, c.Client())
}
