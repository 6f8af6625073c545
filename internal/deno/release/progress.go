package release

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// redraw is the least time between two drawings of the live line.
const redraw = 100 * time.Millisecond

// ProgressBar returns a function for Options.Progress. On a terminal it draws
// one line that is overwritten; elsewhere it prints a line at the start, at
// every quarter and at the end. Errors of w are ignored.
func ProgressBar(w io.Writer) func(Event) {
	b := &bar{w: w, width: func() int { return 0 }}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		b.width = func() int {
			width, _, err := term.GetSize(int(f.Fd()))
			if err != nil || width < 1 {
				return 80
			}
			return width
		}
	}
	return b.show
}

type bar struct {
	w io.Writer
	// width is the terminal's, in columns; 0 means that w is none.
	width func() int
	drawn time.Time
	live  bool
	// quarter is the last one printed, plus one.
	quarter int64
}

func (b *bar) show(e Event) {
	name := fmt.Sprintf("Deno %s for %s", e.Version, e.Platform)
	switch e.Stage {
	case StageWaiting:
		b.line("Waiting for another process that is downloading " + name)
	case StageRetry:
		b.quarter = 0
		b.line(fmt.Sprintf("%v\nTrying again in %s", e.Err, e.Wait.Round(time.Second/10)))
	case StageInstalled:
		b.line("Installed " + name + " at " + e.Path)
	case StageDownload:
		if e.Total <= 0 {
			return
		}
		if width := b.width(); width > 0 {
			b.draw(width, name, e)
		} else if quarter := e.Done * 4 / e.Total; quarter >= b.quarter {
			b.quarter = quarter + 1
			b.line(fmt.Sprintf("Downloading %s: %d%% of %s", name, quarter*25, megabytes(e.Total)))
		}
	}
}

func (b *bar) draw(width int, name string, e Event) {
	if e.Done < e.Total && time.Since(b.drawn) < redraw {
		return
	}
	b.drawn, b.live = time.Now(), true
	text := fmt.Sprintf("Downloading %s  %3d%%  %s of %s", name, e.Done*100/e.Total, megabytes(e.Done), megabytes(e.Total))
	// The bar takes what room is left, and goes first where there is none.
	if room := min(width-len(text)-5, 30); room >= 10 {
		full := int(int64(room) * e.Done / e.Total)
		text += "  [" + strings.Repeat("=", full) + strings.Repeat(" ", room-full) + "]"
	}
	// One column stays free: writing the last one would wrap the line.
	if len(text) > width-1 {
		text = text[:max(width-1, 0)]
	}
	fmt.Fprint(b.w, "\r\x1b[K"+text)
}

// line prints a line of its own, in place of the live one.
func (b *bar) line(text string) {
	if b.live {
		text = "\r\x1b[K" + text
		b.live = false
	}
	fmt.Fprintln(b.w, text)
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
