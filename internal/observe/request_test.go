package observe

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"
)

// The line of a request is written by its own code, which must not come to
// differ from what other handlers get.
func TestLineOfARequestHasItsAttributes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	text := func(some string) string {
		if r.IntN(3) == 0 {
			return ""
		}
		return some
	}
	for range 5000 {
		req := &Request{
			RequestID: text("r"), ExecutionID: text("e"), Slug: text("hello"), Method: "GET", Path: text("/a\"\x01\xff"),
			Status: r.IntN(600), Duration: time.Duration(r.Int64N(int64(10 * time.Second))),
			Queued: time.Duration(r.Int64N(int64(200 * time.Microsecond))), Bytes: r.Int64N(1e12),
			ClientIP: text("10.0.0.1"), TraceID: text("t"), ErrorCode: text("NOT_FOUND"),
		}
		if r.IntN(2) == 0 {
			req.Duration = time.Duration(r.IntN(200)) * 50 * time.Microsecond // where it is rounded
		}
		if r.IntN(3) == 0 {
			req.Err = errors.New("went \"away\"\n")
		}
		var want []byte
		for _, a := range req.attrs(nil) {
			want = appendAttr(want, a)
		}
		if got := req.appendJSON(nil); string(got) != string(want) {
			t.Fatalf("%+v:\n got %s\nwant %s", req, got, want)
		}
		at := time.UnixMilli(r.Int64N(4e12)).Add(time.Duration(r.IntN(1e6)))
		if got, want := string(appendTime(nil, at)), at.UTC().Format(jsonTime); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
}
