package upstream

import (
	"net"

	"github.com/selvedge-dev/selvedge/internal/sockio"
)

// A conn is a connection to the worker.
type conn struct {
	*net.UnixConn
	io *sockio.Conn
}

func newConn(nc *net.UnixConn) *conn { return &conn{nc, sockio.New(nc)} }

// Read and Write hide the UnixConn's, which cost more.
func (c *conn) Read(p []byte) (int, error)  { return c.io.Read(p) }
func (c *conn) Write(p []byte) (int, error) { return c.io.Write(p) }

// Exchange sends p and reads what the worker answers.
func (c *conn) Exchange(p, buf []byte) (int, error) { return c.io.Exchange(p, buf) }
