package worker

import (
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/upstream"
)

func needPeers(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("who is at the other end of a socket is known only on Linux")
	}
}

// A worker may write in the folder that its socket is in, as the server does
// here in its place.
func TestSwappedSocket(t *testing.T) {
	t.Parallel()
	needPeers(t)
	s := newStand(t)
	const source = `let n = 0; Deno.serve(() => new Response("victim " + n++));`
	const node = `import { createServer } from "node:http"; createServer((_, res) => res.end("x")).listen(8000);`
	for name, tc := range map[string]struct {
		source, socket string
		swap           func(t *testing.T, victim *subject, path string)
	}{
		"a link to another worker's": {`Deno.serve(() => new Response(""));`, deno.ServeSocket, func(t *testing.T, victim *subject, path string) {
			if err := os.Symlink(filepath.Join(victim.dir, deno.ServeSocket), path); err != nil {
				t.Fatal(err)
			}
		}},
		"the same of a node:http server": {node, deno.NodeSocket, func(t *testing.T, victim *subject, path string) {
			if err := os.Symlink(filepath.Join(victim.dir, deno.ServeSocket), path); err != nil {
				t.Fatal(err)
			}
		}},
		"another worker's, by its name": {`Deno.serve(() => new Response(""));`, deno.ServeSocket, func(t *testing.T, victim *subject, path string) {
			if err := os.Link(filepath.Join(victim.dir, deno.ServeSocket), path); err != nil {
				t.Fatal(err)
			}
		}},
		"one of a process without walls": {`Deno.serve(() => new Response(""));`, deno.ServeSocket, func(t *testing.T, _ *subject, path string) {
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					if n, _ := c.Read(make([]byte, 1)); n > 0 {
						t.Error("it got a part of a request")
					}
					c.Close()
				}
			}()
			t.Cleanup(func() { l.Close() })
		}},
	} {
		t.Run(name, func(t *testing.T) {
			victim, attacker := s.load(t, source), s.load(t, tc.source)
			path := filepath.Join(attacker.dir, tc.socket)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			tc.swap(t, victim, path)
			rec, err := attacker.try(httptest.NewRequest("GET", "/fn", nil))
			var e *upstream.Error
			if !errors.As(err, &e) || !errors.Is(err, function.ErrWorkerGone) || !e.Retryable() {
				t.Errorf("%v; answered %q", err, rec.Body)
			}
			if exit := attacker.ended(t); exit.Asked || exit.Code != 137 || !strings.Contains(exit.Tail, "its socket is another process's") {
				t.Errorf("%+v", exit)
			}
			if got := victim.get(t, "/", ""); got != "victim 0" {
				t.Errorf("%q: it has had a request that was not for it", got)
			}
		})
	}
}

// Before the bootstrap has connected, somebody else may.
func TestStrangerInTheControlChannel(t *testing.T) {
	t.Parallel()
	needPeers(t)
	s := newStand(t)
	s.Runtime.Binary = script(t, "while [ ! -e %[1]s/go ]; do sleep 0.01; done\nexec %[2]s \"$@\"\n")
	said := make(chan error, 1)
	go func() {
		defer os.WriteFile(filepath.Join(filepath.Dir(s.Runtime.Binary), "go"), nil, 0o644)
		for end := time.Now().Add(soon); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			found, _ := filepath.Glob(filepath.Join(s.RunDir, "w*", deno.ControlSocket))
			if len(found) != 1 {
				continue
			}
			c, err := net.Dial("unix", found[0])
			if err != nil {
				continue
			}
			defer c.Close()
			fmt.Fprintln(c, "up")
			if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil {
				said <- errors.New("it was spoken to")
			} else {
				said <- nil
			}
			return
		}
		said <- errors.New("there was no control socket")
	}()
	sub := s.load(t, `Deno.serve(() => new Response("served"));`)
	if err := <-said; err != nil {
		t.Error(err)
	}
	if got := sub.get(t, "/", ""); got != "served" {
		t.Error(got)
	}
}

// A script may run Deno as a process of its own.
func TestSocketOfWhatAScriptRuns(t *testing.T) {
	t.Parallel()
	needPeers(t)
	s := newStand(t)
	s.Runtime.Binary = script(t, "%[2]s \"$@\"\nexit $?\n")
	sub := s.load(t, `Deno.serve(() => new Response(String(Deno.pid)));`)
	if got := sub.get(t, "/", ""); got == fmt.Sprint(sub.PID()) {
		t.Error("the script runs it in its own place")
	}
	victim := s.load(t, `Deno.serve(() => new Response("victim"));`)
	sub.Upstream().Close() // the connection that is open is the worker's
	path := filepath.Join(victim.dir, deno.ServeSocket)
	if err := errors.Join(os.Remove(path), os.Symlink(filepath.Join(sub.dir, deno.ServeSocket), path)); err != nil {
		t.Fatal(err)
	}
	if rec, err := victim.try(httptest.NewRequest("GET", "/fn", nil)); !errors.Is(err, function.ErrWorkerGone) {
		t.Errorf("%v; answered %q", err, rec.Body)
	}
}

// script returns one that runs Deno; its format has its folder and the binary.
func script(t *testing.T, format string) string {
	t.Helper()
	path := filepath.Join(denotest.TempDir(t), "deno")
	denotest.Open(t, filepath.Dir(path))
	text := "#!/bin/sh\n" + fmt.Sprintf(format, filepath.Dir(path), denotest.OpenBinary(t))
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// BenchmarkPeer is what a new connection costs more.
func BenchmarkPeer(b *testing.B) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(b.TempDir(), "s"), Net: "unix"})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	c, err := net.DialUnix("unix", nil, l.Addr().(*net.UnixAddr))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	for b.Loop() {
		if _, _, err := peerOf(c); err != nil {
			b.Fatal(err)
		}
	}
}
