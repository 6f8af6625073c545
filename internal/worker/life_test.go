package worker

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/function"
)

func TestRetire(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	sub := s.load(t, `
		addEventListener("beforeunload", (e) => console.log("unload", e.type, e.detail.reason));
		globalThis.onbeforeunload = (e) => { console.log("on", e.detail.reason); };
		Deno.serve(() => new Response("ok"));`)
	sub.get(t, "/fn", "")
	began := time.Now()
	sub.Retire(t.Context(), "wall_clock")
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("retiring an idle function took %s", took)
	}
	var texts []string
	for _, r := range sub.logs.all() {
		texts = append(texts, r.Text)
	}
	slices.Sort(texts)
	if !slices.Equal(texts, []string{"on wall_clock", "unload beforeunload wall_clock"}) {
		t.Errorf("logs %q", texts)
	}
	exit := sub.Exit()
	if sub.State() != Exited || !exit.Asked || exit.Lived <= 0 || exit.CPU <= 0 || exit.MaxRSS < 10<<20 {
		t.Errorf("%s %+v", sub.State(), exit)
	}
	if _, err := sub.try(httptest.NewRequest("GET", "/fn", nil)); err == nil {
		t.Error("a retired worker answers")
	}
}

func TestRetireWaits(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	t.Run("for waitUntil", func(t *testing.T) {
		t.Parallel()
		sub := s.load(t, `Deno.serve(() => {
			EdgeRuntime.waitUntil(new Promise((r) => setTimeout(() => { console.log("task done"); r(); }, 400)));
			return new Response("ok");
		});`)
		if sub.Waiting() {
			t.Error("it waits before a request came")
		}
		sub.get(t, "/fn", "req-7")
		eventually(t, "waiting", sub.Waiting)
		began := time.Now()
		sub.Retire(t.Context(), "early_drop")
		if took := time.Since(began); took < 300*time.Millisecond {
			t.Errorf("retired after %s", took)
		}
		if r := sub.logs.find(t, "task done"); r.RequestID != "req-7" {
			t.Errorf("%+v", r)
		}
	})
	t.Run("for what beforeunload gives to waitUntil", func(t *testing.T) {
		t.Parallel()
		sub := s.load(t, `
			addEventListener("beforeunload", () => EdgeRuntime.waitUntil((async () => {
				await new Promise((r) => setTimeout(r, 150));
				console.log("saved");
			})()));
			Deno.serve(() => new Response());`)
		sub.Retire(t.Context(), "memory")
		sub.logs.find(t, "saved")
	})
	t.Run("for all of several, also rejected", func(t *testing.T) {
		t.Parallel()
		sub := s.load(t, `
			const task = (ms, f) => EdgeRuntime.waitUntil(new Promise((r, j) => setTimeout(() => { console.log("task", ms); f ? j(new Error("lost")) : r(); }, ms)));
			Deno.serve(() => { task(20); task(60, true); task(250); return new Response(); });`)
		sub.get(t, "/fn", "")
		eventually(t, "waiting", sub.Waiting)
		sub.Retire(t.Context(), "early_drop")
		sub.logs.find(t, "task 250")
		if r := sub.logs.find(t, "Error: lost"); r.Level != deno.LevelError {
			t.Errorf("%+v", r)
		}
	})
	t.Run("no longer than its context", func(t *testing.T) {
		t.Parallel()
		sub := s.load(t, `Deno.serve(() => { EdgeRuntime.waitUntil(new Promise(() => {})); return new Response(); });`)
		sub.get(t, "/fn", "")
		eventually(t, "waiting", sub.Waiting)
		began := time.Now()
		sub.Retire(within(t, 200*time.Millisecond), "early_drop")
		if took := time.Since(began); took < 200*time.Millisecond || took > 2*time.Second {
			t.Errorf("retired after %s", took)
		}
	})
	t.Run("not for a floating promise", func(t *testing.T) {
		t.Parallel()
		sub := s.load(t, `Deno.serve(() => { new Promise((r) => setTimeout(r, 60000)); return new Response(); });`)
		sub.get(t, "/fn", "")
		began := time.Now()
		sub.Retire(t.Context(), "early_drop")
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("retired after %s", took)
		}
	})
	t.Run("not for one that is dead", func(t *testing.T) {
		t.Parallel()
		sub := s.load(t, `
			addEventListener("beforeunload", () => Deno.exit(7));
			Deno.serve(() => new Response());`)
		sub.Retire(t.Context(), "early_drop")
		if code := sub.Exit().Code; code != 7 {
			t.Errorf("code %d", code)
		}
	})
	t.Run("not for a listener that loops", func(t *testing.T) {
		t.Parallel()
		sub := s.load(t, `
			addEventListener("beforeunload", () => { for (;;); });
			Deno.serve(() => new Response());`)
		sub.Retire(within(t, 200*time.Millisecond), "early_drop")
	})
	t.Run("and a listener's throw is logged", func(t *testing.T) {
		t.Parallel()
		sub := s.load(t, `
			addEventListener("beforeunload", () => { throw new Error("in unload"); });
			Deno.serve(() => new Response());`)
		sub.Retire(t.Context(), "early_drop")
		if exit := sub.Exit(); !strings.Contains(exit.Tail, "in unload") && len(sub.logs.all()) == 0 {
			t.Errorf("nobody says so: %+v", exit)
		}
	})
}

