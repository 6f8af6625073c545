package worker

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/selvedge-dev/selvedge/internal/confine"
	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/upstream"
)

// An Assignment is the function that a worker is to be.
type Assignment struct {
	Slug string
	// Module is the absolute path of the module to import.
	Module string
	// Env is the function's whole environment.
	Env map[string]string
	// Boot bounds the load.
	Boot time.Duration
	// Net is what the function's connections are compared with, where the
	// profile has them watched.
	Net function.Net
	// TmpMB is the size of the files that it may write, in MiB.
	TmpMB int
	// Files bounds the open files, connections among them; 0 leaves the bound
	// that all workers have.
	Files int
	// Lines bounds what is logged, in lines a second; 0 for what a function
	// without configuration has.
	Lines int
	// Log takes the function's output. Calls never overlap.
	Log func(deno.Record)
}

// Load makes an idle worker a function. It returns a *function.BootError when
// the function does not begin to serve; the worker is then good for nothing
// and must be stopped.
func (w *Worker) Load(ctx context.Context, a Assignment) (deno.Ready, error) {
	if err := w.move(Loading); err != nil {
		return deno.Ready{}, err
	}
	var raw [16]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return deno.Ready{}, fmt.Errorf("make a log secret: %w", err)
	}
	secret := hex.EncodeToString(raw[:])
	w.output.assign(secret, a.Lines, a.Log)

	if w.connections != nil {
		if err := w.connections.follow(func(place string) { w.output.say(connected(a.Net, place)) }); err != nil {
			return deno.Ready{}, &function.BootError{Slug: a.Slug, Stage: "load", Message: err.Error(), Err: err}
		}
	}
	specifier := (&url.URL{Scheme: "file", Path: a.Module}).String()
	line, err := deno.Load{Specifier: specifier, Env: a.Env, Secret: secret, Node: w.mayServeByNode(a.Module)}.MarshalLine()
	if err != nil {
		return deno.Ready{}, fmt.Errorf("load function %s: %w", a.Slug, err)
	}
	if w.group != nil && a.TmpMB > 0 {
		_ = w.group.Limit(groupLimits(w.Profile.MemoryMB, a.TmpMB)) // it has one already
	}
	if a.Files > 0 {
		confine.LimitFiles(w.cmd.Process.Pid, w.user, uint64(a.Files))
	}
	ctx, cancel := withPatience(ctx, a.Boot, errBootTimeout)
	defer cancel()
	if _, err := w.control.Write(line); err != nil {
		<-w.done
		return deno.Ready{}, w.bootFailure(a, errEnded)
	}
	for {
		ev, err := w.next(ctx)
		switch {
		case err != nil:
			return deno.Ready{}, w.bootFailure(a, err)
		case ev.Failed != nil:
			message, _, _ := strings.Cut(ev.Failed.Message, "\n") // Detail has all of it
			return deno.Ready{}, &function.BootError{
				Slug: a.Slug, Stage: ev.Failed.Stage, Message: message, Detail: ev.Failed.Detail,
			}
		case ev.Ready != nil:
			w.serve(ev.Ready.Mode)
			return *ev.Ready, w.move(Ready)
		}
	}
}

var (
	errBootTimeout = errors.New("boot timeout")
	errEnded       = errors.New("deno ended")
)

// bootFailure says why a load ended without an answer from the bootstrap.
func (w *Worker) bootFailure(a Assignment, err error) error {
	e := &function.BootError{Slug: a.Slug, Stage: "load", Err: err}
	switch {
	case errors.Is(err, errBootTimeout):
		e.Stage = "serve"
		e.Message = fmt.Sprintf("the function did not begin to serve within %s: it must call Deno.serve, export default { fetch }, or listen with node:http", a.Boot)
		return e
	case !errors.Is(err, errEnded):
		return fmt.Errorf("load function %s: %w", a.Slug, err) // the caller's context
	}
	exit := w.Exit()
	w.mu.Lock()
	why := w.why
	w.mu.Unlock()
	switch {
	case why != "":
		e.Message = why
		return e
	case exit.OutOfMemory:
		e.Message = fmt.Sprintf("the function ran out of memory while it was loading; it may use %d MB (memory_mb)", w.Profile.MemoryMB)
		e.Detail = exit.Tail
		return e
	}
	e.Message = fmt.Sprintf("the process ended with code %d while the function was loading", exit.Code)
	e.Detail = exit.Tail
	return e
}

// mayServeByNode reports whether the module imports node:http. What runs from
// source may do so in any of its packages.
func (w *Worker) mayServeByNode(module string) bool {
	if w.Profile.Unbundled != (deno.Unbundled{}) {
		return true
	}
	code, err := os.ReadFile(module)
	return err == nil && bytes.Contains(code, []byte("node:http"))
}

// serve chooses the socket that requests go to.
func (w *Worker) serve(m deno.Mode) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mode = m
	name := deno.ServeSocket
	if m == deno.ModeNode {
		name = deno.NodeSocket
	}
	w.client = upstream.NewChecked(filepath.Join(w.dir, name), w.checkServer)
}

// next waits for the next control event.
func (w *Worker) next(ctx context.Context) (deno.Event, error) {
	select {
	case ev := <-w.events:
		return ev, nil
	case <-w.done:
		// Its last word may have come just before its end.
		select {
		case ev := <-w.events:
			return ev, nil
		default:
			return deno.Event{}, errEnded
		}
	case <-ctx.Done():
		return deno.Event{}, context.Cause(ctx)
	}
}
