package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

const (
	// addedTurns are the turns of each path, each of so many exchanges.
	addedTurns     = 15
	addedExchanges = 4000
)

// added measures how much later an answer comes through the gateway than from
// Deno itself, with one connection and one request after the other.
func added(ctx context.Context, l *lab) ([]Row, error) {
	ours, err := l.guardedHello(ctx, "added")
	if err != nil {
		return nil, err
	}
	stop := []interface{ stop() error }{ours}
	stopAll := func() error {
		var errs []error
		for i := len(stop) - 1; i >= 0; i-- {
			errs = append(errs, stop[i].stop())
		}
		return errors.Join(errs...)
	}
	unix, tcp, err := l.denoPeers(ctx)
	if err != nil {
		return nil, errors.Join(err, stopAll())
	}
	stop = append(stop, unix, tcp)
	paths := []*path{
		{name: "Selvedge", addr: ours.addr, target: "/functions/v1/" + slug("added", 0), header: ours.token},
		{name: "Deno at a unix socket", addr: unix.addr, target: "/", header: ours.token},
		{name: "Deno at a port", addr: tcp.addr, target: "/", header: ours.token},
	}
	if missing("nginx") == "" {
		proxy, err := l.nginx(ctx, "1", unix.addr, "/", jsonAnswer)
		if err != nil {
			return nil, errors.Join(err, stopAll())
		}
		stop = append(stop, proxy)
		paths = append(paths, &path{name: "nginx", addr: proxy.addr, target: "/", header: ours.token})
	}
	if err := errors.Join(measurePaths(ctx, l, paths), stopAll()); err != nil {
		return nil, err
	}
	row := Row{
		Name: "gateway-added", Unit: "µs", Floor: 80, Aim: 30,
		What: "one connection, one request after the other: how much later the median answer comes through the gateway, tokens checked, than from plain Deno at a unix socket, by the same client",
	}
	row.difference(paths[0].p50, paths[1].p50)
	for _, p := range paths[2:] {
		row.Notes = append(row.Notes, fmt.Sprintf("%s: %s, %s µs more than Deno at a unix socket", p.name, p.p50.text("µs"), number(p.p50.median()-paths[1].p50.median())))
	}
	return []Row{row}, nil
}

// A path is a way to hello.
type path struct {
	name, addr, target, header string
	p50                        Series // in µs
}

// measurePaths has the paths take their turns. Each keeps its connection.
func measurePaths(ctx context.Context, l *lab, paths []*path) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	wires := make([]*wire, len(paths))
	for i, p := range paths {
		w, err := dialWire(ctx, p.addr, requestHead("GET", p.target, p.header))
		if err != nil {
			return err
		}
		defer w.Close()
		wires[i] = w
	}
	turns := l.samples(addedTurns)
	for turn := range turns + 1 {
		for i, p := range paths {
			var took Series
			for range addedExchanges {
				body, one, err := wires[i].exchange()
				if err == nil && string(body) != jsonAnswer {
					err = fmt.Errorf("the answer is %q instead of %q", body, jsonAnswer)
				}
				if err != nil {
					return fmt.Errorf("%s: %w", p.name, err)
				}
				took = append(took, float64(one)/float64(time.Microsecond))
			}
			if turn > 0 { // the first one warms up
				p.p50 = append(p.p50, took.median())
			}
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
	}
	return nil
}
