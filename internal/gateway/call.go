package gateway

import (
	"encoding/binary"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/selvedge-dev/selvedge/internal/auth"
	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/upstream"
)

// A Call is one request on its way through the chain. It is reused: nothing
// may keep it after the request.
type Call struct {
	// RequestID is the sb-request-id.
	RequestID string
	// Route is where the request leads.
	Route Route
	// Start is when the request's head had been read.
	Start time.Time

	// What was answered, for the Record. A middleware that answers in the
	// function's place sets Status.
	Status      int
	Bytes       int64
	ExecutionID string
	Err         error
	// Code is the answer's sb-error-code, "" for none.
	Code function.Code

	// Identity is who calls; zero where nobody was asked.
	Identity auth.Identity

	// origin is how the request looked where it came in.
	origin origin
	// cors is what CORS adds to the function's answer.
	cors allowance
	// function means that the answer is the function's own.
	function bool
	// abort means that the client's connection must be cut: there is no
	// answer, or only a part of one.
	abort bool
	// ended means that the chain returned instead of panicking.
	ended bool
	// queued is how long the request waited for workers.
	queued time.Duration
	// retried means that a second worker was asked.
	retried bool
	// switched means that the connection is not HTTP any more; open counts
	// those.
	switched bool
	open     *atomic.Int64
	// values are the platform's header values. They are the request's own,
	// because net/http reads them after the Call has been given back.
	values *[4]string
	set    [5]upstream.Field
	onHead func(status int, h http.Header)
}

// Client is the address of whoever calls, as far as it is known: of the
// connection's other end, or what trusted proxies say of theirs. It is the zero
// Addr where the connection has no address.
func (c *Call) Client() netip.Addr { return c.origin.client }

var calls = sync.Pool{New: func() any {
	c := new(Call)
	c.onHead = c.editHead
	return c
}}

func (c *Call) recycle() {
	*c = Call{onHead: c.onHead}
	calls.Put(c)
}

// The places of the platform's values.
const (
	valueRequestID = iota
	valueServedBy
	valueRegion
	valueExecutionID
)

// identify gives the call its id.
func (c *Call) identify(region string) {
	c.RequestID = newRequestID(c.Start)
	c.values = &[4]string{c.RequestID, "selvedge", region, ""}
}

// newRequestID returns a UUID of version 7 (RFC 9562, 5.7 and 6.2, method 3). It
// is a name and no secret, so that its random bits need not come from the kernel.
func newRequestID(at time.Time) string {
	var id uuid.UUID
	ms, below := at.UnixMilli(), uint64(at.Nanosecond())%uint64(time.Millisecond)
	binary.BigEndian.PutUint64(id[:8], uint64(ms)<<16|7<<12|below>>8)
	binary.BigEndian.PutUint64(id[8:], 1<<63|rand.Uint64()>>2)
	return id.String()
}

// stamp puts the platform's headers into an answer, whatever it had there.
func (c *Call) stamp(h http.Header) {
	if len(h) == 0 && c.values[valueExecutionID] == "" { // there is nothing to look for
		h["Sb-Request-Id"] = c.value(valueRequestID)
		h["X-Served-By"] = c.value(valueServedBy)
		h["X-Sb-Edge-Region"] = c.value(valueRegion)
		return
	}
	c.put(h, "Sb-Request-Id", valueRequestID)
	c.put(h, "X-Served-By", valueServedBy)
	c.put(h, "X-Sb-Edge-Region", valueRegion)
	if c.values[valueExecutionID] != "" {
		c.put(h, "X-Deno-Execution-Id", valueExecutionID)
	}
}

// put sets one header, unless it is so already: assigning even a key that is
// there makes a Go map of eight grow, which costs four allocations.
func (c *Call) put(h http.Header, name string, value int) {
	if had := h[name]; len(had) != 1 || had[0] != c.values[value] {
		h[name] = c.value(value)
	}
}

func (c *Call) value(i int) []string { return c.values[i : i+1 : i+1] }

// executedBy notes the worker, in the answer's headers as well.
func (c *Call) executedBy(id string, h http.Header) {
	c.ExecutionID = id
	if c.values[valueExecutionID] != "" {
		// A second worker: net/http may hold the first one's slice.
		c.values = &[4]string{c.values[0], c.values[1], c.values[2], ""}
	}
	c.values[valueExecutionID] = id
	c.put(h, "X-Deno-Execution-Id", valueExecutionID)
}

// CodeFunctionError marks a 5xx as the function's own.
const CodeFunctionError function.Code = "EDGE_FUNCTION_ERROR"

var functionError = []string{string(CodeFunctionError)}

// editHead makes the function's answer the platform's: see the contract's
// "Platform errors". A function cannot claim to be a relay error.
func (c *Call) editHead(status int, h http.Header) {
	c.function = true
	if status == http.StatusSwitchingProtocols {
		c.switched = true
		c.open.Add(1)
	}
	c.stamp(h)
	c.cors.apply(status, h)
	delete(h, "X-Relay-Error")
	if status >= http.StatusInternalServerError {
		h["Sb-Error-Code"] = functionError
		c.Code = CodeFunctionError
	}
}
