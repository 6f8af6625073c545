package pool

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/selvedge-dev/selvedge/internal/bundle"
	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/upstream"
	"github.com/selvedge-dev/selvedge/internal/worker"
)

// soon bounds every wait of a test for something that must happen. It is long
// because the machine may be busy with other tests; nothing waits for its end.
const soon = time.Minute

// A stand is a pool over real workers. The tests that use it do not run in
// parallel: each one checks that it leaves no goroutine.
type stand struct {
	*Pool
	t       testing.TB
	root    string
	builder *plainBuilder
	starter *countingStarter
	seen    *recorder
	set     []*function.Function
	closed  bool
}

func newStand(t testing.TB, change ...func(*Options)) *stand {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, leaks) })
	r := denotest.Runtime(t)
	s := &stand{
		t: t, root: denotest.TempDir(t),
		builder: &plainBuilder{dir: r.BundleDir, built: map[string]string{}},
		starter: &countingStarter{host: &worker.Host{Runtime: r, RunDir: denotest.RunDir(t)}},
		seen:    &recorder{},
	}
	o := Options{
		Builder: s.builder, Starter: s.starter, Observer: s.seen, MemoryMB: 256,
		Env: func(*function.Function, string, string) map[string]string { return nil },
	}
	for _, c := range change {
		c(&o)
	}
	s.Pool = New(o)
	t.Cleanup(func() {
		if s.closed {
			return
		}
		if err := s.Close(within(t, soon)); err != nil {
			t.Error(err)
		}
		if st := s.Stats(); st.Workers+st.Starting+st.InFlight+st.Queued+st.Idle != 0 {
			t.Errorf("the closed pool holds %+v", st)
		}
	})
	return s
}

// write makes or changes a function and returns it. It is served after apply.
func (s *stand) write(slug, source string, change ...func(*function.Function)) *function.Function {
	s.t.Helper()
	dir := filepath.Join(s.root, slug)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
	f := &function.Function{
		Slug: slug, Dir: dir, RealDir: dir, Root: s.root, RealRoot: s.root, Within: []string{dir}, Entrypoint: filepath.Join(dir, "index.js"),
		Limits: function.Defaults().Overlay(function.Limits{Boot: soon}), Policy: function.PerWorker,
	}
	for _, c := range change {
		c(f)
	}
	if err := os.WriteFile(f.Entrypoint, []byte(source), 0o644); err != nil {
		s.t.Fatal(err)
	}
	s.set = slices.DeleteFunc(s.set, func(o *function.Function) bool { return o.Slug == slug })
	s.set = append(s.set, f)
	return f
}

// remove takes a function out. It is served until apply.
func (s *stand) remove(slug string) {
	s.set = slices.DeleteFunc(s.set, func(o *function.Function) bool { return o.Slug == slug })
}

func (s *stand) apply() Change {
	s.t.Helper()
	change, err := s.Apply(function.NewSet(s.set...))
	if err != nil {
		s.t.Fatal(err)
	}
	return change
}

// serve writes and applies a function.
func (s *stand) serve(slug, source string, change ...func(*function.Function)) *function.Function {
	s.t.Helper()
	f := s.write(slug, source, change...)
	s.apply()
	return f
}

// shut closes the pool before the test's end does.
func (s *stand) shut(d time.Duration) error {
	s.t.Helper()
	s.closed = true
	return s.Close(within(s.t, d))
}

// lease acquires a worker.
func (s *stand) lease(slug string) *Lease {
	s.t.Helper()
	l, err := s.Acquire(within(s.t, soon), slug)
	if err != nil {
		s.t.Fatal(describe(err))
	}
	return l
}

// try calls a function as the gateway does, with its one retry.
func (s *stand) try(ctx context.Context, slug string) (string, error) {
	for retried := false; ; retried = true {
		l, err := s.Acquire(ctx, slug)
		if err != nil {
			return "", err
		}
		body, err := ask(ctx, l)
		giveBack(l, err)
		var failure *upstream.Error
		if err == nil || retried || !errors.As(err, &failure) || !failure.Retryable() {
			return body, err
		}
	}
}

func giveBack(l *Lease, err error) {
	if errors.Is(err, function.ErrWorkerGone) {
		l.Suspect()
	}
	l.Release()
}

func (s *stand) get(slug string) string {
	s.t.Helper()
	body, err := s.try(within(s.t, soon), slug)
	if err != nil {
		s.t.Fatal(describe(err))
	}
	return body
}

// ask sends one request to the lease's worker.
func ask(ctx context.Context, l *Lease) (string, error) {
	rec := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(ctx, "GET", "/fn", nil)
	_, err := l.Upstream().Forward(rec, r, upstream.Options{
		Path: "/fn", Absolute: l.Absolute(), Scheme: "http", Host: "fn.example", FirstByte: soon,
	})
	return rec.Body.String(), err
}

// asked sends a request on the lease and tells what comes of it.
func asked(l *Lease) <-chan string {
	answer := make(chan string, 1)
	go func() {
		body, err := ask(context.Background(), l)
		giveBack(l, err)
		if err != nil {
			body = "error: " + err.Error()
		}
		answer <- body
	}()
	return answer
}

// group is the function's, for a look inside.
func (s *stand) group(slug string) *group { return (*s.groups.Load())[slug] }

// settled waits for the counts.
func (s *stand) settled(what string, ok func(Stats) bool) {
	s.t.Helper()
	eventually(s.t, what, func() bool { return ok(s.Stats()) })
}

