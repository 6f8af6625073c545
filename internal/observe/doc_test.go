package observe

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"
)

// TestKeysAreDocumented keeps docs/observability.md and doc.go complete: each
// key that a line can have is named in both.
func TestKeysAreDocumented(t *testing.T) {
	var out bytes.Buffer
	log := New(Options{Out: &out, Format: FormatJSON})
	Request{
		RequestID: "r", ExecutionID: "e", Slug: "fn", Method: "GET", Path: "/fn", Status: 503, Duration: time.Second, Queued: time.Second,
		Bytes: 1, ClientIP: "192.0.2.1", TraceID: "t", ErrorCode: "BOOT_ERROR", Err: errors.New("no luck"),
	}.Log(log)
	Line{Slug: "fn", ExecutionID: "e", RequestID: "r", Text: "text", Raw: true, Cut: 1}.Log(log)
	for _, kind := range []Kind{Boot, BootFailure, UncaughtException, Shutdown} {
		Event{
			Kind: kind, Slug: "fn", ExecutionID: "e", RequestID: "r", Boot: BootTimes{1, 1, 1, 1, 1}, Cached: true,
			Reason: ReasonMemory, Message: "message", Detail: "detail", ExitCode: 1, CPU: time.Second, Memory: 1 << 20,
		}.Log(log)
	}
	Flush(log)
	doc, err := os.ReadFile("../../docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	comment, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(out.Bytes()) {
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		event := m["event"].(string)
		if !bytes.Contains(doc, []byte("`"+event+"`")) && !bytes.Contains(doc, []byte("`event: "+event+"`")) {
			t.Errorf("docs/observability.md does not name the event %s", event)
		}
		for key := range m {
			if !bytes.Contains(doc, []byte("`"+key+"`")) {
				t.Errorf("docs/observability.md does not name %s of the event %s", key, event)
			}
			if !bytes.Contains(comment, []byte(key)) {
				t.Errorf("doc.go does not name %s of the event %s", key, event)
			}
		}
	}
}
