package worker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/selvedge-dev/selvedge/internal/confine"
	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/upstream"
)

func TestMain(m *testing.M) {
	if os.Getenv(orphanEnv) != "" {
		orphanHelper()
	}
	if filepath.Base(os.Args[0]) == oddDeno {
		beDeno()
	}
	goleak.VerifyTestMain(m)
}

// soon bounds every wait of a test for something that must happen.
const soon = 15 * time.Second

// boot is how long functions of tests may take to load: the machine may be
// busy with other tests.
const boot = 10 * time.Second

// A stand is a host with a folder for modules.
type stand struct {
	*Host
	modules int32
}

func newStand(t *testing.T) *stand {
	t.Helper()
	s := &stand{Host: &Host{Runtime: denotest.Runtime(t), RunDir: denotest.RunDir(t), Confiner: confine.New()}}
	if s.Confiner.On(confine.OwnUser) { // as a server that runs as root does
		s.Runtime.Binary = denotest.OpenBinary(t)
		denotest.Open(t, s.Runtime.BundleDir)
		s.ownUsers(t)
	}
	return s
}

// ownUsers gives workers users of their own.
func (s *stand) ownUsers(t *testing.T) {
	t.Helper()
	if err := s.OwnUsers(NewUsers(firstUser, lastUser)); err != nil {
		t.Fatal(err)
	}
	for _, l := range s.Confiner.Layers() {
		if l.Name == confine.OwnUser && !l.On {
			t.Fatalf("workers have no users of their own: %s", l.Detail)
		}
	}
}

const firstUser, lastUser = 1_899_000_000, 1_899_065_535

// module writes source where workers may read it.
func (s *stand) module(t *testing.T, source string) string {
	t.Helper()
	path := filepath.Join(s.Runtime.BundleDir, fmt.Sprintf("m%d.js", atomic.AddInt32(&s.modules, 1)))
	if err := os.WriteFile(path, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// start returns an idle worker that the test's end stops.
func (s *stand) start(t *testing.T) *Worker {
	t.Helper()
	w, err := s.Start(t.Context(), deno.Profile{MemoryMB: 256})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	return w
}

// A subject is a worker under test with what it logged.
type subject struct {
	*Worker
	ready deno.Ready
	logs  *logs
}

// tryLoad starts a worker and makes it the function that source is.
func (s *stand) tryLoad(t *testing.T, source string, change ...func(*Assignment)) (*subject, error) {
	t.Helper()
	sub := &subject{Worker: s.start(t), logs: &logs{}}
	a := Assignment{Slug: "fn", Module: s.module(t, source), Boot: boot, Log: sub.logs.add}
	for _, c := range change {
		c(&a)
	}
	var err error
	sub.ready, err = sub.Load(t.Context(), a)
	return sub, err
}

func (s *stand) load(t *testing.T, source string, change ...func(*Assignment)) *subject {
	t.Helper()
	sub, err := s.tryLoad(t, source, change...)
	if err != nil {
		var be *function.BootError
		if errors.As(err, &be) {
			t.Fatalf("%v\n%s", be, be.Detail)
		}
		t.Fatal(err)
	}
	return sub
}

// loaded is load on a host of its own.
func loaded(t *testing.T, source string, change ...func(*Assignment)) *subject {
	t.Helper()
	return newStand(t).load(t, source, change...)
}

// do sends one request and returns the answer.
func (s *subject) do(t *testing.T, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	rec, err := s.try(r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	return rec
}

func (s *subject) try(r *http.Request) (*httptest.ResponseRecorder, error) {
	rec := httptest.NewRecorder()
	_, err := s.Upstream().Forward(rec, r, upstream.Options{
		Path: r.URL.RequestURI(), Absolute: s.Absolute(), Scheme: "https", Host: "fn.example", FirstByte: soon,
	})
	return rec, err
}

// get requests path with a request id and returns the answer's body.
func (s *subject) get(t *testing.T, path, requestID string) string {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if requestID != "" {
		r.Header.Set("Sb-Request-Id", requestID)
	}
	return s.do(t, r).Body.String()
}

// logs collects records.
type logs struct {
	mu      sync.Mutex
	records []deno.Record
}

func (l *logs) add(r deno.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, r)
}

func (l *logs) all() []deno.Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]deno.Record(nil), l.records...)
}

// find waits for the record with text in it.
func (l *logs) find(t *testing.T, text string) deno.Record {
	t.Helper()
	var found deno.Record
	eventually(t, "a log record with "+text, func() bool {
		for _, r := range l.all() {
			if strings.Contains(r.Text, text) {
				found = r
				return true
			}
		}
		return false
	})
	return found
}

// eventually waits until ok is true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(soon); ; time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("waited %s in vain for %s", soon, what)
		}
	}
}

// ended waits for the end of the process.
func (s *subject) ended(t *testing.T) Exit {
	t.Helper()
	select {
	case <-s.Done():
	case <-time.After(soon):
		t.Fatal("the process does not end")
	}
	return s.Exit()
}

// within returns a context that ends after d.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}
