package upstream

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
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
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Ends at once if the worker is gone; so does the Copy then.
		p, _ := ahead.Peek(ahead.Buffered())
		_, _ = worker.Write(p)
		_, _ = io.Copy(worker, client)
		worker.Close()
	}()
	n, err := client.Write(x.rd.buf[x.rd.r:x.rd.w])
	x.res.Bytes = int64(n)
	if err == nil {
		var m int64
		m, _ = io.Copy(client, worker)
		x.res.Bytes += m
	}
	client.Close()
	<-done
	if x.ctx.Err() != nil {
		return x.fail(ErrClientGone, context.Cause(x.ctx))
	}
	return nil
}
