package http1

import (
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// TestPipelinesTakeTurns: who sends many requests at once is not served to
// their end before others.
func TestPipelinesTakeTurns(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const each, conns = 50, 4
	var mu sync.Mutex
	var order []string
	var gate sync.WaitGroup
	gate.Add(conns)
	s := startSite(t, func(_ http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/first") {
			gate.Done()
			gate.Wait() // until all that the others sent is there, too
		}
		mu.Lock()
		defer mu.Unlock()
		order = append(order, r.URL.Path[:2])
	}, nil)
	var clients []*client
	for i := range conns {
		who := "/" + string(rune('a'+i))
		get := func(path string) string { return "GET " + who + path + " HTTP/1.1\r\nHost: h\r\n\r\n" }
		clients = append(clients, s.dial(get("/first")+strings.Repeat(get(""), each)))
	}
	for _, c := range clients {
		for range each + 1 {
			c.answer("GET")
		}
	}
	longest, run := 0, 0
	for i, who := range order {
		if run++; i > 0 && who != order[i-1] {
			run = 1
		}
		longest = max(longest, run)
	}
	if len(order) != conns*(each+1) || longest > each/5 {
		t.Errorf("%d requests, up to %d of one connection in a row", len(order), longest)
	}
}
