package upstream

import (
	"net"
	"time"

	"github.com/selvedge-dev/selvedge/internal/sockio"
)

// A conn is a connection to the worker.
type conn struct {
	*net.UnixConn
	io    *sockio.Conn
	until time.Time // when reads end, zero for never
}

func newConn(nc *net.UnixConn) *conn { return &conn{UnixConn: nc, io: sockio.New(nc)} }

// SetReadDeadline has reads end at t.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.until = t
	return c.UnixConn.SetReadDeadline(t)
}

// patient has reads end between d and twice d from now: under load one deadline
// does for many requests.
func (c *conn) patient(now time.Time, d time.Duration) {
	if left := c.until.Sub(now); left < d || left > 2*d {
		c.SetReadDeadline(now.Add(2 * d))
	}
}

// Read and Write hide the UnixConn's, which cost more.
func (c *conn) Read(p []byte) (int, error)  { return c.io.Read(p) }
func (c *conn) Write(p []byte) (int, error) { return c.io.Write(p) }

// Exchange sends p and reads what the worker answers.
func (c *conn) Exchange(p, buf []byte) (int, error) { return c.io.Exchange(p, buf) }
