package main

import (
	"context"
	"errors"
	"fmt"
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
	private, err := s.admin(ctx)
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
	raw, err := private.CPUProfile(ctx, 2*profileLasts-time.Second)
	if err != nil {
		cancel()
	}
	if err := errors.Join(err, <-under); err != nil {
		return fmt.Errorf("profile the server: %w", err)
	}
	return os.WriteFile(file, raw, 0o644)
}

// admin is how the server answers those who may administer it.
func (s *server) admin(ctx context.Context) (*admin.Client, error) {
	found, _, err := admin.Find(ctx, worker.RunDirs())
	for _, c := range found {
		if c.About.PID == s.pid() {
			return c, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("no private socket of process %d", s.pid()), err)
}
