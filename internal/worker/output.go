package worker

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/function"
)

// What a worker may log besides the lines a second that it is configured for.
const (
	logBytesPerLine = 1 << 10
	logBurst        = 4 // seconds' worth at once
)

// tailLines is how much raw output is kept to explain an end.
const tailLines = 30

// output drains a worker's stdout and stderr. It never stops reading, so that
// a function cannot be blocked by its own prints, and counts what it drops.
type output struct {
	mu     sync.Mutex
	frames *deno.Frames
	log    func(deno.Record)
	recent []string
	alive  atomic.Uint32 // counts the signs of life

	perSecond      float64 // lines that may be logged
	lines, bytes   float64 // what may be logged now
	refilled       time.Time
	dropped        int
	droppedBytes   int
	report         *time.Timer
	reportsStopped bool
}

func newOutput() *output {
	o := &output{}
	o.allow(function.Defaults().LogLines)
	o.frames = deno.NewFrames(o.record)
	o.frames.OnAlive = func() { o.alive.Add(1) }
	return o
}

// allow sets how many lines may be logged each second.
func (o *output) allow(lines int) {
	o.perSecond = float64(lines)
	o.lines = o.perSecond * logBurst
	o.bytes = o.lines * logBytesPerLine
	o.refilled = time.Now()
}

// assign names the function that the output belongs to from now on. lines is
// what it may log each second, 0 for what any function may.
func (o *output) assign(secret string, lines int, log func(deno.Record)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if lines > 0 {
		o.allow(lines)
	}
	o.frames.SetSecret(secret)
	o.log = log
}

// drain reads until the end of the pipe.
func (o *output) drain(r *os.File) {
	buf := make([]byte, 16<<10)
	for {
		n, err := r.Read(buf)
		o.mu.Lock()
		_, _ = o.frames.Write(buf[:n])
		if err != nil {
			o.frames.Flush()
			o.reportDropped()
			o.reportsStopped = true
			if o.report != nil {
				o.report.Stop()
			}
			o.mu.Unlock()
			return
		}
		o.mu.Unlock()
	}
}

// record is called by frames with the lock held.
func (o *output) record(r deno.Record) {
	if r.Raw {
		o.recent = append(o.recent, r.Text)
		if len(o.recent) > tailLines {
			o.recent = o.recent[1:]
		}
	}
	if o.log == nil {
		return
	}
	now := time.Now()
	passed := now.Sub(o.refilled).Seconds()
	o.refilled = now
	o.lines = min(o.lines+passed*o.perSecond, o.perSecond*logBurst)
	o.bytes = min(o.bytes+passed*o.perSecond*logBytesPerLine, o.perSecond*logBytesPerLine*logBurst)
	size := len(r.Text) + r.Cut
	if o.lines < 1 || o.bytes < float64(len(r.Text)) {
		o.dropped++
		o.droppedBytes += size
		if o.report == nil {
			o.report = time.AfterFunc(time.Second, o.reportLater)
		}
		return
	}
	o.lines--
	o.bytes -= float64(len(r.Text))
	o.log(r)
}

// say logs something of the platform's own among the output.
func (o *output) say(r deno.Record) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.log != nil {
		o.log(r)
	}
}

func (o *output) reportLater() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.report = nil
	if !o.reportsStopped {
		o.reportDropped()
	}
}

// reportDropped is called with the lock held.
func (o *output) reportDropped() {
	if o.dropped == 0 || o.log == nil {
		return
	}
	o.log(deno.Record{
		Level: deno.LevelWarn,
		Raw:   true,
		Text:  fmt.Sprintf("%d log lines (%d bytes) were dropped: the function logs more than %.0f lines or %.0f bytes a second (log_lines_s)", o.dropped, o.droppedBytes, o.perSecond, o.perSecond*logBytesPerLine),
	})
	o.dropped, o.droppedBytes = 0, 0
}

// tail returns the last raw lines.
func (o *output) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.recent, "\n")
}
