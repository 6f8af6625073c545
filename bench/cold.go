package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// starts is how many cold starts a median is made of.
const starts = 25

// coldHello compares the first call of a function with spawning Deno for it.
func coldHello(ctx context.Context, l *lab) ([]Row, error) {
	return l.coldAgainstDeno(ctx, "hello", hello, Row{
		Name: "cold-hello", Unit: "ratio", Floor: 0.25, Aim: 0.12,
		What: "first call of a function that was never started, hello, gateway included, against spawning `deno run` of it to its first answer",
	})
}

// coldSupabase does the same for a function with a package.
func coldSupabase(ctx context.Context, l *lab) ([]Row, error) {
	return l.coldAgainstDeno(ctx, "supabase", supabase, Row{
		Name: "cold-supabase", Unit: "ratio", Floor: 0.30, Aim: 0.15,
		What: "the same for a function that imports npm:@supabase/supabase-js: bundled ahead of time here, from a warm npm cache for `deno run`",
	})
}

// A program is the source of a function and what it answers. Those of different
// numbers differ, so that they share no bundle and no cache.
type program func(i int) (source, answer string)

func hello(i int) (source, answer string) {
	return fmt.Sprintf("const id = %d;\n\nDeno.serve(() => new Response(`hello ${id}`));\n", i), fmt.Sprintf("hello %d", i)
}

// helloExported is hello in the form that @valtown/deno-http-worker takes.
func helloExported(i int) (source, answer string) {
	return fmt.Sprintf("const id = %d;\n\nexport default { fetch: () => new Response(`hello ${id}`) };\n", i), fmt.Sprintf("hello %d", i)
}

// supabase makes a client for each request, as functions that act with their
// caller's rights do. Nothing leaves the machine.
func supabase(i int) (source, answer string) {
	return fmt.Sprintf(`import { createClient } from "npm:@supabase/supabase-js@2.119.1";

Deno.serve((req) => {
  const supabase = createClient("http://localhost:54321", "anon", {
    auth: { persistSession: false, autoRefreshToken: false },
    global: { headers: { Authorization: req.headers.get("Authorization") ?? "" } },
  });
  return new Response(supabase.storage.from("avatars").getPublicUrl("%d.png").data.publicUrl);
});
`, i), fmt.Sprintf("http://localhost:54321/storage/v1/object/public/avatars/%d.png", i)
}

// coldAgainstDeno measures our cold starts and those of `deno run` in turns.
func (l *lab) coldAgainstDeno(ctx context.Context, name string, p program, row Row) ([]Row, error) {
	source, answer := p(-1)
	script, err := l.script(name+".ts", source)
	if err != nil {
		return nil, err
	}
	if err := l.warmDenoRun(ctx, script, answer); err != nil {
		return nil, err
	}
	ours, peers, notes, err := l.cold(ctx, name, p, func() (time.Duration, error) {
		return l.denoRun(ctx, script, answer)
	})
	if err != nil {
		return nil, err
	}
	row.compare(ours, peers[0])
	row.Notes = notes
	return []Row{row}, nil
}

// cold calls functions that were never started, one after the other, with a
// sample of each peer in between. The pre-started processes are there again
// before anything is measured.
func (l *lab) cold(ctx context.Context, name string, p program, peers ...func() (time.Duration, error)) (ours Series, theirs []Series, notes []string, err error) {
	n := l.samples(starts)
	functions, err := l.project(name, n, func(i int) string {
		source, _ := p(i)
		return source
	})
	if err != nil {
		return nil, nil, nil, err
	}
	if err := l.bundle(ctx, functions); err != nil {
		return nil, nil, nil, err
	}
	s, err := l.start(ctx, "serve", functions)
	if err != nil {
		return nil, nil, nil, err
	}
	var again Series
	theirs = make([]Series, len(peers))
	err = func() error {
		if err := s.waitPrestarted(ctx); err != nil {
			return err
		}
		for i := range n {
			_, answer := p(i)
			took, err := s.call(ctx, slug(name, i), answer)
			if err != nil {
				return err
			}
			ours.add(took)
			if err := s.refilled(ctx); err != nil {
				return err
			}
			for j, peer := range peers {
				took, err := peer()
				if err != nil {
					return err
				}
				theirs[j].add(took)
			}
			if took, err = s.call(ctx, slug(name, i), answer); err != nil {
				return err
			}
			again.add(took)
			if err := s.refilled(ctx); err != nil {
				return err
			}
		}
		return nil
	}()
	if err = errors.Join(err, s.stop()); err != nil {
		return nil, nil, nil, err
	}
	phases, err := s.phases()
	if err != nil {
		return nil, nil, nil, err
	}
	var queue, bundle, spawn, load, request, around Series
	for i := range n {
		ph, ok := phases[slug(name, i)]
		if !ok {
			return nil, nil, nil, fmt.Errorf("the log says nothing about %s", slug(name, i))
		}
		queue, bundle, spawn, load = append(queue, ph.queue), append(bundle, ph.bundle), append(spawn, ph.spawn), append(load, ph.load)
		request = append(request, ph.request-ph.queue-ph.bundle-ph.spawn-ph.load)
		around = append(around, ours[i]-ph.request)
	}
	return ours, theirs, []string{
		fmt.Sprintf("of our first call, by the log: queue %.1f, find the bundle %.1f, spawn %.1f, load %.1f, first request in the worker %.1f, connection and gateway around it %.1f ms",
			queue.median(), bundle.median(), spawn.median(), load.median(), request.median(), around.median()),
		fmt.Sprintf("second call of the same function: %s", again.text("ms")),
	}, nil
}

// coldValtown compares with a library that spawns Deno processes for Node.
func coldValtown(ctx context.Context, l *lab) ([]Row, error) {
	row := Row{
		Name: "cold-valtown", Unit: "ratio", Floor: 0.5, Aim: 0.2,
		What: "first call of a function that was never started, hello, gateway included, against a new worker of @valtown/deno-http-worker to its first answer",
	}
	fast := Row{
		Name: "cold-valtown-fast", Unit: "ratio",
		What: "the same with the library's undocumented options on: cacheBootstrap, fastReady, skipWarm",
	}
	if missing("node", "npm") != "" {
		row.Skipped = "install Node.js with npm, which fetches the library"
		fast.Skipped = row.Skipped
		return []Row{row, fast}, nil
	}
	source, answer := helloExported(-1)
	script, err := l.script("valtown.ts", source)
	if err != nil {
		return nil, err
	}
	v, err := l.newValtown(ctx, script, answer)
	if err != nil {
		return nil, err
	}
	variant := func(name string) func() (time.Duration, error) {
		return func() (time.Duration, error) { return v.sample(name) }
	}
	var ours Series
	var peers []Series
	var notes []string
	err = func() error {
		for range 3 {
			for _, name := range []string{"default", "fast"} {
				if _, err := v.sample(name); err != nil {
					return err
				}
			}
		}
		var err error
		ours, peers, notes, err = l.cold(ctx, "exported", helloExported, variant("default"), variant("fast"))
		return err
	}()
	if err = errors.Join(err, v.stop()); err != nil {
		return nil, err
	}
	row.compare(ours, peers[0])
	row.Notes = notes
	fast.compare(ours, peers[1])
	return []Row{row, fast}, nil
}
