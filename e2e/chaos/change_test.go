package chaos

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/e2e/harness"
)

// TestChangesUnderLoad: code, what it shares and its variables change all the
// time, and each request is answered by a version that there was.
func TestChangesUnderLoad(t *testing.T) {
	const (
		code   = `import { shared } from "../_shared/v.ts"; Deno.serve(async (r) => { await r.text(); await new Promise((f) => setTimeout(f, 5)); return new Response("%d " + shared + " " + Deno.env.get("V")); });`
		shared = `export const shared = "%d";`
	)
	folder := project(t, map[string]string{
		"functions/fn/index.ts": fmt.Sprintf(code, 0), "functions/_shared/v.ts": fmt.Sprintf(shared, 0), "functions/.env": "V=0\n",
	})
	s := harness.Start(t, harness.Options{Functions: folder})
	newClient(t).post(s.URL + "/fn")
	written := [3][]time.Time{{time.Now()}, {time.Now()}, {time.Now()}}
	l := startLoad(t, s.URL+"/fn", 4, time.Millisecond)
	end := time.Now().Add(scaled(6*time.Second, 60*time.Second))
	for n := 1; time.Now().Before(end); n++ {
		which := n % 3
		version := len(written[which])
		// It may be read before the write is over.
		written[which] = append(written[which], time.Now())
		switch which {
		case 0:
			put(t, filepath.Join(folder, "fn/index.ts"), fmt.Sprintf(code, version))
		case 1:
			put(t, filepath.Join(folder, "_shared/v.ts"), fmt.Sprintf(shared, version))
		case 2:
			put(t, filepath.Join(folder, ".env"), fmt.Sprintf("V=%d\n", version))
		}
		time.Sleep(time.Second)
	}
	all := l.end()
	wrong := func(o outcome) bool {
		fields := strings.Fields(o.body)
		if failed(o) || len(fields) != 3 {
			return true
		}
		for i, f := range fields {
			v, err := strconv.Atoi(f)
			if err != nil || v < 0 || v >= len(written[i]) || written[i][v].After(o.got) {
				return true
			}
			// Its successor may take a while to be seen and built.
			const late = 10 * time.Second
			if v+1 < len(written[i]) && written[i][v+1].Add(late).Before(o.sent) {
				return true
			}
		}
		return false
	}
	if n := count(all, wrong); n > 0 {
		t.Errorf("%d of %d requests failed or had an answer of no version at their time", n, len(all))
		report(t, all, wrong)
	}
	changes := len(written[0]) + len(written[1]) + len(written[2]) - 3
	if len(all) < 100 || changes < 3 {
		t.Errorf("%d requests, %d changes: nothing was tested", len(all), changes)
	}
	note(t, "code, shared code and variables change each second under load", "0 failed; each answer of a version at its time",
		"%d changes, %d requests, 0 failed", changes, len(all))
}

// TestStopBehindProxy: a load balancer asks for health and takes out what says
// no; a server that is replaced meanwhile loses nothing.
func TestStopBehindProxy(t *testing.T) {
	folder := project(t, map[string]string{
		"functions/fn/index.ts": `Deno.serve(async (r) => { await r.text(); await new Promise((f) => setTimeout(f, 30)); return new Response("ok"); });`,
	})
	backend := func() *harness.Server {
		return harness.Start(t, harness.Options{Command: "serve", Functions: folder, Args: []string{"--drain-delay", "3s"}})
	}
	p := harness.NewProxy(t)
	current := backend()
	p.Add(current.URL)
	l := startLoad(t, p.URL+"/fn", 8, time.Millisecond)
	stops := scaled(2, 10)
	for range stops {
		next := backend()
		p.Add(next.URL)
		time.Sleep(time.Second)
		_ = current.Cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-current.Exited:
		case <-time.After(time.Minute):
			t.Fatal("the server does not end")
		}
		if code := current.Cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("exit code %d: %s", code, current.Err)
		}
		current = next
	}
	all := l.end()
	if n := count(all, failed); n > 0 || len(all) < 100 {
		t.Errorf("%d of %d requests failed", n, len(all))
		report(t, all, failed)
	}
	note(t, "SIGTERM under load behind a proxy that asks for health", "0 failed", "%d servers stopped, %d requests, 0 failed", stops, len(all))
}
