package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// fetchTimeout bounds one fetch, and so the wait of a request that comes
	// while no key is known.
	fetchTimeout = 5 * time.Second
	// waitKnown bounds the wait of a request whose key is not among the known
	// ones. A request whose key is known never waits.
	waitKnown = 1 * time.Second
	// refreshPause is the least time between two fetches.
	refreshPause = 1 * time.Minute
	// firstPause is the same as long as there has not been a first key set.
	firstPause = 5 * time.Second
	// maxAge is when a key set is fetched again although its keys suffice, so
	// that withdrawn keys go.
	maxAge = 10 * time.Minute
	// maxKeySet bounds a key set, in bytes.
	maxKeySet = 512 << 10
)

// A remote is a key set behind a URL. It is fetched by whoever needs it, one
// fetch at a time; a bad fetch changes nothing.
type remote struct {
	url    string
	client *http.Client
	log    *slog.Logger
	born   time.Time // the times below count from here
	set    atomic.Pointer[keySet]
	// due is when touch asks for a refresh.
	due atomic.Int64

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	flight   chan struct{} // closed when the fetch under way has ended
	earliest time.Duration // of the next fetch
	// What is below belongs to the fetch under way.
	loaded  bool
	body    []byte // that set was parsed from
	emptied bool   // the last good fetch had no keys, which was not believed
}

func newRemote(url string, transport http.RoundTripper, log *slog.Logger) *remote {
	if transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.DisableKeepAlives = true // the next fetch is minutes away
		transport = t
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	r := &remote{url: url, log: log, born: time.Now(), client: &http.Client{
		Transport: transport,
		// Whoever can redirect the fetch can choose the keys.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.set.Store(&keySet{})
	return r
}

// close ends a fetch under way and waits for it. There is none afterwards.
func (r *remote) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.wg.Wait()
}

func (r *remote) current() *keySet { return r.set.Load() }

func (r *remote) find(ctx context.Context, algorithm, kid string) ([]key, *keySet) {
	set := r.set.Load()
	found := set.find(algorithm, kid)
	if len(found) > 0 || kid == "" && len(set.keys) > 0 {
		r.touch()
		return found, set
	}
	patience := waitKnown
	if len(set.keys) == 0 {
		patience = fetchTimeout
	}
	flight := r.refresh()
	if flight == nil {
		return nil, set
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-flight:
	case <-timer.C:
	case <-ctx.Done():
	}
	set = r.set.Load()
	return set.find(algorithm, kid), set
}

// touch refreshes an old key set behind the back of whoever uses it.
func (r *remote) touch() {
	if int64(time.Since(r.born)) >= r.due.Load() {
		r.refresh()
	}
}

// refresh returns the fetch under way, or starts one; nil where it is too soon
// for the next.
func (r *remote) refresh() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Since(r.born)
	switch {
	case r.flight != nil:
		return r.flight
	case r.closed || now < r.earliest:
		return nil
	}
	flight := make(chan struct{})
	r.flight = flight
	r.earliest = now + refreshPause
	r.due.Store(int64(r.earliest))
	r.wg.Go(func() {
		err := r.fetch()
		if err != nil && r.ctx.Err() == nil {
			r.log.Warn("fetching the signing keys failed; those known stay in force", "url", r.url, "err", err)
		}
		r.mu.Lock()
		switch {
		case err == nil:
			r.due.Store(int64(time.Since(r.born) + maxAge))
		case !r.loaded:
			r.earliest = now + firstPause
			r.due.Store(int64(r.earliest))
		}
		r.flight = nil
		r.mu.Unlock()
		close(flight)
	})
	return flight
}

// errEmptied is a key set without keys where there were some. Tokens of all
// users hang on it, so it must be said twice.
var errEmptied = errors.New("it has no keys any more; they are dropped if the next answer says so too")

// fetch replaces the key set by the one at the URL.
func (r *remote) fetch() error {
	body, err := r.get()
	if err != nil {
		return err
	}
	if r.loaded && bytes.Equal(body, r.body) {
		r.emptied = false
		return nil
	}
	set, err := parseKeySet(body)
	if err != nil {
		return err
	}
	if len(set.keys) == 0 && len(r.set.Load().keys) > 0 && !r.emptied {
		r.emptied = true
		return errEmptied
	}
	r.emptied = false
	r.loaded, r.body = true, body
	r.set.Store(set)
	r.log.Debug("fetched the signing keys", "url", r.url, "keys", len(set.keys), "ignored", set.ignored)
	return nil
}

func (r *remote) get() ([]byte, error) {
	ctx, cancel := context.WithTimeout(r.ctx, fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	res, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it was answered with %s", res.Status)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxKeySet+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxKeySet {
		return nil, fmt.Errorf("it has more than %d bytes", maxKeySet)
	}
	return body, nil
}
