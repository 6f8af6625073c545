package gateway

import (
	"fmt"
	"io"
	"net/http"

	"github.com/selvedge-dev/selvedge/internal/function"
)

// A BodyTooLargeError means that a request's body is longer than the function
// takes.
type BodyTooLargeError struct {
	Limit int64 // in bytes
}

func (e *BodyTooLargeError) Error() string {
	return fmt.Sprintf("request body is larger than %d bytes; --max-body and max_body_mb allow more", e.Limit)
}

var requestTooLarge = Problem{Status: http.StatusRequestEntityTooLarge, Code: function.CodeTooLarge,
	Message: "Request body exceeds the limit"}

// LimitBody refuses requests whose body is longer than limit says for the
// function, in bytes; below 0 it says that none is. What tells its length is
// refused before a worker is asked for and before any of it is read, so that a
// client which expects 100 Continue never sends it. What does not is cut off
// where it grows too long: the worker loses the request, and cannot take the
// part for the whole. Nothing is kept in memory to find out.
//
// What goes over a connection after an upgrade is no body, and not counted.
func LimitBody(limit func(slug string) int64) Middleware {
	return func(next Handler) Handler {
		return func(w http.ResponseWriter, r *http.Request, c *Call) {
			if r.ContentLength != 0 {
				most := limit(c.Route.Slug)
				switch {
				case most < 0:
				case r.ContentLength > most:
					c.Err = &BodyTooLargeError{most}
					if r.ProtoMajor == 1 {
						// Whether the body comes or not: it is not wanted.
						w.Header()["Connection"] = []string{"close"}
					}
					Refuse(w, c, requestTooLarge)
					return
				case r.ContentLength < 0:
					r.Body = &limitedBody{ReadCloser: r.Body, limit: most, left: most}
				}
			}
			next(w, r, c)
		}
	}
}

// A limitedBody fails as soon as it is longer than the limit.
type limitedBody struct {
	io.ReadCloser
	limit, left int64
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, &BodyTooLargeError{b.limit}
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return max(0, n+int(b.left)), &BodyTooLargeError{b.limit}
	}
	return n, err
}
