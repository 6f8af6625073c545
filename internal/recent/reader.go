package recent

import (
	"bytes"
	"cmp"
	"context"
	"log/slog"
	"math"
	"slices"
	"time"
)

// followEvery is how long a reader that follows lets lines gather. The longer
// it is the more of them a busy function overwrites meanwhile.
const followEvery = 10 * time.Millisecond

// A Query chooses lines; the zero value chooses all.
type Query struct {
	// Functions are slugs, "" among them for the server itself; none is all.
	Functions []string
	// Since leaves out what is older.
	Since time.Time
	// Level leaves out what is below it; nil is none.
	Level slog.Leveler
	// RequestID leaves out what belongs to no or another request.
	RequestID string
	// Last is how many lines the first Read returns at most, 0 for all.
	Last int
}

// A Reader reads the lines of a query. It is for one goroutine.
type Reader struct {
	log     *Log
	query   Query
	request []byte // what the lines of the request have
	began   bool
	cursors map[*ring]uint64
	changed chan struct{}
	stop    func()
}

// Read begins with the oldest lines there are. The reader must be closed.
func (l *Log) Read(q Query) *Reader {
	r := &Reader{log: l, query: q, cursors: map[*ring]uint64{}}
	if q.RequestID != "" {
		// In the text of a function a quote has a backslash before it.
		r.request = []byte(`"request_id":"` + q.RequestID + `"`)
	}
	r.changed, r.stop = l.watch()
	return r
}

// Close ends the reading.
func (r *Reader) Close() { r.stop() }

// Wait returns when there may be new lines, or with ctx's error.
func (r *Reader) Wait(ctx context.Context) error {
	select {
	case <-r.changed:
	case <-ctx.Done():
		return ctx.Err()
	}
	timer := time.NewTimer(followEvery)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type found struct {
	seq  uint64
	text []byte
}

// Next returns the lines that came since the last call, in their order, and
// how many the reader was too late for. Those count whatever the query's
// level and request: nobody knows any more.
func (r *Reader) Next() (lines [][]byte, lost uint64) {
	upTo := r.log.seq.Load()
	since := int64(0)
	if !r.query.Since.IsZero() {
		since = r.query.Since.UnixNano()
	}
	least := int32(math.MinInt32)
	if r.query.Level != nil {
		least = int32(r.query.Level.Level())
	}
	var all []found
	cursors := make(map[*ring]uint64, len(r.cursors))
	for _, ring := range r.rings() {
		next, gone := ring.read(r.cursors[ring], upTo, func(h head, line func() []byte) {
			if h.at < since || h.level < least {
				return
			}
			text := line()
			if r.request != nil && !bytes.Contains(text, r.request) {
				return
			}
			all = append(all, found{h.seq, text})
		})
		cursors[ring] = next
		lost += gone
	}
	r.cursors = cursors
	slices.SortFunc(all, func(a, b found) int { return cmp.Compare(a.seq, b.seq) })
	if !r.began {
		r.began, lost = true, 0 // nobody expects what is from before
		if n := len(all) - r.query.Last; r.query.Last > 0 && n > 0 {
			all = all[n:]
		}
	}
	lines = make([][]byte, len(all))
	for i, f := range all {
		lines[i] = f.text
	}
	return lines, lost
}

// rings are those of the functions of the query.
func (r *Reader) rings() []*ring {
	r.log.mu.RLock()
	defer r.log.mu.RUnlock()
	var all []*ring
	for slug, h := range r.log.histories {
		if len(r.query.Functions) == 0 || slices.Contains(r.query.Functions, slug) {
			all = append(all, &h.requests, &h.rest)
		}
	}
	return all
}
