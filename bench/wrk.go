package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

//go:embed wrk.lua
var wrkScript string

// errNoWrk is why nothing is measured under load.
var errNoWrk = errors.New("install wrk (apt install wrk, brew install wrk)")

// A load is what wrk is asked to do.
type load struct {
	connections int
	lasts       time.Duration // whole seconds
	headers     []string
	body        string // for a POST, "" for a GET
}

// A throughput is what came of it.
type throughput struct {
	perSecond float64
	p50, p99  time.Duration
}

// wrk calls a URL again and again. An answer other than 2xx or 3xx, or a broken
// connection, is an error.
func (l *lab) wrk(ctx context.Context, url string, ask load) (throughput, error) {
	script, err := l.script("wrk.lua", wrkScript)
	if err != nil {
		return throughput{}, err
	}
	args := []string{"-t1", "-c" + strconv.Itoa(ask.connections), fmt.Sprintf("-d%ds", int(ask.lasts.Seconds())), "-s", script}
	for _, h := range ask.headers {
		args = append(args, "-H", h)
	}
	args = append(args, url)
	if ask.body != "" {
		args = append(args, ask.body) // which the script makes a POST of
	}
	out, err := output(ctx, l.dir, "wrk", args...)
	if err != nil {
		return throughput{}, err
	}
	_, said, ok := strings.Cut(out, "bench: ")
	var requests, micros, p50, p99 float64
	var broken, refused int
	if !ok {
		return throughput{}, fmt.Errorf("wrk did not run the script:\n%s", out)
	}
	if _, err := fmt.Sscan(said, &requests, &micros, &p50, &p99, &broken, &refused); err != nil {
		return throughput{}, fmt.Errorf("read wrk's figures: %w\n%s", err, out)
	}
	if broken > 0 || refused > 0 || requests == 0 {
		return throughput{}, fmt.Errorf("%s: %.0f requests of %d connections: %d broken connections or time-outs, %d bad statuses", url, requests, ask.connections, broken, refused)
	}
	return throughput{
		perSecond: requests / micros * 1e6,
		p50:       time.Duration(p50 * float64(time.Microsecond)),
		p99:       time.Duration(p99 * float64(time.Microsecond)),
	}, nil
}

// missing returns the first of the programs that is not installed.
func missing(programs ...string) string {
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			return name
		}
	}
	return ""
}
