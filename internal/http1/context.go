package http1

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

// lookAfter is for how long Err is asked again and again before it begins to
// look for a client that left. A sooner one is not worth the goroutine.
const lookAfter = 20 * time.Millisecond

// A requestContext is the context of one request after the other, until
// somebody asks when it ends: then it becomes a real one, is ended with the
// request and not used again.
type requestContext struct {
	c    *conn
	base context.Context
	real atomic.Pointer[realContext] // set with conn.mu held
	// asked is when Err was first called, 0 for not yet, -1 for once without
	// looking at the clock: most handlers ask no more often.
	asked atomic.Int64
}

type realContext struct {
	context.Context
	cancel context.CancelCauseFunc
}

// Deadline returns the server's.
func (x *requestContext) Deadline() (time.Time, bool) { return x.base.Deadline() }

// Done returns a channel that is closed when the client leaves, the request
// has been answered or the server is stopped. To see the client leave costs a
// goroutine, so it is looked for only from here on.
func (x *requestContext) Done() <-chan struct{} {
	r := x.realise()
	x.c.watch()
	return r.Done()
}

// Err returns why the context ended.
func (x *requestContext) Err() error {
	if r := x.real.Load(); r != nil {
		return r.Err()
	}
	if err := x.base.Err(); err != nil {
		return err
	}
	switch asked := x.asked.Load(); asked {
	case 0:
		x.asked.Store(-1)
	case -1:
		x.asked.Store(int64(now()))
	default:
		if time.Duration(int64(now())-asked) > lookAfter {
			x.Done()
		}
	}
	return nil
}

// Value returns the server's, and the local address as net/http's server does.
// Package context finds the real context by it.
func (x *requestContext) Value(key any) any {
	if key == http.LocalAddrContextKey {
		return x.c.nc.LocalAddr()
	}
	if r := x.real.Load(); r != nil {
		return r.Value(key)
	}
	return x.base.Value(key)
}

func (x *requestContext) realise() *realContext {
	if r := x.real.Load(); r != nil {
		return r
	}
	x.c.mu.Lock()
	defer x.c.mu.Unlock()
	return x.realiseLocked()
}

func (x *requestContext) realiseLocked() *realContext {
	if r := x.real.Load(); r != nil {
		return r
	}
	ctx, cancel := context.WithCancelCause(x.base)
	r := &realContext{ctx, cancel}
	if !x.c.handling {
		cancel(nil) // asked after the request
	}
	x.real.Store(r)
	return r
}

// begin makes the context one of a request that is handled from now on.
func (c *conn) begin() {
	c.request.ctx.asked.Store(0)
	c.mu.Lock()
	if c.request.ctx.real.Load() != nil {
		panic("http1: context of an ended request") // setRequest replaces it
	}
	c.handling, c.watchWanted = true, false
	c.mu.Unlock()
}

// finish ends the context and the watch. A context that was asked for is
// given up, because someone may hold it.
func (c *conn) finish() {
	c.mu.Lock()
	c.handling = false
	watcher := c.watcher
	c.watcher = nil
	r := c.request.ctx.real.Load()
	c.mu.Unlock()
	c.stopWatcher(watcher)
	if r != nil {
		r.cancel(nil)
	}
}

// gone ends the context of the request in hand, because the connection did.
func (c *conn) gone() {
	c.mu.Lock()
	if !c.handling {
		c.mu.Unlock()
		return
	}
	r := c.request.ctx.realiseLocked()
	c.mu.Unlock()
	r.cancel(ErrClientGone)
}

// watch begins to look for the client's leaving, as soon as nothing else reads
// from the connection.
func (c *conn) watch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watchWanted = true
	c.watchLocked()
}

// bodyEnded notes that the body was read to its end.
func (c *conn) bodyEnded() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bodyRead = true
	c.watchLocked()
}

// watchLocked starts the watcher when it is wanted and can be. It reads into
// the connection's buffer what a client sends ahead, until that is full.
func (c *conn) watchLocked() {
	if !c.watchWanted || !c.bodyRead || !c.handling || c.hijacked || c.watcher != nil {
		return
	}
	if c.r == c.w {
		c.r, c.w = 0, 0
	}
	done := make(chan struct{})
	c.watcher = done
	if !c.ownRead.Load() {
		c.nc.SetReadDeadline(time.Time{})
		c.readDeadline = unknownDeadline
	}
	go func() {
		defer close(done)
		for c.w < len(c.buf) {
			n, err := c.io.Read(c.buf[c.w:])
			c.w += n
			if err != nil {
				if !isTimeout(err) {
					c.gone()
				}
				return
			}
		}
	}()
}

// stopWatcher waits until the watcher has stopped reading.
func (c *conn) stopWatcher(done chan struct{}) {
	if done == nil {
		return
	}
	select {
	case <-done:
	default:
		c.nc.SetReadDeadline(longAgo)
		<-done
	}
	c.nc.SetReadDeadline(time.Time{})
	c.readDeadline = noDeadline
}
