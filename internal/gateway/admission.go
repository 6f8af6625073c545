package gateway

import (
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
)

// openShare is how many requests a function may have open for each that is
// still free. One function alone comes to four fifths of all, two to four
// ninths each: the more functions are busy, the less each may have, and what
// is left is for those that are not. (Choudhury and Hahne, "Dynamic queue
// length thresholds", 1998, have it for the buffers of a switch.)
const openShare = 4

// Admit lets in as many requests at once as the machine can hold, most, and
// not all of one function's. It counts those that wait and connections that
// were upgraded.
func Admit(most int) Middleware {
	a := &admission{most: int64(most)}
	a.open.Store(&map[string]*atomic.Int64{})
	return a.middleware
}

type admission struct {
	most  int64
	total atomic.Int64
	// open counts by function. The map is replaced, never changed, and keeps
	// the names of functions that were removed.
	open atomic.Pointer[map[string]*atomic.Int64]
	mu   sync.Mutex // held to replace it
}

func (a *admission) middleware(next Handler) Handler {
	return func(w http.ResponseWriter, r *http.Request, c *Call) {
		own := a.of(c.Route.Slug)
		defer a.leave(own)
		mine, free := own.Add(1), a.most-(a.total.Add(1)-1)
		if mine > openShare*free {
			c.Err = &function.OverloadError{Reason: function.TooManyOpen, RetryAfter: time.Second}
			Refuse(w, c, overloaded(c.Err))
			return
		}
		next(w, r, c)
	}
}

func (a *admission) leave(own *atomic.Int64) {
	own.Add(-1)
	a.total.Add(-1)
}

// of returns the function's counter.
func (a *admission) of(slug string) *atomic.Int64 {
	if n, ok := (*a.open.Load())[slug]; ok {
		return n
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if n, ok := (*a.open.Load())[slug]; ok {
		return n
	}
	n := new(atomic.Int64)
	more := maps.Clone(*a.open.Load())
	more[strings.Clone(slug)] = n // the slug is part of a whole request line
	a.open.Store(&more)
	return n
}
