package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// idleSockets are held open at once, by so many workers.
	idleSockets   = 10_000
	socketWorkers = 4
	// socketRounds are servers, each with as many.
	socketRounds = 3
	// socketRest is how long nothing is said before memory is read: in that
	// time a server gives back what only the opening needed.
	socketRest = 15 * time.Second
	// otherFiles is room for what else a process has open.
	otherFiles = 200
)

// socketSource holds a WebSocket and sends back what it hears.
const socketSource = `Deno.serve((req) => {
  const { socket, response } = Deno.upgradeWebSocket(req, { idleTimeout: 0 });
  socket.onmessage = (event) => socket.send(event.data);
  return response;
});
`

// websockets measures what a WebSocket costs the gateway on which nothing is
// said.
func websockets(ctx context.Context, l *lab) ([]Row, error) {
	row := Row{
		Name: "gateway-websockets", Unit: "kB", Floor: 40, Aim: 20,
		What: "growth of the gateway's own memory (PSS) by 10,000 idle WebSockets, for each of them",
	}
	if err := canMeasureMemory(); err != nil {
		row.Skipped = err.Error()
		return []Row{row}, nil
	}
	n := idleSockets
	if l.quick {
		n /= 20
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return nil, err
	}
	// The gateway has two descriptors for each: the client's and the worker's.
	if room := (int(min(limit.Max, 1<<30)) - otherFiles) / 2; room < n {
		if room < n/10 {
			row.Skipped = fmt.Sprintf("the system lets a process have %d files open, and %d are needed; raise it (ulimit -Hn)", limit.Max, 2*n+otherFiles)
			return []Row{row}, nil
		}
		row.Notes = append(row.Notes, fmt.Sprintf("only %d WebSockets, two files each, as the system lets a process have %d open", room, limit.Max))
		n = room
	}
	functions, err := l.project("sockets", 1, func(int) string { return socketSource })
	if err != nil {
		return nil, err
	}
	if err := l.bundle(ctx, functions); err != nil {
		return nil, err
	}
	var soon, each, opening Series
	for range l.samples(socketRounds) {
		held, err := l.holdSockets(ctx, functions, n)
		if err != nil {
			return nil, err
		}
		soon = append(soon, held.soon*1e3/float64(n))
		each = append(each, held.later*1e3/float64(n))
		opening.add(held.opening / time.Duration(n))
	}
	row.absolute(each)
	row.Notes = append(row.Notes,
		"a second after they were opened: "+soon.text("kB"),
		"to open one, with eight at a time: "+opening.text("ms"))
	return []Row{row}, nil
}

// A holding is what WebSockets did to a server: by how many MB it grew a second
// after they were opened and when it had rested, and how long opening took.
type holding struct {
	soon, later float64
	opening     time.Duration
}

// holdSockets starts a server and opens n WebSockets. In the end a message goes
// to and fro on each, so that all were open for sure.
func (l *lab) holdSockets(ctx context.Context, functions string, n int) (held holding, err error) {
	s, err := l.start(ctx, "serve", functions, "--max-workers", strconv.Itoa(socketWorkers),
		"--max-concurrency", strconv.Itoa(idleSockets/socketWorkers+1), "--max-requests", strconv.Itoa(2*idleSockets))
	if err != nil {
		return held, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	var sockets []*socket
	defer func() {
		for _, one := range sockets {
			one.Close()
		}
	}()
	path := "/functions/v1/" + slug("sockets", 0)
	// One, so that nothing is counted that any WebSocket costs.
	if sockets, err = openSockets(ctx, s.addr, path, 1); err != nil {
		return held, err
	}
	if err := sleep(ctx, time.Second); err != nil {
		return held, err
	}
	before, err := pss(s.pid())
	if err != nil {
		return held, err
	}
	began := time.Now()
	more, err := openSockets(ctx, s.addr, path, n-1)
	held.opening = time.Since(began)
	sockets = append(sockets, more...)
	if err != nil {
		return held, fmt.Errorf("%w\n%s", err, s.stderr.String())
	}
	rest := socketRest
	if l.quick {
		rest = time.Second
	}
	for _, look := range []struct {
		grown *float64
		rest  time.Duration
	}{{&held.soon, time.Second}, {&held.later, rest - time.Second}} {
		if err := sleep(ctx, look.rest); err != nil {
			return held, err
		}
		now, err := pss(s.pid())
		if err != nil {
			return held, err
		}
		*look.grown = now - before
	}
	for i, one := range sockets {
		if err := one.echo(); err != nil {
			return held, fmt.Errorf("WebSocket %d of %d: %w\n%s", i+1, n, err, s.stderr.String())
		}
	}
	return held, nil
}

// A socket is a WebSocket's client. It keeps no buffer, as there are thousands.
type socket struct{ net.Conn }

// openSockets opens n WebSockets, eight at a time. Those that were opened are
// returned with an error too.
func openSockets(ctx context.Context, addr, path string, n int) ([]*socket, error) {
	var wg sync.WaitGroup
	var next atomic.Int64
	all := make([]*socket, n)
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			for {
				k := int(next.Add(1)) - 1
				if k >= n {
					return
				}
				if all[k], errs[i] = openSocket(ctx, addr, path); errs[i] != nil {
					errs[i] = fmt.Errorf("open WebSocket %d of %d: %w", k+1, n, errs[i])
					return
				}
			}
		})
	}
	wg.Wait()
	var open []*socket
	for _, one := range all {
		if one != nil {
			open = append(open, one)
		}
	}
	return open, errors.Join(errs...)
}

func openSocket(ctx context.Context, addr, path string) (*socket, error) {
	c, err := dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	err = c.transfer(ctx, func() error {
		head := requestHead("GET", path, "Connection: Upgrade", "Upgrade: websocket",
			"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
		if _, err := io.WriteString(c.raw, head); err != nil {
			return err
		}
		res, err := http.ReadResponse(c.reader, nil)
		if err == nil && res.StatusCode != http.StatusSwitchingProtocols {
			text, _ := io.ReadAll(io.LimitReader(res.Body, 1024))
			err = fmt.Errorf("status %d: %s", res.StatusCode, text)
		}
		return err
	})
	if err != nil {
		c.Close()
		return nil, err
	}
	return &socket{c.raw}, nil
}

// echo sends a letter and waits for it to come back.
func (s *socket) echo() error {
	if err := s.SetDeadline(time.Now().Add(answerPatience)); err != nil {
		return err
	}
	if _, err := s.Write([]byte{0x81, 0x81, 0, 0, 0, 0, 'x'}); err != nil { // masked with zeros
		return err
	}
	var back [3]byte
	if _, err := io.ReadFull(s, back[:]); err != nil {
		return err
	}
	if back != [3]byte{0x81, 1, 'x'} {
		return fmt.Errorf("a letter came back as % x", back)
	}
	return nil
}
