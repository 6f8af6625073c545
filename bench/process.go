package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// A process is a peer's program, which runs until it is stopped.
type process struct {
	// addr is host:port or the path of a unix socket.
	addr  string
	cmd   *exec.Cmd
	said  tail
	ended chan struct{} // closed when the process was waited for
	err   error         // how it ended
}

// run starts a program that is going to listen at addr, and returns once that
// answers a GET of path with want.
func (l *lab) run(ctx context.Context, addr, path, want string, cmd *exec.Cmd) (*process, error) {
	if network(addr) == "unix" {
		_ = os.Remove(addr) // of the one before it, which did not
	}
	p := &process{addr: addr, cmd: cmd, ended: make(chan struct{})}
	name := filepath.Base(cmd.Path)
	if cmd.Env == nil {
		cmd.Env = l.environ()
	}
	cmd.Stdout, cmd.Stderr = lineWriter{&p.said}, lineWriter{&p.said}
	// Its own group, so that an interrupt of the benchmark does not reach it,
	// and that its children end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = stopPatience
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.ended)
		p.err = cmd.Wait()
	}()
	for began := time.Now(); ; {
		_, err := get(ctx, addr, path, want)
		if err == nil {
			return p, nil
		}
		select {
		case <-p.ended:
			return nil, fmt.Errorf("%s ended while starting: %w\n%s", name, cmpErr(p.err), p.said.String())
		case <-time.After(10 * time.Millisecond):
		}
		if time.Since(began) > startPatience || ctx.Err() != nil {
			return nil, errors.Join(fmt.Errorf("%s does not serve: %w\n%s", name, err, p.said.String()), context.Cause(ctx), p.stop())
		}
	}
}

// cmpErr makes an end without an error one.
func cmpErr(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// stop ends the process and its children and waits for it. It is an error if it
// had ended by itself.
func (p *process) stop() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s ended by itself: %w\n%s", filepath.Base(p.cmd.Path), cmpErr(p.err), p.said.String())
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(stopPatience, func() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) })
	defer timer.Stop()
	<-p.ended
	return nil
}

// freePort returns an address that a program can listen at which cannot be
// given port 0.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
