package worker

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
)

func TestSignsOfLife(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	t.Run("answer a ping", func(t *testing.T) {
		t.Parallel()
		sub := s.load(t, `Deno.serve(() => new Response());`)
		before := sub.Signs()
		sub.Ping()
		eventually(t, "a sign of life", func() bool { return sub.Signs() > before })
	})
	t.Run("come while one handler follows the other", func(t *testing.T) {
		t.Parallel()
		sub := s.load(t, `Deno.serve(() => { for (const end = Date.now() + 60; Date.now() < end;); return new Response(); });`)
		before := sub.Signs()
		done := make(chan error, 5)
		for range cap(done) {
			go func() {
				_, err := sub.try(httptest.NewRequest("GET", "/fn", nil))
				done <- err
			}()
		}
		for range cap(done) {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		eventually(t, "four signs", func() bool { return sub.Signs() >= before+4 })
	})
	t.Run("do not come from an endless loop", func(t *testing.T) {
		t.Parallel()
		sub := s.load(t, `Deno.serve(() => { console.log("looping"); for (;;); });`)
		go sub.try(httptest.NewRequest("GET", "/fn", nil))
		sub.logs.find(t, "looping")
		before := sub.Signs()
		sub.Ping()
		time.Sleep(300 * time.Millisecond)
		if n := sub.Signs(); n != before {
			t.Errorf("%d signs came", n-before)
		}
	})
}

func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	t.Run("while it serves", func(t *testing.T) {
		t.Parallel()
		sub := s.load(t, `Deno.serve(() => { const all = []; for (;;) all.push(new Array(1000).fill(all.length)); });`)
		if _, err := sub.try(httptest.NewRequest("GET", "/fn", nil)); err == nil {
			t.Error("it answered")
		}
		if e := sub.ended(t); !e.OutOfMemory || e.Asked || e.Code != 133 {
			t.Errorf("%+v", e)
		}
	})
	t.Run("is not what Deno.exit says", func(t *testing.T) {
		t.Parallel()
		sub := s.load(t, `Deno.serve(() => { Deno.stderr.writeSync(new TextEncoder().encode("out of memory\n")); Deno.exit(3); });`)
		sub.try(httptest.NewRequest("GET", "/fn", nil))
		if e := sub.ended(t); e.OutOfMemory || e.Code != 3 {
			t.Errorf("%+v", e)
		}
	})
}

func TestUnloadIsBounded(t *testing.T) {
	t.Parallel()
	sub := loaded(t, `addEventListener("beforeunload", () => { for (;;); }); Deno.serve(() => new Response());`)
	began := time.Now()
	sub.Retire(context.Background(), "early_drop")
	if took := time.Since(began); took < unloadPatience || took > unloadPatience+soon {
		t.Errorf("it took %s", took)
	}
}

func TestAbortTellsWhy(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	sub := &subject{Worker: s.start(t), logs: &logs{}}
	failed := make(chan error, 1)
	go func() {
		_, err := sub.Load(t.Context(), Assignment{Slug: "fn", Module: s.module(t, `console.log("loading"); for (;;);`), Boot: boot, Log: sub.logs.add})
		failed <- err
	}()
	sub.logs.find(t, "loading")
	sub.Abort("it was too much")
	if boot, ok := (<-failed).(*function.BootError); !ok || boot.Message != "it was too much" {
		t.Errorf("%v", boot)
	}
}
