package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/selvedge-dev/selvedge/internal/admin"
	"github.com/selvedge-dev/selvedge/internal/worker"
)

// profileLasts is how long each kind of load is watched.
const profileLasts = 15 * time.Second

// profile writes what the server spends its time on under load, for the
// compiler to optimise by: `make build` and the image are built with it.
func (l *lab) profile(ctx context.Context, file string) (err error) {
	if missing("wrk") != "" {
		return errNoWrk
	}
	s, err := l.guardedHello(ctx, "profile")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	socket, err := s.privateSocket(ctx)
	if err != nil {
		return err
	}
	under := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		for _, body := range []string{"", jsonBody} {
			if _, err := l.wrk(ctx, "http://"+s.addr+"/functions/v1/"+slug("profile", 0),
				load{connections: 32, lasts: profileLasts, headers: []string{s.token}, body: body}); err != nil {
				under <- err
				return
			}
		}
		under <- nil
	}()
	raw, err := cpuProfile(ctx, socket, 2*profileLasts-time.Second)
	if err != nil {
		cancel()
	}
	if err := errors.Join(err, <-under); err != nil {
		return fmt.Errorf("profile the server: %w", err)
	}
	return os.WriteFile(file, raw, 0o644)
}

// privateSocket is where the server answers those who may administer it.
func (s *server) privateSocket(ctx context.Context) (string, error) {
	found, _, err := admin.Find(ctx, worker.RunDirs())
	for _, c := range found {
		if c.About.PID == s.pid() {
			return c.Path, nil
		}
	}
	return "", errors.Join(fmt.Errorf("no private socket of process %d", s.pid()), err)
}

// cpuProfile asks for a CPU profile in the form that pprof and the compiler read.
func cpuProfile(ctx context.Context, socket string, lasts time.Duration) ([]byte, error) {
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://selvedge/debug/pprof/profile?seconds=%d", int(lasts.Seconds())), nil)
	if err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("the server answered %s: %s", res.Status, raw)
	}
	return raw, err
}
