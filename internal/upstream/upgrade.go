package upstream

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/selvedge-dev/selvedge/internal/sockio"
)

// switchProtocols takes over the client's connection after 101 and copies both
// ways until either side ends.
func (x *exchange) switchProtocols() error {
	x.delivered = true
	var token string
	for _, f := range x.ans.fields {
		if f.name == "Upgrade" {
			token = f.value
		}
	}
	if x.upgrade == "" || !strings.EqualFold(token, x.upgrade) {
		return x.fail(ErrMalformedAnswer, errors.New("it switches to a protocol that was not asked for"))
	}
	h := x.w.Header()
	x.copyHeaders(h)
	if x.o.OnHead != nil {
		x.o.OnHead(http.StatusSwitchingProtocols, h)
	}
	h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{token}
	client, rw, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		return x.fail(ErrUpgradeRefused, err)
	}
	defer client.Close()
	x.answered = true
	if err := writeSwitch(rw.Writer, h); err != nil {
		return x.fail(ErrClientGone, err)
	}
	x.res.Status = http.StatusSwitchingProtocols
	return x.tunnel(client, rw.Reader)
}

func writeSwitch(w *bufio.Writer, h http.Header) error {
	if _, err := w.WriteString("HTTP/1.1 101 Switching Protocols\r\n"); err != nil {
		return err
	}
	if err := h.Write(w); err != nil {
		return err
	}
	if _, err := w.WriteString("\r\n"); err != nil {
		return err
	}
	return w.Flush()
}

// tunnelBuffers are what is read into, bytes. A connection has one only while
// something is on its way, so that ten thousand that are silent need none.
var tunnelBuffers = sync.Pool{New: func() any { return new([16 << 10]byte) }}

// tunnel copies until either side ends or the context does, then closes both.
// ahead holds what was read of the client before the switch.
func (x *exchange) tunnel(client net.Conn, ahead *bufio.Reader) error {
	worker := x.conn
	worker.SetReadDeadline(time.Time{})
	closed := make(chan struct{})
	stop := context.AfterFunc(x.ctx, func() {
		defer close(closed)
		client.Close()
		worker.Close()
	})
	defer func() {
		if !stop() {
			<-closed
		}
	}()
	var first []byte
	if n := ahead.Buffered(); n > 0 {
		first, _ = ahead.Peek(n)
	}
	socket := sockio.New(client)
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Ends at once if the worker is gone; so does the other way then.
		if len(first) > 0 {
			_, _ = worker.Write(first)
			first = nil
		}
		pump(worker, socket)
		worker.Close()
	}()
	n, err := socket.Write(x.rd.buf[x.rd.r:x.rd.w])
	// A silent connection holds nothing that was needed to open it.
	x.rd.giveUp()
	x.head, x.ans = nil, answer{}
	x.res.Bytes = int64(n)
	if err == nil {
		x.res.Bytes += pump(socket, worker.io)
	}
	client.Close()
	<-done
	if x.ctx.Err() != nil {
		return x.fail(ErrClientGone, context.Cause(x.ctx))
	}
	return nil
}

// pump copies until either end does and returns how many bytes it wrote.
func pump(to io.Writer, from *sockio.Conn) (written int64) {
	for from.Wait() == nil {
		buf := tunnelBuffers.Get().(*[16 << 10]byte)
		n, err := from.Read(buf[:])
		m := 0
		var failed error
		if n > 0 {
			m, failed = to.Write(buf[:n])
		}
		tunnelBuffers.Put(buf)
		written += int64(m)
		if err != nil || failed != nil {
			break
		}
	}
	return written
}
