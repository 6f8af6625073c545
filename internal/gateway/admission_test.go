package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/function"
)

// A crowd are requests of several functions that stay open.
type crowd struct {
	h    Handler
	open map[string]int
	all  sync.WaitGroup
	end  chan struct{}
}

func gather(most int) *crowd {
	c := &crowd{open: map[string]int{}, end: make(chan struct{})}
	c.h = Admit(most)(func(w http.ResponseWriter, _ *http.Request, call *Call) {
		call.Err = errOpen
		call.Status = 200
		w.WriteHeader(200)
		<-c.end
	})
	return c
}

var errOpen = errors.New("it is open")

// add sends a request and reports whether it is let in.
func (c *crowd) add(t *testing.T, slug string) bool {
	t.Helper()
	call := &Call{Route: Route{Slug: slug}, values: new([4]string)}
	w := &signalled{ResponseRecorder: httptest.NewRecorder(), answered: make(chan struct{})}
	c.all.Go(func() { c.h(w, httptest.NewRequest("GET", "/"+slug, nil), call) })
	<-w.answered
	if errors.Is(call.Err, errOpen) {
		c.open[slug]++
		return true
	}
	var over *function.OverloadError
	if !errors.As(call.Err, &over) || over.Reason != function.TooManyOpen {
		t.Errorf("refused with %v", call.Err)
	}
	return false
}

func (c *crowd) leave() {
	close(c.end)
	c.all.Wait()
	c.end = make(chan struct{})
	clear(c.open)
}

type signalled struct {
	*httptest.ResponseRecorder
	answered chan struct{}
}

func (s *signalled) WriteHeader(status int) {
	s.ResponseRecorder.WriteHeader(status)
	close(s.answered)
}

func TestAdmitKeepsRoomForOthers(t *testing.T) {
	c := gather(1000)
	fill := func(slug string) {
		for c.add(t, slug) {
		}
	}
	fill("hot")
	if n := c.open["hot"]; n < 790 || n > 802 {
		t.Errorf("one function has %d of 1000", n)
	}
	fill("second")
	fill("third")
	for i := range 3 {
		slug := fmt.Sprint("quiet", i)
		if !c.add(t, slug) {
			t.Errorf("no room for the first request of %s besides %v", slug, c.open)
		}
	}
	total := 0
	for _, n := range c.open {
		total += n
	}
	if total > 1000 {
		t.Errorf("%d of 1000 are open", total)
	}
	c.leave()
	// Functions that come at the same time get the same.
	for open := true; open; {
		open = c.add(t, "a")
		open = c.add(t, "b") || open
	}
	if a, b := c.open["a"], c.open["b"]; a < 440 || b < 440 || a-b > 2 || b-a > 2 {
		t.Errorf("%v", c.open)
	}
	c.leave()
	if !c.add(t, "hot") {
		t.Error("all have left, and there is no room")
	}
	c.leave()
}

func TestAdmitOne(t *testing.T) {
	c := gather(1)
	if !c.add(t, "a") || c.add(t, "a") || c.add(t, "b") {
		t.Error("there is room for one")
	}
	c.leave()
}

func TestAdmitNeverMore(t *testing.T) {
	const most = 50
	var open, peak, admitted atomic.Int64
	h := Admit(most)(func(http.ResponseWriter, *http.Request, *Call) {
		n := open.Add(1)
		for p := peak.Load(); n > p && !peak.CompareAndSwap(p, n); p = peak.Load() {
		}
		admitted.Add(1)
		open.Add(-1)
	})
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			r := httptest.NewRequest("GET", "/", nil)
			for range 50 {
				h(httptest.NewRecorder(), r, &Call{Route: Route{Slug: fmt.Sprint(i % 7)}, values: new([4]string)})
			}
		})
	}
	all.Wait()
	if peak.Load() > most || admitted.Load() == 0 {
		t.Errorf("%d at once, %d in all", peak.Load(), admitted.Load())
	}
}

// A handler that panics, as one does to cut a connection, leaves its place.
func TestAdmitPanic(t *testing.T) {
	h := Admit(1)(func(http.ResponseWriter, *http.Request, *Call) { panic(http.ErrAbortHandler) })
	for range 3 {
		func() {
			defer func() {
				if p := recover(); p != http.ErrAbortHandler {
					t.Errorf("recovered %v", p)
				}
			}()
			h(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), &Call{Route: Route{Slug: "a"}, values: new([4]string)})
		}()
	}
}

func TestAdmitAnswer(t *testing.T) {
	s := startSite(t, &fakePool{block: true}, func(o *Options) { o.CORS, o.Admission = CORS(nil), Admit(1) })
	nc, _ := s.dial("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
	for s.counters()["activeRequestsCount"] == 0 {
	}
	res, body := s.do("POST", "/hello", strings.NewReader("{}"))
	checkProblem(t, res, body, 503, "OVERLOADED", "Too many requests are open on this server", "", true)
	if got := res.Header.Get("Retry-After"); got != "1" {
		t.Errorf("Retry-After %q", got)
	}
	if res, _ := s.do("OPTIONS", "/hello", nil, preflight...); res.StatusCode != 204 {
		t.Errorf("preflight: %d", res.StatusCode)
	}
	if res, _ := s.do("GET", "/health", nil); res.StatusCode != 200 {
		t.Errorf("health: %d", res.StatusCode)
	}
	nc.Close()
}

func BenchmarkAdmit(b *testing.B) {
	h := Admit(1000)(func(http.ResponseWriter, *http.Request, *Call) {})
	c := &Call{Route: Route{Slug: "hello"}}
	b.ReportAllocs()
	for b.Loop() {
		h(nil, nil, c)
	}
}
