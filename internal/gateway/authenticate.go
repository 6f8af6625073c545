package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/selvedge-dev/selvedge/internal/auth"
	"github.com/selvedge-dev/selvedge/internal/function"
)

// A Verifier decides who may call; an *auth.Verifier is one.
type Verifier interface {
	Verify(ctx context.Context, h http.Header, at time.Time) (auth.Identity, *auth.Failure)
}

// Authenticate lets only callers through whom v accepts, to functions for
// which verifyJWT is true. Without requireAuth it is nil: everybody may call
// everything. Without a verifier, nobody may.
//
// OPTIONS is never checked: a browser sends no token with a preflight.
func Authenticate(v Verifier, verifyJWT func(slug string) bool, requireAuth bool) Middleware {
	if !requireAuth {
		return nil
	}
	if v == nil {
		v = (*auth.Verifier)(nil)
	}
	return func(next Handler) Handler {
		return func(w http.ResponseWriter, r *http.Request, c *Call) {
			if r.Method != http.MethodOptions && verifyJWT(c.Route.Slug) {
				id, failure := v.Verify(r.Context(), r.Header, c.Start)
				if failure != nil {
					c.Err = failure
					unauthorized(w, c, failure)
					return
				}
				c.Identity = id
			}
			next(w, r, c)
		}
	}
}

// unauthorized is Refuse for the one answer that has a body of its own form.
func unauthorized(w http.ResponseWriter, c *Call, f *auth.Failure) {
	body, err := json.Marshal(struct {
		Code    function.Code `json:"code"`
		Message string        `json:"message"`
		Msg     string        `json:"msg"`
	}{f.Code, f.Message, f.Message})
	if err != nil {
		body = []byte("{}")
	}
	h := w.Header()
	h.Set("Www-Authenticate", "Bearer") // RFC 9110, section 15.5.2
	refusalHead(h, f.Code, corsExposed)
	c.Code = f.Code
	c.write(w, http.StatusUnauthorized, body)
}
