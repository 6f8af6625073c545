package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/recent"
)

// An inside is a server with a private socket.
type inside struct {
	folder string
	logs   *recent.Log
	server *Server
	served chan error
}

func (i *inside) say(slug, text string) {
	i.logs.Keep(slug, false, slog.LevelInfo, time.Now(), []byte(`{"msg":"`+text+`"}`))
}

var someWorkers = []Worker{
	{Function: "a", ExecutionID: "e-1", State: "serving", PID: 12, MemoryBytes: 5, CPUSeconds: 0.5, Requests: 3, InFlight: 1, AgeSeconds: 7, Version: "v"},
	{State: "prestarted", PID: 13},
}

// shortDir is a folder for sockets, whose paths must be short.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "adm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func serveInside(t *testing.T, limits recent.Limits) *inside {
	t.Helper()
	i := &inside{folder: shortDir(t), served: make(chan error, 1)}
	i.logs = recent.New(limits, func(string) bool { return true })
	l, err := Listen("unix:" + filepath.Join(i.folder, SocketName))
	if err != nil {
		t.Fatal(err)
	}
	i.server = New(l, Options{Health: ok, Log: slog.New(slog.DiscardHandler), Private: i.private()})
	go func() { i.served <- i.server.Serve() }()
	t.Cleanup(func() { i.close(t) })
	return i
}

func (i *inside) private() *Private {
	return &Private{
		About: About{PID: 4711, Version: "1", Command: "dev", URL: "http://localhost:1", Listen: "127.0.0.1:1", Functions: "/f"},
		Workers: func(pss bool) []Worker {
			all := append([]Worker(nil), someWorkers...)
			if pss {
				all[0].PSSBytes = 99
			}
			return all
		},
		Functions: func() []Function { return []Function{{Function: "a", Serving: 1}, {Function: "quiet", Queued: 2}} },
		Logs:      i.logs,
	}
}

func (i *inside) close(t *testing.T) {
	if i.served == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	if err := i.server.Close(ctx); err != nil {
		t.Error(err)
	}
	if err := <-i.served; err != nil {
		t.Error(err)
	}
	i.served = nil
}

