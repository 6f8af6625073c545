package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

const (
	burstSize = 50
	// burstRounds are full bursts, each on a server of its own. Before each
	// one burstPeers runs of the peer are measured.
	burstRounds = 8
	burstPeers  = 3
)

// burst calls 50 functions for the first time at once.
func burst(ctx context.Context, l *lab) ([]Row, error) {
	functions, err := l.project("burst", burstSize, func(i int) string {
		source, _ := hello(i)
		return source
	})
	if err != nil {
		return nil, err
	}
	if err := l.bundle(ctx, functions); err != nil {
		return nil, err
	}
	source, answer := hello(-1)
	script, err := l.script("burst.ts", source)
	if err != nil {
		return nil, err
	}
	if err := l.warmDenoRun(ctx, script, answer); err != nil {
		return nil, err
	}
	var slowest, middle, slowestReady, peer Series
	for range l.samples(burstRounds) {
		for range burstPeers {
			took, err := l.denoRun(ctx, script, answer)
			if err != nil {
				return nil, err
			}
			peer.add(took)
		}
		all, err := l.burstOnce(ctx, functions)
		if err != nil {
			return nil, err
		}
		slowest, middle = append(slowest, all.max()), append(middle, all.median())
		if all, err = l.burstOnce(ctx, functions, "--prestart", strconv.Itoa(burstSize)); err != nil {
			return nil, err
		}
		slowestReady = append(slowestReady, all.max())
	}
	row := Row{
		Name: "burst-50", Unit: "ratio", Floor: 20, Aim: 8,
		What:  "50 functions called for the first time at once, the slowest answer (the 99th percentile), against one `deno run` on the idle machine to its first answer",
		Notes: []string{"median answer of a burst: " + middle.text("ms")},
	}
	row.compareWithMedian(slowest, peer)
	ready := Row{
		Name: "burst-50-prestart-50", Unit: "ratio",
		What: "the same with --prestart 50",
	}
	ready.compareWithMedian(slowestReady, peer)
	return []Row{row, ready}, nil
}

// burstOnce starts a server and calls all its functions at once.
func (l *lab) burstOnce(ctx context.Context, functions string, args ...string) (took Series, err error) {
	s, err := l.start(ctx, "serve", functions, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.waitPrestarted(ctx); err != nil {
		return nil, err
	}
	if err := s.refilled(ctx); err != nil {
		return nil, err
	}
	var wg sync.WaitGroup
	each := make([]time.Duration, burstSize)
	errs := make([]error, burstSize)
	start := make(chan struct{})
	for i := range burstSize {
		wg.Go(func() {
			<-start
			_, answer := hello(i)
			each[i], errs[i] = s.call(ctx, slug("burst", i), answer)
		})
	}
	close(start)
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("call %d functions at once: %w", burstSize, err)
	}
	for _, d := range each {
		took.add(d)
	}
	return took, nil
}
