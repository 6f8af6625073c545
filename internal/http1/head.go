package http1

import "bytes"

var endOfHead = []byte("\r\n\r\n")

// readHead returns the next head with its empty line. It is valid until the
// next read.
func (c *conn) readHead() (raw []byte, _ *Refusal, _ error) {
	seen := 0
	for waiting := false; ; waiting = true {
		unused := c.buf[c.r:c.w]
		if i := bytes.Index(unused[seen:], endOfHead); i >= 0 {
			n := seen + i + len(endOfHead)
			if n > c.server.maxHeaderBytes() {
				return unused, c.tooLong(unused), nil
			}
			c.r += n
			return unused[:n], nil, nil
		}
		// A client that ends its lines otherwise would wait for ever.
		if bareLineFeed(unused, seen) {
			return unused, errBareLine, nil
		}
		if len(unused) >= c.server.maxHeaderBytes() {
			return unused, c.tooLong(unused), nil
		}
		seen = max(0, len(unused)-len(endOfHead)+1)
		if !waiting && c.server.ReadHeaderTimeout > 0 {
			c.endRead(c.server.ReadHeaderTimeout)
		}
		if err := c.fill(); isTimeout(err) {
			return c.buf[c.r:c.w], errSlowHead, nil
		} else if err != nil {
			return nil, nil, err
		}
	}
}

// tooLong says which part of a head makes it so.
func (c *conn) tooLong(head []byte) *Refusal {
	if bytes.IndexByte(head[:c.server.maxHeaderBytes()], '\n') < 0 {
		return errTargetLong
	}
	return errHeadLong
}

// bareLineFeed reports whether a line feed after the index has no carriage
// return before it.
func bareLineFeed(p []byte, from int) bool {
	for {
		i := bytes.IndexByte(p[from:], '\n')
		if i < 0 {
			return false
		}
		if from += i; from == 0 || p[from-1] != '\r' {
			return true
		}
		from++
	}
}
