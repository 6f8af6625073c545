package deploy

import (
	"context"
	"strings"
	"sync"
)

// A heard reporter keeps what it was told.
type heard struct {
	mu    sync.Mutex
	lines []string
}

func (h *heard) add(kind, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, kind+" "+text)
}

func (h *heard) Begin(step string) { h.add("begin", step) }
func (h *heard) Now(text string)   { h.add("now", text) }
func (h *heard) Note(text string)  { h.add("note", text) }
func (h *heard) Warn(text string)  { h.add("warn", text) }
func (h *heard) End(result string) { h.add("end", result) }

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.lines, "\n")
}

// asked answers every question alike.
type asked struct{ err error }

func (a asked) Confirm(context.Context, string) error      { return a.err }
func (a asked) Type(context.Context, string, string) error { return a.err }

// fakeImages make an image of which nothing but the digest is there.
type fakeImages struct {
	f      *fakeAWS
	digest string
	pushed []string
	onPush func()
}

func (i *fakeImages) Make(ctx context.Context, _ string) (Image, error) { return i, ctx.Err() }
func (i *fakeImages) Digest() string                                    { return i.digest }
func (i *fakeImages) Describe() string                                  { return "an image" }
func (i *fakeImages) Close()                                            {}

func (i *fakeImages) Push(ctx context.Context, to Destination, tag string, _ func(done, total int64)) error {
	if i.onPush != nil {
		i.onPush()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	i.f.mu.Lock()
	defer i.f.mu.Unlock()
	i.pushed = append(i.pushed, to.Host+"/"+to.Repository+":"+tag)
	i.f.images[i.digest] = true
	return nil
}
