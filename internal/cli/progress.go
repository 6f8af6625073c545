package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/selvedge-dev/selvedge/internal/deploy"
)

// A progress tells how a command on AWS is going: on a terminal with a live
// line that shows the time, elsewhere line by line, and not at all where the
// output is for a program.
type progress struct {
	w     io.Writer
	live  bool // a terminal
	quiet bool // --json

	mu    sync.Mutex
	step  string
	now   string
	since time.Time
	told  time.Time // when a pipe was last told what is going on
	shown bool      // the live line is on the screen
	stop  chan struct{}
	done  chan struct{}
}

// newProgress returns one that close must be called of.
func newProgress(s Streams, quiet bool) *progress {
	p := &progress{w: s.Err, live: isTerminal(s.Err) && !quiet, quiet: quiet, stop: make(chan struct{}), done: make(chan struct{})}
	go p.tick()
	return p
}

// tick moves the clock of the live line.
func (p *progress) tick() {
	defer close(p.done)
	if !p.live {
		return
	}
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-t.C:
			p.mu.Lock()
			p.draw()
			p.mu.Unlock()
		}
	}
}

// close ends the live line.
func (p *progress) close() {
	close(p.stop)
	<-p.done
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	p.step = ""
}

func (p *progress) draw() {
	if !p.live || p.step == "" {
		return
	}
	text := fmt.Sprintf("  %-9s %s  %s", p.step, elapsed(time.Since(p.since)), p.now)
	if f, ok := p.w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 1 {
			text = cut(text, width-1)
		}
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s", paint(p.w, dim, text))
	p.shown = true
}

// cut shortens a text to a number of characters.
func cut(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}

func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}

// line prints a line that stays.
func (p *progress) line(text string) {
	if p.quiet {
		return
	}
	p.clear()
	fmt.Fprintln(p.w, text)
	p.draw()
}

// pipeEvery is how often a pipe is told what is going on in a step.
const pipeEvery = 5 * time.Second

// Begin implements deploy.Reporter.
func (p *progress) Begin(step string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.step, p.now, p.since, p.told = step, "", time.Now(), time.Time{}
	p.draw()
}

// Now implements deploy.Reporter.
func (p *progress) Now(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text = harmless(strings.ReplaceAll(text, "\n", " "))
	if text == p.now {
		return
	}
	p.now = text
	if p.live {
		p.draw()
	} else if text != "" && time.Since(p.told) >= pipeEvery {
		p.told = time.Now()
		p.line(fmt.Sprintf("  %-9s %s  %s", p.step, elapsed(time.Since(p.since)), text))
	}
}

// Note implements deploy.Reporter.
func (p *progress) Note(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for line := range strings.Lines(harmless(text)) {
		p.line("  " + strings.TrimSuffix(line, "\n"))
	}
}

// Warn implements deploy.Reporter. Warnings are said in any case.
func (p *progress) Warn(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	warnAll(p.w, harmless(text))
	p.draw()
}

// End implements deploy.Reporter.
func (p *progress) End(result string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	step, took := p.step, time.Since(p.since)
	p.step = ""
	p.line(fmt.Sprintf("%s %-9s %s  %s", paint(p.w, green, "✓"), step, elapsed(took), harmless(result)))
}

// elapsed writes a time in six characters.
func elapsed(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%5.1fs", d.Seconds())
	}
	return fmt.Sprintf("%2dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
}

// An asker asks the user, on a terminal.
type asker struct {
	s   Streams
	p   *progress
	yes bool
	// flag is the flag that answers instead.
	flag string
}

// Confirm implements deploy.Confirmer.
func (a *asker) Confirm(ctx context.Context, question string) error {
	if a.yes {
		return nil
	}
	answer, err := a.ask(ctx, question+" [y/N] ")
	if err != nil {
		return err
	}
	switch strings.ToLower(answer) {
	case "y", "yes":
		return nil
	}
	return deploy.ErrDeclined
}

// Type implements deploy.Confirmer.
func (a *asker) Type(ctx context.Context, question, expected string) error {
	if a.yes {
		return nil
	}
	answer, err := a.ask(ctx, question+" ")
	if err == nil && answer != expected {
		err = deploy.ErrDeclined
	}
	return err
}

func (a *asker) ask(ctx context.Context, question string) (string, error) {
	if !isTerminal(a.s.In) {
		return "", &deploy.Problem{What: "nobody can be asked: the input is no terminal", Usage: true, Next: []string{"say yes beforehand: " + a.flag}}
	}
	a.p.mu.Lock()
	a.p.clear()
	a.p.step = ""
	fmt.Fprint(a.s.Err, question)
	a.p.mu.Unlock()
	answers := make(chan string, 1)
	go func() { // ends with the program where nobody answers
		line, _ := bufio.NewReader(a.s.In).ReadString('\n')
		answers <- strings.TrimSpace(line)
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(a.s.Err)
		return "", context.Cause(ctx)
	case answer := <-answers:
		return answer, nil
	}
}
