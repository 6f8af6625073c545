//go:build !linux || race

package sockio

import "net"

type raw struct{}

func (raw) init(net.Conn) {}

// Wait returns at once: it cannot be told when there is something to read.
func (c *Conn) Wait() error { return nil }

// Read is net.Conn's.
func (c *Conn) Read(p []byte) (int, error) { return c.net.Read(p) }

// Write is net.Conn's.
func (c *Conn) Write(p []byte) (int, error) { return c.net.Write(p) }

// Exchange is Write and then Read.
func (c *Conn) Exchange(p, buf []byte) (int, error) { return exchange(c.net, p, buf) }
