package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// prestartMemory measures what a process costs that waits for a function.
func prestartMemory(ctx context.Context, l *lab) ([]Row, error) {
	const processes = 10
	row := Row{
		Name: "prestart-pss", Unit: "MB", Floor: 16, Aim: 12,
		What: "memory (PSS) of 10 idle pre-started workers, divided by 10",
	}
	if err := canMeasureMemory(); err != nil {
		row.Skipped = err.Error()
		return []Row{row}, nil
	}
	functions, err := l.project("memory", 1, func(i int) string {
		source, _ := hello(i)
		return source
	})
	if err != nil {
		return nil, err
	}
	var each Series
	for range l.samples(20) {
		total, err := func() (total float64, err error) {
			s, err := l.start(ctx, "serve", functions, "--prestart", strconv.Itoa(processes))
			if err != nil {
				return 0, err
			}
			defer func() { err = errors.Join(err, s.stop()) }()
			s.prestarted = processes
			if err := s.refilled(ctx); err != nil {
				return 0, err
			}
			if err := sleep(ctx, time.Second); err != nil {
				return 0, err
			}
			total, n, err := childrenPSS(s.pid())
			if err == nil && n != processes {
				err = fmt.Errorf("there are %d processes instead of %d", n, processes)
			}
			return total, err
		}()
		if err != nil {
			return nil, err
		}
		each = append(each, total/processes)
	}
	row.absolute(each)
	return []Row{row}, nil
}

// thousand measures how a server starts that has many functions.
func thousand(ctx context.Context, l *lab) ([]Row, error) {
	const n = 1000
	functions, err := l.project("thousand", n, func(i int) string {
		source, _ := hello(i)
		return source
	})
	if err != nil {
		return nil, err
	}
	for i := range n { // as a function made by the Supabase CLI looks
		file := filepath.Join(functions, slug("thousand", i), "deno.json")
		if err := os.WriteFile(file, []byte("{\n  \"imports\": {}\n}\n"), 0o644); err != nil {
			return nil, err
		}
	}
	memory := canMeasureMemory()
	var ready, gateway, ahead Series
	for range l.samples(20) {
		err := func() (err error) {
			s, err := l.start(ctx, "serve", functions)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.stop()) }()
			if _, err := get(ctx, s.addr, "/health", `{"message":"ok"}`); err != nil {
				return err
			}
			ready.add(time.Since(s.started))
			if m, err := s.metrics(ctx); err != nil || m["functions"] != n {
				return errors.Join(err, fmt.Errorf("the server has %d functions instead of %d", m["functions"], n))
			}
			if memory != nil {
				return nil
			}
			if err := s.waitPrestarted(ctx); err != nil {
				return err
			}
			if err := sleep(ctx, 500*time.Millisecond); err != nil {
				return err
			}
			own, err := pss(s.pid())
			if err != nil {
				return err
			}
			others, _, err := childrenPSS(s.pid())
			gateway, ahead = append(gateway, own), append(ahead, others)
			return err
		}()
		if err != nil {
			return nil, err
		}
	}
	start := Row{
		Name: "thousand-start", Unit: "ms", Floor: 3000, Aim: 1000,
		What: "a server with 1,000 functions on disk: from the start of the process to /health answering 200",
	}
	start.absolute(ready)
	mem := Row{
		Name: "thousand-memory", Unit: "MB", Floor: 120, Aim: 60,
		What: "memory (PSS) of that server's own process, its pre-started Deno processes not included",
	}
	if memory != nil {
		mem.Skipped = memory.Error()
		return []Row{start, mem}, nil
	}
	mem.absolute(gateway)
	mem.Notes = []string{"the pre-started Deno processes together: " + ahead.text("MB")}
	return []Row{start, mem}, nil
}
