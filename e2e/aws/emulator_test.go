package aws

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/e2e/harness"
)

// An emulated AWS, see the folder emulator.
type emulated struct {
	url    string
	cmd    *exec.Cmd
	stderr harness.Buffer
}

// startEmulator returns when it answers and has loaded what it works with.
func startEmulator(python string) (*emulated, error) {
	e := &emulated{cmd: exec.Command(python, "-m", "emulator.serve")}
	// The tests run in their package's folder. Only the account that a request
	// names counts, whatever this shell has set.
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); !strings.HasPrefix(name, "AWS_") && !strings.HasPrefix(name, "MOTO_") {
			e.cmd.Env = append(e.cmd.Env, kv)
		}
	}
	e.cmd.Env = append(e.cmd.Env, "PYTHONDONTWRITEBYTECODE=1", "AWS_EC2_METADATA_DISABLED=true")
	e.cmd.Stderr = &e.stderr
	out, err := e.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := e.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the emulator: %w", err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if at, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
			e.url = at
		}
		if strings.HasPrefix(lines.Text(), "warm ") {
			go func() { // until it ends
				_, _ = io.Copy(io.Discard, out)
			}()
			return e, nil
		}
	}
	e.stop()
	return nil, fmt.Errorf("the emulator did not start:\n%s", &e.stderr)
}

func (e *emulated) stop() {
	_ = e.cmd.Process.Kill()
	_ = e.cmd.Wait()
}

// control asks or tells the emulator something about an account.
func (e *emulated) control(t testing.TB, account, path string, tell any, into any) {
	t.Helper()
	method, body := http.MethodGet, []byte(nil)
	if tell != nil {
		method = http.MethodPost
		var err error
		if body, err = json.Marshal(tell); err != nil {
			t.Fatal(err)
		}
	}
	req, err := http.NewRequest(method, e.url+"/_emulator/"+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("x-moto-account-id", account)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s of the emulator: %d %s %v", path, res.StatusCode, text, err)
	}
	if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatalf("%s of the emulator: %v\n%s", path, err, text)
		}
	}
}

// An interval of the emulator's work.
type interval struct {
	What       string
	Start, End float64 // Unix seconds
}

// busy is how long the emulator was at work for an account between two times:
// on stack operations, change sets and deployments, which take AWS their time
// too, and on answers to calls.
func (a *account) busy(from, to time.Time) time.Duration {
	a.t.Helper()
	var spans []interval
	a.emulator.control(a.t, a.id, "busy", nil, &spans)
	for _, c := range a.calls.all() {
		if !c.to.IsZero() {
			spans = append(spans, interval{c.action(), unixSeconds(c.from), unixSeconds(c.to)})
		}
	}
	return union(spans, unixSeconds(from), unixSeconds(to))
}

func unixSeconds(at time.Time) float64 { return float64(at.UnixNano()) / 1e9 }

// union is the length of what the intervals cover between two times.
func union(spans []interval, from, to float64) time.Duration {
	covered := 0.0
	for at := from; at < to; {
		// The furthest that what goes on now reaches, or the next beginning.
		end, next := at, to
		for _, s := range spans {
			if s.End == 0 { // goes on
				s.End = to
			}
			if s.Start <= at && s.End > end {
				end = s.End
			}
			if s.Start > at && s.Start < next {
				next = s.Start
			}
		}
		if end > at {
			covered += min(end, to) - at
			at = end
		} else {
			at = next
		}
	}
	return time.Duration(covered * 1e9)
}

func TestUnion(t *testing.T) {
	spans := []interval{{"a", 1, 3}, {"b", 2, 4}, {"c", 6, 7}, {"d", 9, 0}}
	for _, c := range []struct{ from, to, want float64 }{
		{0, 10, 5}, {2, 6.5, 2.5}, {4, 6, 0}, {9.5, 10, .5}, {3.5, 3.75, .25},
	} {
		if got := union(spans, c.from, c.to).Seconds(); got < c.want-.001 || got > c.want+.001 {
			t.Errorf("from %v to %v: %v, want %v", c.from, c.to, got, c.want)
		}
	}
}

// stackQuery is the part of a control path that names a stack.
func stackQuery(region, stack string) string {
	return "?" + url.Values{"region": {region}, "stack": {stack}}.Encode()
}
