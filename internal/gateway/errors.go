package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/http1"
	"github.com/selvedge-dev/selvedge/internal/upstream"
)

// Codes of answers that only the gateway gives.
const (
	codeBadRequest       function.Code = "BAD_REQUEST"
	codeMethodNotAllowed function.Code = "METHOD_NOT_ALLOWED"
	codeTimeout          function.Code = "REQUEST_TIMEOUT"
	codeBadGateway       function.Code = "BAD_GATEWAY"
)

// A Problem is an answer of the platform in the function's place.
type Problem struct {
	Status  int
	Code    function.Code
	Message string
	// Detail is shown as a field of its own, "" for none. Only development
	// servers set it.
	Detail string
	// Relay marks that the request could not be handed over at all, which
	// functions-js reports as FunctionsRelayError.
	Relay bool
	// RetryAfter is sent in whole seconds, 0 for not.
	RetryAfter time.Duration
}

var (
	notFound         = Problem{Status: 404, Code: function.CodeNotFound, Message: "Requested function was not found"}
	methodNotAllowed = Problem{Status: 405, Code: codeMethodNotAllowed, Message: "Method is not allowed"}
	badRequest       = Problem{Status: 400, Code: codeBadRequest, Message: "Request could not be read"}
	bootError        = Problem{Status: 503, Code: function.CodeBootError, Message: "Function failed to start (please check logs)"}
	workerError      = Problem{Status: 500, Code: function.CodeWorkerError, Message: "Function exited due to an error (please check logs)"}
	workerGone       = Problem{Status: 500, Code: function.CodeWorkerError, Message: workerError.Message, Relay: true}
	resourceLimit    = Problem{Status: 546, Code: function.CodeResourceLimit,
		Message: "Function failed due to not having enough compute resources (please check logs)"}
	badGateway = Problem{Status: 502, Code: codeBadGateway, Message: "Bad Gateway"}
	closing    = Problem{Status: 503, Code: function.CodeOverloaded, Relay: true, RetryAfter: time.Second,
		Message: "Server is shutting down"}
)

// refuseAcquire answers a request for which there is no worker.
func (s *Server) refuseAcquire(w http.ResponseWriter, r *http.Request, c *Call, err error) {
	c.Err = err
	var boot *function.BootError
	switch {
	case errors.Is(err, function.ErrNotFound):
		Refuse(w, c, notFound)
	case errors.As(err, &boot):
		p := bootError
		if s.opts.Development {
			p.Message += "\n" + boot.Stage + ": " + boot.Message
			p.Detail = boot.Detail
		}
		Refuse(w, c, p)
	case errors.Is(err, function.ErrOverloaded):
		Refuse(w, c, overloaded(err))
	case errors.Is(err, function.ErrClosed):
		Refuse(w, c, closing)
	case r.Context().Err() != nil:
		c.leave()
	case errors.Is(err, context.DeadlineExceeded):
		Refuse(w, c, overloaded(err))
	default:
		Refuse(w, c, workerError)
	}
}

// overloaded is the answer to a request that was not taken in. Only a caller
// past its own rate is to blame itself: to it the gateway's refusal is no
// failure to hand the request over.
func overloaded(err error) Problem {
	p := Problem{Status: 503, Code: function.CodeOverloaded, Relay: true, RetryAfter: time.Second,
		Message: "Too many requests are waiting for this function"}
	var over *function.OverloadError
	if !errors.As(err, &over) {
		return p
	}
	p.RetryAfter = max(over.RetryAfter, p.RetryAfter)
	switch over.Reason {
	case function.RateLimited:
		p.Status, p.Relay, p.Message = 429, false, "Too many requests, the rate limit of this function is reached"
	case function.TooManyOpen:
		p.Message = "Too many requests are open on this server"
	}
	return p
}

