package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// save measures from a write of a function's source to the first answer of the
// new code, as a developer sees it who reloads at once.
func save(ctx context.Context, l *lab) ([]Row, error) {
	functions, err := l.project("save", 1, func(i int) string {
		source, _ := hello(i)
		return source
	})
	if err != nil {
		return nil, err
	}
	s, err := l.start(ctx, "dev", functions)
	if err != nil {
		return nil, err
	}
	var took, held Series
	var requests int
	err = func() error {
		if err := s.waitPrestarted(ctx); err != nil {
			return err
		}
		_, answer := hello(0)
		if _, err := s.call(ctx, slug("save", 0), answer); err != nil {
			return err
		}
		c, err := dial(ctx, s.addr)
		if err != nil {
			return err
		}
		defer c.Close()
		file := filepath.Join(functions, slug("save", 0), "index.ts")
		for i := 1; i <= l.samples(starts); i++ {
			// Not in step with anything that the server does at intervals.
			if err := sleep(ctx, 400*time.Millisecond+rand.N(300*time.Millisecond)); err != nil {
				return err
			}
			source, want := hello(i)
			_, old := hello(i - 1)
			began := time.Now()
			if err := os.WriteFile(file, []byte(source), 0o644); err != nil {
				return err
			}
			for last := began; ; last = time.Now() {
				body, err := c.get(ctx, "/functions/v1/"+slug("save", 0))
				if err != nil {
					return fmt.Errorf("request after a save: %w\n%s", err, s.stderr.String())
				}
				requests++
				if string(body) == want {
					took.add(time.Since(began))
					held.add(time.Since(last))
					break
				}
				if string(body) != old {
					return fmt.Errorf("the answer after a save is %q, neither %q nor %q", body, old, want)
				}
				if time.Since(began) > startPatience {
					return fmt.Errorf("the new code does not answer %s after the save", startPatience)
				}
			}
		}
		return nil
	}()
	if err = errors.Join(err, s.stop()); err != nil {
		return nil, err
	}
	row := Row{
		Name: "save-to-answer", Unit: "ms", Floor: 200, Aim: 100, Ours: took,
		What: "`selvedge dev`: from writing hello's source to the first answer of the new code, with requests back to back",
		Notes: []string{
			fmt.Sprintf("the request that got the new answer waited %s for it; %d requests in all, none failed", held.text("ms"), requests),
		},
	}
	row.absolute(took)
	return []Row{row}, nil
}
