package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
)

const (
	// bigBody is the size of a body, of which so many are sent in each
	// direction, each through a server of its own.
	bigBody   = 1_000_000_000
	bigBodies = 5
	// warmBody goes before, so that nothing is counted that any body costs.
	warmBody = 1_000_000
)

// bigSource counts what it is sent, or sends as much as it is asked for.
const bigSource = `const part = new Uint8Array(64 * 1024);

Deno.serve(async (req) => {
  if (req.method === "POST") {
    let bytes = 0;
    for await (const part of req.body!) bytes += part.byteLength;
    return new Response(String(bytes));
  }
  let left = Number(new URL(req.url).searchParams.get("bytes"));
  return new Response(new ReadableStream({
    pull(to) {
      const n = Math.min(left, part.byteLength);
      if (n > 0) to.enqueue(part.subarray(0, n));
      if ((left -= n) === 0) to.close();
    },
  }));
});
`

// bodies measures how much memory the gateway takes while a large body passes.
func bodies(ctx context.Context, l *lab) ([]Row, error) {
	up := Row{
		Name: "gateway-upload", Unit: "MB", Floor: 16, Aim: 4,
		What: "growth of the gateway's own memory (PSS), at its peak, while a function reads a body of 1 GB",
	}
	down := Row{
		Name: "gateway-download", Unit: "MB", Floor: 16, Aim: 4,
		What: "the same while a function sends a body of 1 GB",
	}
	if err := canMeasureMemory(); err != nil {
		up.Skipped, down.Skipped = err.Error(), err.Error()
		return []Row{up, down}, nil
	}
	functions, err := l.project("bodies", 1, func(int) string { return bigSource })
	if err != nil {
		return nil, err
	}
	if err := l.bundle(ctx, functions); err != nil {
		return nil, err
	}
	size := bigBody
	if l.quick {
		size /= 10
	}
	for range l.samples(bigBodies) {
		for row, transfer := range map[*Row]func(context.Context, string, string, int) error{&up: upload, &down: download} {
			grown, took, err := l.bodyThrough(ctx, functions, size, transfer)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", row.Name, err)
			}
			row.Ours = append(row.Ours, grown)
			row.Peer = append(row.Peer, float64(size)/1e6/took.Seconds())
		}
	}
	for _, row := range []*Row{&up, &down} {
		row.Notes = []string{"speed: " + row.Peer.text("MB/s")}
		row.Peer = nil
		row.absolute(row.Ours)
	}
	return []Row{up, down}, nil
}

// bodyThrough starts a server, and returns by how many MB it grew while a body
// passed.
func (l *lab) bodyThrough(ctx context.Context, functions string, size int, transfer func(ctx context.Context, addr, path string, size int) error) (grown float64, took time.Duration, err error) {
	s, err := l.start(ctx, "serve", functions, "--max-body", "2GB")
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	path := "/functions/v1/" + slug("bodies", 0)
	if err := transfer(ctx, s.addr, path, warmBody); err != nil {
		return 0, 0, err
	}
	if err := sleep(ctx, 500*time.Millisecond); err != nil {
		return 0, 0, err
	}
	before, err := pss(s.pid())
	if err != nil {
		return 0, 0, err
	}
	watch := watchPSS(s.pid())
	began := time.Now()
	err = transfer(ctx, s.addr, path, size)
	took = time.Since(began)
	seen, watchErr := watch()
	if err = errors.Join(err, watchErr); err != nil {
		return 0, 0, fmt.Errorf("%w\n%s", err, s.stderr.String())
	}
	return slices.Max(seen) - before, took, nil
}

// watchPSS looks at a process's memory again and again. The function it returns
// ends that and has the samples, one at least.
func watchPSS(pid int) (stop func() (Series, error)) {
	var seen Series
	var err error
	ended, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		every := time.NewTicker(20 * time.Millisecond)
		defer every.Stop()
		for last := false; ; {
			var now float64
			if now, err = pss(pid); err != nil {
				return
			}
			seen = append(seen, now)
			if last {
				return
			}
			select {
			case <-every.C:
			case <-ended:
				last = true
			}
		}
	}()
	return func() (Series, error) {
		close(ended)
		<-over
		return seen, err
	}
}

// upload sends a body whose length is declared.
func upload(ctx context.Context, addr, path string, size int) error {
	c, err := dial(ctx, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.transfer(ctx, func() error {
		if _, err := io.WriteString(c.raw, requestHead("POST", path, "Content-Length: "+strconv.Itoa(size))); err != nil {
			return err
		}
		part := make([]byte, 64<<10)
		for left := size; left > 0; {
			n, err := c.raw.Write(part[:min(left, len(part))])
			if err != nil {
				return err
			}
			left -= n
		}
		res, err := http.ReadResponse(c.reader, nil)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		said, err := io.ReadAll(res.Body)
		if err == nil && string(said) != strconv.Itoa(size) {
			err = fmt.Errorf("the function says %q of %d bytes, status %d", said, size, res.StatusCode)
		}
		return err
	})
}

// download takes a body whose length is not declared.
func download(ctx context.Context, addr, path string, size int) error {
	c, err := dial(ctx, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.transfer(ctx, func() error {
		if _, err := io.WriteString(c.raw, requestHead("GET", path+"?bytes="+strconv.Itoa(size))); err != nil {
			return err
		}
		res, err := http.ReadResponse(c.reader, nil)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		n, err := io.Copy(io.Discard, res.Body)
		if err == nil && n != int64(size) {
			err = fmt.Errorf("%d bytes came of %d, status %d", n, size, res.StatusCode)
		}
		return err
	})
}

// transfer runs do, which ctx or its taking too long breaks off.
func (c *conn) transfer(ctx context.Context, do func() error) error {
	if err := c.raw.SetDeadline(time.Now().Add(2 * answerPatience)); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	return do()
}