// refuseForward answers a request that a worker did not, or cuts the client's
// connection where an answer has begun. idle is the worker's bound on the wait
// for the first byte.
func (s *Server) refuseForward(w http.ResponseWriter, c *Call, err error, idle time.Duration) {
	c.Err = err
	var failure *upstream.Error
	if errors.As(err, &failure) && failure.Answered {
		c.abort = true
		return
	}
	var limit *function.LimitError
	switch {
	case errors.As(err, &limit):
		p := resourceLimit
		if s.opts.Development {
			p.Message += "\n" + limit.Detail
		}
		Refuse(w, c, p)
	case errors.Is(err, upstream.ErrClientGone):
		c.leave()
	case errors.Is(err, upstream.ErrFirstByteTimeout):
		Refuse(w, c, Problem{Status: 504, Code: function.CodeIdleTimeout,
			Message: fmt.Sprintf("Request idle timeout limit (%ss) reached", strconv.FormatFloat(idle.Seconds(), 'f', -1, 64))})
	case errors.Is(err, upstream.ErrNoDescriptor):
		Refuse(w, c, overloaded(&function.OverloadError{Reason: function.TooManyOpen}))
	case errors.Is(err, upstream.ErrUpgradeRefused), errors.Is(err, upstream.ErrMalformedAnswer):
		Refuse(w, c, badGateway)
	case errors.Is(err, upstream.ErrRequestBody):
		Refuse(w, c, unreadable(err))
	case errors.Is(err, upstream.ErrBadRequest):
		Refuse(w, c, badRequest)
	case errors.Is(err, function.ErrWorkerGone), errors.Is(err, upstream.ErrClosed):
		Refuse(w, c, workerGone)
	default:
		Refuse(w, c, workerError)
	}
}

// unreadable is the answer to a request whose body was not read to its end.
func unreadable(err error) Problem {
	var tooLarge *BodyTooLargeError
	var malformed *http1.Refusal
	switch {
	case errors.As(err, &tooLarge):
		return requestTooLarge
	case errors.As(err, &malformed):
		return Problem{Status: malformed.Status, Code: function.Code(malformed.Code), Message: malformed.Message}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Problem{Status: 408, Code: codeTimeout, Message: "Request body took too long"}
	}
	return badRequest
}

// cutBy says who is to blame for there being no whole answer.
func (c *Call) cutBy() Cut {
	switch {
	case !c.abort:
		return CutNot
	case errors.Is(c.Err, http1.ErrStopped):
		return CutByShutdown
	case c.Status == StatusClientGone, errors.Is(c.Err, upstream.ErrClientGone), errors.Is(c.Err, upstream.ErrRequestBody):
		return CutByClient
	}
	return CutByWorker
}

// leave notes that nobody waits for the answer. The connection is cut, because
// net/http would make an empty 200 of a handler that writes nothing.
func (c *Call) leave() {
	c.Status, c.abort = StatusClientGone, true
}

// Refuse answers with a platform error and notes it in the call. Middlewares
// use it too, so that every refusal looks the same.
func Refuse(w http.ResponseWriter, c *Call, p Problem) {
	body, err := json.Marshal(struct {
		Code    function.Code `json:"code"`
		Message string        `json:"message"`
		Detail  string        `json:"detail,omitempty"`
	}{p.Code, p.Message, p.Detail})
	if err != nil {
		body = []byte("{}")
	}
	h := w.Header()
	exposed := corsExposed
	if p.Relay {
		h.Set("X-Relay-Error", "true")
		exposed += ", x-relay-error"
	}
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((p.RetryAfter+time.Second-1)/time.Second)))
		exposed += ", retry-after"
	}
	refusalHead(h, p.Code, exposed)
	c.Code = p.Code
	c.write(w, p.Status, body)
}

// refusalHead sets the headers that all platform errors have.
func refusalHead(h http.Header, code function.Code, exposed string) {
	h.Set("Content-Type", "application/json")
	h.Set("Sb-Error-Code", string(code))
	// Without these a browser reports a CORS failure instead.
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", exposed)
}

// write answers with a body in one piece.
func (c *Call) write(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	n, _ := w.Write(body) // the client may have gone, or asked with HEAD
	c.Status, c.Bytes = status, int64(n)
}