// plainBuilder makes bundles of functions that are one plain module.
type plainBuilder struct {
	dir string
	// hook, if set, is asked before each build.
	hook func(ctx context.Context, f *function.Function) error
	// packages has bundles said to hold npm packages.
	packages bool

	mu        sync.Mutex
	built     map[string]string // the content last built, by slug
	builds    int
	unbundled int
}

func (b *plainBuilder) setHook(hook func(ctx context.Context, f *function.Function) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hook = hook
}

func (b *plainBuilder) Build(ctx context.Context, f *function.Function) (*bundle.Bundle, error) {
	b.mu.Lock()
	b.builds++
	hook := b.hook
	b.mu.Unlock()
	source, err := os.ReadFile(f.Entrypoint)
	if err != nil {
		return nil, err
	}
	if hook != nil {
		if err := hook(ctx, f); err != nil {
			return nil, err
		}
	}
	return b.make(f, string(source))
}

func (b *plainBuilder) BuildUnbundled(ctx context.Context, f *function.Function) (*bundle.Bundle, error) {
	b.mu.Lock()
	b.unbundled++
	b.mu.Unlock()
	made, err := b.make(f, "globalThis.unbundled = true;\n"+read(f.Entrypoint))
	if err == nil {
		made.Unbundled = deno.Unbundled{CacheDir: filepath.Join(b.dir, "packages"), OwnDir: filepath.Join(b.dir, "own")}
	}
	return made, err
}

func (b *plainBuilder) make(f *function.Function, source string) (*bundle.Bundle, error) {
	sum := sha256.Sum256([]byte(source))
	digest := hex.EncodeToString(sum[:])
	dir := filepath.Join(b.dir, digest[:32])
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	made := &bundle.Bundle{Name: digest[:32], Dir: dir, Module: filepath.Join(dir, "index.js"), Digest: digest, Packages: b.packages}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.built[f.Slug] = read(f.Entrypoint)
	return made, os.WriteFile(made.Module, []byte(source), 0o644)
}

func (b *plainBuilder) Unchanged(f *function.Function) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	source, ok := b.built[f.Slug]
	return ok && source == read(f.Entrypoint)
}

func read(path string) string {
	raw, _ := os.ReadFile(path)
	return string(raw)
}

// countingStarter starts real workers and remembers them.
type countingStarter struct {
	host *worker.Host
	fail error

	mu      sync.Mutex
	failed  int
	started []*worker.Worker
}

func (c *countingStarter) Start(ctx context.Context, p deno.Profile) (*worker.Worker, error) {
	c.mu.Lock()
	err := c.fail
	if err != nil {
		c.failed++
	}
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	w, err := c.host.Start(ctx, p)
	if err == nil {
		c.mu.Lock()
		c.started = append(c.started, w)
		c.mu.Unlock()
	}
	return w, err
}

func (c *countingStarter) setFail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = err
}

func (c *countingStarter) failures() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

func (c *countingStarter) all() []*worker.Worker {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.started)
}

func (c *countingStarter) count() int { return len(c.all()) }

// alive returns the workers whose processes have not ended.
func (c *countingStarter) alive() []*worker.Worker {
	return slices.DeleteFunc(c.all(), func(w *worker.Worker) bool {
		select {
		case <-w.Done():
			return true
		default:
			return false
		}
	})
}

// recorder is an Observer that remembers.
type recorder struct {
	mu       sync.Mutex
	boots    []Boot
	failures []failure
	exits    []Exit
	logs     []string
	onEvent  func() // if set, called at each event but a log
}

type failure struct {
	slug string
	err  error
	next time.Duration
}

func (r *recorder) Log(_, _ string, l deno.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.logs = append(r.logs, l.Text)
}

func (r *recorder) note(add func()) {
	r.mu.Lock()
	add()
	on := r.onEvent
	r.mu.Unlock()
	if on != nil {
		on()
	}
}

func (r *recorder) Boot(b Boot) { r.note(func() { r.boots = append(r.boots, b) }) }
func (r *recorder) Exit(e Exit) { r.note(func() { r.exits = append(r.exits, e) }) }
func (r *recorder) BootFailure(slug string, err error, next time.Duration) {
	r.note(func() { r.failures = append(r.failures, failure{slug, err, next}) })
}

func (r *recorder) allBoots() []Boot {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.boots)
}

func (r *recorder) allFailures() []failure {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.failures)
}

func (r *recorder) allExits() []Exit {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.exits)
}

func (r *recorder) logged(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.logs, func(l string) bool { return strings.Contains(l, text) })
}

// exit waits for the n-th exit, counted from 0.
func (s *stand) exit(n int) Exit {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%d exits", n+1), func() bool { return len(s.seen.allExits()) > n })
	return s.seen.allExits()[n]
}

// eventually waits until ok is true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(soon); ; time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("waited %s in vain for %s", soon, what)
		}
	}
}

// receive waits for an answer.
func receive[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(soon):
		t.Fatal("waited in vain for an answer")
		panic("unreachable")
	}
}

// within returns a context that ends after d.
func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// describe adds the detail of a failed start.
func describe(err error) error {
	var boot *function.BootError
	if errors.As(err, &boot) {
		return fmt.Errorf("%w\n%s", err, boot.Detail)
	}
	return err
}

func limits(change func(*function.Limits)) func(*function.Function) {
	return func(f *function.Function) { change(&f.Limits) }
}

func policy(p function.Policy) func(*function.Function) {
	return func(f *function.Function) { f.Policy = p }
}
