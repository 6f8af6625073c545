package upstream

import (
	"bytes"
	"io"
	"slices"
)

// maxCarried bounds the body that goes out in one piece with the head, bytes. It
// is well below what a unix socket takes without waiting.
const maxCarried = 16 << 10

// maxAtOnce is how long a request with its body may be for the worker to have
// read either all of it or nothing, bytes: the kernel keeps one write in one
// piece, and Deno reads 8 KiB at a time at least.
const maxAtOnce = 4 << 10

// A readyBody knows whether all of it can be read without waiting.
type readyBody interface{ Ready() bool }

// carry appends the request's body to the head where it is short and there
// already, as it is with most calls that send JSON. It costs no goroutine then, no
// second write, and no second connection: a worker that has answered before it
// saw the body does not keep the connection.
func (x *exchange) carry() error {
	n := int(x.r.ContentLength)
	if !hasBody(x.r) || n < 0 || n > maxCarried || len(x.r.Header["Expect"]) > 0 {
		return nil
	}
	if body, ok := x.r.Body.(readyBody); !ok || !body.Ready() {
		return nil
	}
	at := len(x.head)
	x.head = slices.Grow(x.head, n)[:at+n]
	if _, err := io.ReadFull(x.r.Body, x.head[at:]); err != nil {
		return err
	}
	x.carried = n
	return nil
}

// uploads reports whether the request has a body that is sent by an upload.
func (x *exchange) uploads() bool { return x.carried == 0 && hasBody(x.r) }

// readAtOnce reports whether a worker that has left something of the request
// unread has not read its head either.
func (x *exchange) readAtOnce() bool { return x.carried == 0 || len(x.head) <= maxAtOnce }

// putBack makes the body that was carried one to be read again, for another
// worker.
func (x *exchange) putBack() {
	if x.carried > 0 {
		x.r.Body = newCarriedBody(x.head[len(x.head)-x.carried:])
	}
}

// A carriedBody is a body in memory.
type carriedBody struct{ bytes.Reader }

func newCarriedBody(p []byte) *carriedBody {
	b := new(carriedBody)
	b.Reset(bytes.Clone(p))
	return b
}

// Ready implements readyBody.
func (b *carriedBody) Ready() bool { return true }

// Close implements io.Closer.
func (b *carriedBody) Close() error { return nil }