func TestEndlessLoop(t *testing.T) {
	t.Parallel()
	sub := loaded(t, `Deno.serve(() => { console.log("before the loop"); for (;;); });`)
	failed := make(chan error, 1)
	go func() {
		_, err := sub.try(httptest.NewRequest("GET", "/fn", nil))
		failed <- err
	}()
	sub.logs.find(t, "before the loop")
	began := time.Now()
	sub.Stop()
	if took := time.Since(began); took > 1500*time.Millisecond {
		t.Errorf("stopping took %s", took)
	}
	if err := <-failed; !errors.Is(err, function.ErrWorkerGone) {
		t.Errorf("the request ends in %v", err)
	}
	if exit := sub.Exit(); !exit.Asked || exit.Code != 128+int(syscall.SIGTERM) || exit.CPU <= 0 {
		t.Errorf("%+v", exit)
	}
	if err := syscall.Kill(sub.PID(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the process is still there: %v", err)
	}
}

func TestStopIsSafeToRepeat(t *testing.T) {
	t.Parallel()
	sub := loaded(t, `Deno.serve(() => new Response());`)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(sub.Stop)
		wg.Go(func() { sub.Retire(t.Context(), "early_drop") })
	}
	wg.Wait()
	if sub.State() != Exited {
		t.Error(sub.State())
	}
}

func TestProcessEnds(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	for name, c := range map[string]struct {
		source string
		code   int
		tail   string
	}{
		"Deno.exit":         {`Deno.serve(() => Deno.exit(5));`, 5, ""},
		"uncaught":          {`Deno.serve(() => { setTimeout(() => { throw new Error("uncaught one"); }); return new Promise(() => {}); });`, 1, "uncaught one"},
		"rejection":         {`Deno.serve(() => { Promise.reject(new Error("unhandled one")); return new Promise(() => {}); });`, 1, "unhandled one"},
		"memory":            {`Deno.serve(() => { const all = []; for (;;) all.push(new Array(1000).fill(0)); });`, 133, "out of memory"},
		"node:http, thrown": {`import http from "node:http"; http.createServer(() => { throw new Error("uncaught one"); }).listen();`, 1, "uncaught one"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sub := s.load(t, c.source)
			_, err := sub.try(httptest.NewRequest("GET", "/fn", nil))
			if !errors.Is(err, function.ErrWorkerGone) {
				t.Errorf("the request ends in %v", err)
			}
			exit := sub.ended(t)
			if exit.Code != c.code || exit.Asked || !strings.Contains(exit.Tail, c.tail) {
				t.Errorf("%+v", exit)
			}
			if strings.Contains(exit.Tail, "\x1e") {
				t.Errorf("a frame is in the tail: %q", exit.Tail)
			}
		})
	}
}

func TestManyRequestsAtOnce(t *testing.T) {
	t.Parallel()
	sub := loaded(t, `Deno.serve(async (req) => {
		await new Promise((r) => setTimeout(r, Math.random() * 5));
		console.log(req.headers.get("sb-request-id"));
		return new Response(req.headers.get("sb-request-id"));
	});`)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			id := fmt.Sprintf("req-%d", i)
			r := httptest.NewRequest(http.MethodGet, "/fn", nil)
			r.Header.Set("Sb-Request-Id", id)
			rec, err := sub.try(r)
			if err != nil || rec.Body.String() != id {
				t.Errorf("%s: %v %q", id, err, rec.Body)
			}
		})
	}
	wg.Wait()
	eventually(t, "all logs", func() bool { return len(sub.logs.all()) == 100 })
	for _, r := range sub.logs.all() {
		if r.Raw || r.RequestID != r.Text {
			t.Errorf("%+v", r)
		}
	}
}
