package upstream

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
)

const (
	// maxIdle bounds the idle connections kept to one worker. It is above what
	// a worker serves at once where that is configured high, so that a steady
	// load dials nothing.
	maxIdle = 1024
	// trimEvery is after how many exchanges those connections are closed that
	// none of them needed, down to usualIdle.
	trimEvery = 4096
	usualIdle = 128
	// dialPatience bounds the wait for a worker whose listen queue is full
	// when nothing else bounds it.
	dialPatience = 5 * time.Second
)

// A Client speaks to one worker. Its methods may be called at the same time.
type Client struct {
	path    string
	check   func(*net.UnixConn) error // nil for none
	refused atomic.Bool

	mu     sync.Mutex
	closed bool
	idle   []*conn // a stack: the warmest connection is used first
	// gives counts until the next trim; of the idle connections, unused were
	// not needed since the last one.
	gives, unused int
}

// New returns a Client for the worker that listens on the unix socket at path.
// It opens nothing.
func New(path string) *Client { return &Client{path: path} }

// NewChecked is New for a path where somebody else may listen: no byte is sent
// over a new connection that check refuses, and the worker counts as gone.
func NewChecked(path string, check func(*net.UnixConn) error) *Client {
	return &Client{path: path, check: check}
}

// Prime opens one connection ahead of the first request and keeps it idle.
func (c *Client) Prime(ctx context.Context) error {
	nc, err := c.dial(ctx, dialPatience)
	if err != nil {
		return err
	}
	c.give(nc)
	return nil
}

// Close closes the idle connections and makes further use fail with
// [ErrClosed]. Requests in flight go on; their connections are closed when
// they end.
func (c *Client) Close() {
	c.mu.Lock()
	idle := c.idle
	c.idle, c.closed = nil, true
	c.mu.Unlock()
	for _, nc := range idle {
		nc.Close()
	}
}

// Refused reports whether the worker's socket has turned a connection away,
// which a live worker never does, or is not the worker's. A pool can use it to pass over a worker
// whose end it has not seen yet.
func (c *Client) Refused() bool { return c.refused.Load() }

// take returns an idle connection, or nil when there is none.
func (c *Client) take() (*conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	n := len(c.idle)
	if n == 0 {
		c.unused = 0
		return nil, nil
	}
	nc := c.idle[n-1]
	c.idle[n-1] = nil
	c.idle = c.idle[:n-1]
	c.unused = min(c.unused, n-1)
	return nc, nil
}

// give takes back a connection that is at rest between two requests.
func (c *Client) give(nc *conn) {
	c.mu.Lock()
	if !c.closed && len(c.idle) < maxIdle {
		c.idle = append(c.idle, nc)
		nc = nil
	}
	var surplus []*conn
	if c.gives++; c.gives == trimEvery {
		surplus = c.trim()
	}
	c.mu.Unlock()
	if nc != nil {
		nc.Close()
	}
	for _, nc := range surplus {
		nc.Close()
	}
}

// trim takes out the connections that a burst has left; the lock is held.
func (c *Client) trim() []*conn {
	n := max(0, min(c.unused, len(c.idle)-usualIdle))
	surplus := slices.Clone(c.idle[:n])
	c.idle = slices.Delete(c.idle, 0, n)
	c.gives, c.unused = 0, len(c.idle)
	return surplus
}

// dial opens a connection, waiting no longer than patience for a place in the
// worker's listen queue.
func (c *Client) dial(ctx context.Context, patience time.Duration) (*conn, error) {
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if closed {
		return nil, &Error{Kind: ErrClosed}
	}
	var (
		dialer net.Dialer
		until  time.Time
		pause  = time.Millisecond
	)
	for {
		nc, err := dialer.DialContext(ctx, "unix", c.path)
		if err == nil {
			uc := nc.(*net.UnixConn)
			if c.check != nil {
				if err := c.check(uc); err != nil {
					uc.Close()
					c.refused.Store(true)
					return nil, &Error{Kind: function.ErrWorkerGone, Err: err}
				}
			}
			return newConn(uc), nil
		}
		if ctx.Err() != nil {
			return nil, &Error{Kind: ErrClientGone, Err: context.Cause(ctx)}
		}
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			return nil, &Error{Kind: ErrNoDescriptor, Err: err}
		}
		// A full listen queue is EAGAIN on a unix socket (connect(2)), where
		// TCP would wait in the kernel: a burst must not look like a death.
		if !errors.Is(err, syscall.EAGAIN) {
			if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) {
				c.refused.Store(true)
			}
			return nil, &Error{Kind: function.ErrWorkerGone, Err: err}
		}
		if now := time.Now(); until.IsZero() {
			until = now.Add(patience)
		} else if now.After(until) {
			return nil, &Error{Kind: ErrFirstByteTimeout, Err: err}
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, &Error{Kind: ErrClientGone, Err: context.Cause(ctx)}
		}
		pause = min(2*pause, 50*time.Millisecond)
	}
}