func (i *inside) dial(t *testing.T) *Client {
	t.Helper()
	c, err := Dial(t.Context(), filepath.Join(i.folder, SocketName))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPrivate(t *testing.T) {
	i := serveInside(t, recent.DefaultLimits())
	c := i.dial(t)
	if c.About != i.private().About {
		t.Errorf("the server is %+v", c.About)
	}
	if got, err := c.Workers(t.Context(), false); err != nil || !reflect.DeepEqual(got, someWorkers) {
		t.Errorf("workers %+v, %v", got, err)
	}
	if got, err := c.Workers(t.Context(), true); err != nil || got[0].PSSBytes != 99 {
		t.Errorf("workers with their PSS %+v, %v", got, err)
	}
	if got, err := c.Functions(t.Context()); err != nil || !reflect.DeepEqual(got, i.private().Functions()) {
		t.Errorf("functions %+v, %v", got, err)
	}

	i.say("", "server")
	i.say("a", "one")
	i.logs.Keep("removed", true, slog.LevelError, time.Now(), []byte(`{"msg":"two","request_id":"r-1"}`))
	for _, test := range []struct {
		q    LogQuery
		want string // or what the error says
	}{
		{LogQuery{}, "server one two"},
		{LogQuery{Functions: []string{"a", "removed"}}, "one two"},
		{LogQuery{Functions: []string{""}}, "server"},
		{LogQuery{Functions: []string{"quiet"}}, ""},
		{LogQuery{Level: "WARNING"}, "two"},
		{LogQuery{RequestID: "r-1"}, "two"},
		{LogQuery{RequestID: "r-2"}, ""},
		{LogQuery{Last: 1}, "two"},
		{LogQuery{Since: "1h"}, "server one two"},
		{LogQuery{Since: time.Now().Add(time.Hour).Format(time.RFC3339)}, ""},
		{LogQuery{Functions: []string{"nope"}}, `there is no function "nope"; there are a, quiet`},
		{LogQuery{Since: "yesterday"}, `since "yesterday": use a duration such as`},
		{LogQuery{Since: "-5m"}, `since "-5m": use a duration such as`},
		{LogQuery{Level: "loud"}, `level "loud": use debug, info, warn or error`},
		{LogQuery{RequestID: `a"`}, "use an answer's sb-request-id"},
	} {
		var got []string
		err := c.Logs(t.Context(), test.q, func(line []byte) error { got = append(got, message(t, line)); return nil })
		text := strings.Join(got, " ")
		if err != nil {
			text = err.Error()
		}
		if text != test.want && (err == nil || !strings.Contains(text, test.want)) {
			t.Errorf("%+v: %q, want %q", test.q, text, test.want)
		}
	}
	for _, path := range []string{"/workers?pss=x", "/logs?follow=maybe", "/logs?last=-1", "/logs?last=x"} {
		_, err := c.get(t.Context(), path)
		var refused *RefusedError
		if !errors.As(err, &refused) || refused.Status != http.StatusBadRequest {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := c.get(t.Context(), "/metrics"); err == nil {
		t.Error("there are metrics though nobody counts")
	}
}

func message(t *testing.T, line []byte) string {
	t.Helper()
	var l struct{ Msg string }
	if err := json.Unmarshal(line, &l); err != nil {
		t.Errorf("%q: %v", line, err)
	}
	return l.Msg
}

// TestFollow hears what is said later, also from a function that had said
// nothing, and the last words of a server that stops.
func TestFollow(t *testing.T) {
	i := serveInside(t, recent.DefaultLimits())
	c := i.dial(t)
	i.say("a", "before")
	heard := make(chan string)
	ended := make(chan error, 1)
	go func() {
		ended <- c.Logs(t.Context(), LogQuery{Follow: true, Functions: []string{"a", "quiet"}}, func(line []byte) error {
			heard <- message(t, line)
			return nil
		})
	}()
	expect := func(want string) {
		t.Helper()
		select {
		case got := <-heard:
			if got != want {
				t.Fatalf("heard %q, want %q", got, want)
			}
		case err := <-ended:
			t.Fatalf("ended with %v before %q", err, want)
		case <-time.After(soon):
			t.Fatalf("%q is not heard", want)
		}
	}
	expect("before")
	i.say("other", "not asked for")
	i.say("quiet", "first word")
	expect("first word")
	i.say("a", "last word")
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		i.close(t)
	}()
	expect("last word")
	if err := <-ended; err != nil {
		t.Error(err)
	}
	<-closed
}

// TestSlowFollower does not read while far more is said than is kept: nobody
// waits for it, and it is told what it missed.
func TestSlowFollower(t *testing.T) {
	i := serveInside(t, recent.Limits{Requests: 4 << 10, Rest: 4 << 10, Total: 1 << 20})
	c := i.dial(t)
	const lines = 50_000
	text := strings.Repeat("x", 200)
	reading, said := make(chan struct{}), make(chan struct{})
	i.say("a", "begin")
	whole, lost := 0, 0
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	go func() {
		defer close(said)
		<-reading
		for n := range lines {
			i.say("a", fmt.Sprint(n, text))
		}
		i.say("a", "end")
	}()
	err := c.Logs(ctx, LogQuery{Follow: true}, func(line []byte) error {
		var l struct {
			Event, Msg, Level string
			Lines             int
		}
		if err := json.Unmarshal(line, &l); err != nil {
			t.Errorf("%q: %v", line, err)
		}
		switch {
		case l.Msg == "begin":
			close(reading)
			select {
			case <-said:
			case <-ctx.Done():
				t.Error("who writes waits for who reads")
			}
		case l.Event == "lost":
			lost += l.Lines
		case l.Msg == "end":
			cancel()
		default:
			whole++
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("following ended with %v", err)
	}
	if lost == 0 || whole+lost != lines {
		t.Errorf("%d lines came and %d are said to be lost, of %d", whole, lost, lines)
	}
}

// TestFollowersLeave has the server notice those who hang up.
func TestFollowersLeave(t *testing.T) {
	i := serveInside(t, recent.DefaultLimits())
	c := i.dial(t)
	i.say("a", "x")
	for range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		err := c.Logs(ctx, LogQuery{Follow: true}, func([]byte) error { cancel(); return nil })
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	// goleak and Close tell whether anything is left.
}

// TestPrivateStaysInside asks an address of the network.
func TestPrivateStaysInside(t *testing.T) {
	i := serveInside(t, recent.DefaultLimits())
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(l, Options{Health: ok, Log: slog.New(slog.DiscardHandler), Private: i.private()})
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	for _, path := range []string{"/server", "/workers", "/functions", "/logs", "/debug/pprof/", "/debug/pprof/heap"} {
		if status, body := ask(t, l, "GET", "http://localhost"+path); status != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestFind(t *testing.T) {
	i := serveInside(t, recent.DefaultLimits())
	stale, empty, open, strange := shortDir(t), shortDir(t), shortDir(t), shortDir(t)

	// A server that was killed leaves its socket.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(stale, SocketName), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if err := os.Chmod(open, 0o777); err != nil { // anybody can have put a socket there
		t.Fatal(err)
	}
	found, unreadable, err := Find(t.Context(), []string{stale, i.folder, empty, open, filepath.Join(empty, "gone")})
	if err != nil || len(found) != 1 || found[0].About.PID != 4711 || strings.Join(unreadable, ",") != open {
		t.Errorf("found %v, unreadable %v, %v", found, unreadable, err)
	}

	// Somebody listens who is no server.
	other, err := net.Listen("unix", filepath.Join(strange, SocketName))
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		conn, err := other.Accept()
		if err != nil {
			return
		}
		io.WriteString(conn, "220 hello\r\n")
		conn.Close()
	}()
	if found, _, err := Find(t.Context(), []string{strange, i.folder}); err == nil || len(found) != 1 {
		t.Errorf("found %v, %v", found, err)
	}
	other.Close()
	<-answered
	if _, err := Dial(t.Context(), filepath.Join(empty, SocketName)); !errors.Is(err, syscall.ENOENT) {
		t.Error(err)
	}
}
