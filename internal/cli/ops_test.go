package cli

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/admin"
)

func TestIsMeant(t *testing.T) {
	about := admin.About{PID: 4711, Listen: "127.0.0.1:9000", URL: "http://localhost:9000"}
	for _, which := range []string{"4711", "9000", ":9000", "localhost:9000", "127.0.0.1:9000", "http://localhost:9000", "http://localhost:9000/", "http://127.0.0.1:9000"} {
		if !isMeant(about, which) {
			t.Errorf("%s is not taken for %+v", which, about)
		}
	}
	for _, which := range []string{"", "471", "47110", "900", "example.com:9000", "localhost", "http://localhost:9001", "-"} {
		if isMeant(about, which) {
			t.Errorf("%s is taken for %+v", which, about)
		}
	}
}

func TestPrintWorkers(t *testing.T) {
	var b strings.Builder
	if err := printWorkers(&b, []admin.Worker{
		{Function: "chat", State: "serving", PID: 7, PSSBytes: 20 << 20, MemoryBytes: 1 << 20, CPUSeconds: 1.234, Requests: 12, InFlight: 3, AgeSeconds: 3725, Version: "0123456789ab"},
		{Function: "chat", State: "retiring", Reason: "code_changed", PID: 8, MemoryBytes: 3 << 19, AgeSeconds: 90000},
		{Function: "slow\x1b[2J", State: "starting", AgeSeconds: 2.5},
		{State: "prestarted", PID: 9, AgeSeconds: 61.9},
	}); err != nil {
		t.Fatal(err)
	}
	want := `FUNCTION  STATE                    PID  PSS      CPU     REQUESTS  ACTIVE  AGE   VERSION
chat      serving                  7    20.0 MB  1.23 s  12        3       1h2m  0123456789ab
chat      retiring (code changed)  8    1.5 MB   0.00 s  0         0       1d1h  -
slow?[2J  starting                 -    -        0.00 s  0         0       2s    -
-         prestarted               9    -        0.00 s  0         0       1m1s  -
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestTopRows(t *testing.T) {
	w := &topWatch{}
	start := time.Now()
	look := func(passed time.Duration, workers ...admin.Worker) { w.update(start.Add(passed), workers) }
	order := func() string {
		w.picture(0, 0)
		var all []string
		for _, r := range w.rows {
			all = append(all, fmt.Sprintf("%s %s %.1f/s", r.Function, percent(r.share), r.rate))
		}
		return strings.Join(all, ", ")
	}
	a := admin.Worker{Function: "a", ExecutionID: "1", PID: 1, State: "serving", CPUSeconds: 5, Requests: 100, MemoryBytes: 9 << 20}
	b := admin.Worker{Function: "b", ExecutionID: "2", PID: 2, State: "serving", CPUSeconds: 1, MemoryBytes: 5 << 20}
	look(0, a, b, admin.Worker{Function: "c", State: "starting"})
	if got := order(); got != "a 0.0% 0.0/s, b 0.0% 0.0/s, c 0.0% 0.0/s" {
		t.Error(got) // a share of CPU is not made up from its whole life
	}
	a.CPUSeconds, a.Requests = 5.5, 130
	b.CPUSeconds = 3
	look(2*time.Second, a, b, admin.Worker{Function: "d", ExecutionID: "3", PID: 3, CPUSeconds: 50})
	if got := order(); got != "b 100.0% 0.0/s, a 25.0% 15.0/s, d 0.0% 0.0/s" {
		t.Error(got)
	}
	w.key('m')
	if got := order(); !strings.HasPrefix(got, "a 25.0%") {
		t.Error(got)
	}
	w.key('c')
	if got := order(); !strings.HasPrefix(got, "b 100.0%") {
		t.Error(got)
	}
	for key, end := range map[byte]bool{'q': true, 3: true, 'x': false} {
		if w.key(key) != end {
			t.Errorf("key %q", key)
		}
	}
	lines := strings.Split(w.picture(20, 6), "\r\n")
	if len(lines) != 6 || !strings.HasPrefix(lines[4], "… and 2 more") {
		t.Errorf("in six lines: %q", lines)
	}
	for _, line := range lines {
		if text := []rune(strings.TrimSuffix(line, "\x1b[K")); len(text) > 20 {
			t.Errorf("%q is too wide", string(text))
		}
	}
}
