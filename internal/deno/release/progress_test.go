package release

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func feed(show func(Event)) {
	base := Event{Version: "2.9.5", Platform: Platform{"linux", "amd64"}}
	at := func(stage Stage, change func(*Event)) {
		e := base
		e.Stage = stage
		if change != nil {
			change(&e)
		}
		show(e)
	}
	at(StageWaiting, nil)
	for done := int64(0); done <= 50e6; done += 5e6 {
		at(StageDownload, func(e *Event) { e.Done, e.Total = done, 100e6 })
	}
	at(StageRetry, func(e *Event) { e.Err, e.Wait = errors.New("oops"), time.Second })
	at(StageDownload, func(e *Event) { e.Done, e.Total = 100e6, 100e6 })
	at(StageInstalled, func(e *Event) { e.Path = "/data/deno" })
}

func TestPlainProgress(t *testing.T) {
	var b bytes.Buffer
	feed(ProgressBar(&b))
	want := `Waiting for another process that is downloading Deno 2.9.5 for linux/amd64
Downloading Deno 2.9.5 for linux/amd64: 0% of 100.0 MB
Downloading Deno 2.9.5 for linux/amd64: 25% of 100.0 MB
Downloading Deno 2.9.5 for linux/amd64: 50% of 100.0 MB
oops
Trying again in 1s
Downloading Deno 2.9.5 for linux/amd64: 100% of 100.0 MB
Installed Deno 2.9.5 for linux/amd64 at /data/deno
`
	if b.String() != want {
		t.Errorf("printed:\n%s\nwant:\n%s", b.String(), want)
	}
}

func TestLiveProgress(t *testing.T) {
	for _, width := range []int{1, 20, 70, 200} {
		var b bytes.Buffer
		feed((&bar{w: &b, width: func() int { return width }}).show)
		for _, line := range strings.FieldsFunc(b.String(), func(r rune) bool { return r == '\n' || r == '\r' }) {
			text, live := strings.CutPrefix(line, "\x1b[K")
			if live && strings.HasPrefix(text, "Downloading") && len(text) >= width {
				t.Errorf("width %d: line %q", width, text)
			}
		}
		if !strings.HasSuffix(b.String(), "\r\x1b[KInstalled Deno 2.9.5 for linux/amd64 at /data/deno\n") {
			t.Errorf("width %d: printed %q", width, b.String())
		}
		if width == 200 && !strings.Contains(b.String(), "100%  100.0 MB of 100.0 MB  ["+strings.Repeat("=", 30)+"]") {
			t.Errorf("no bar in %q", b.String())
		}
	}
}
