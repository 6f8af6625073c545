package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/selvedge-dev/selvedge/internal/admin"
)

const (
	topEvery = 2 * time.Second
	minEvery = 100 * time.Millisecond
	// topFirst is the time between the two looks that the first figures need.
	topFirst = 500 * time.Millisecond
)

func newTop(s Streams) *cobra.Command {
	var which string
	var every time.Duration
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch the workers of a running server",
		Long: `Watch the workers of a server that runs on this machine: what share of a core
each of them uses, its own memory, and its requests a second. Keys: q ends, c
sorts by CPU, m by memory. Where stdout or stdin is no terminal, one picture is
printed.`,
		Example: `  selvedge top
  selvedge top --every 500ms
  selvedge top | head`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if every < minEvery {
				return usage(fmt.Errorf("--every %s: use %s or more", every, minEvery))
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			server, err := attach(ctx, which)
			if err != nil {
				return err
			}
			w := &topWatch{server: server}
			if isTerminal(s.Out) && isTerminal(s.In) {
				err = watchTop(ctx, s, w, every)
			} else {
				err = w.once(ctx, s.Out)
			}
			if ctx.Err() != nil {
				return nil // an interrupt is how watching ends
			}
			return err
		},
	}
	cmd.Flags().DurationVar(&every, "every", topEvery, "the time between two pictures")
	serverFlag(cmd, &which)
	return cmd
}

// once prints one picture.
func (w *topWatch) once(ctx context.Context, out io.Writer) error {
	if err := w.look(ctx); err != nil {
		return err
	}
	select {
	case <-time.After(topFirst):
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := w.look(ctx); err != nil {
		return err
	}
	_, err := io.WriteString(out, w.picture(0, 0))
	return err
}

// Sequences of ECMA-48 and xterm.
const (
	otherScreen = "\x1b[?1049h\x1b[?25l" // the terminal's second one, without a cursor
	firstScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	eraseRest   = "\x1b[J"
)

// watchTop shows pictures until q is pressed or ctx ends.
func watchTop(ctx context.Context, s Streams, w *topWatch, every time.Duration) error {
	in, out := s.In.(*os.File), s.Out.(*os.File)
	old, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return fmt.Errorf("read single keys: %w", err)
	}
	defer term.Restore(int(in.Fd()), old) // best effort: there is no other way left
	fmt.Fprint(out, otherScreen)
	defer fmt.Fprint(out, firstScreen)

	keys := make(chan byte)
	over, cancel := context.WithCancel(ctx)
	defer cancel()
	go readKeys(over, in, keys)
	wait := topFirst
	for {
		if err := w.look(ctx); err != nil {
			return err
		}
		for timer := time.NewTimer(wait); ; {
			width, height, err := term.GetSize(int(out.Fd()))
			if err != nil || width <= 0 || height <= 0 {
				width, height = 80, 24
			}
			if _, err := io.WriteString(out, home+w.picture(width, height)+eraseRest); err != nil {
				return err
			}
			again := false
			select {
			case <-ctx.Done():
				timer.Stop()
				return nil
			case <-timer.C:
				again = true
			case key := <-keys:
				if w.key(key) {
					timer.Stop()
					return nil
				}
			}
			if again {
				break
			}
		}
		wait = every
	}
}

// readKeys sends what is pressed. A read of a terminal cannot be ended, so this
// lives until the next key or the end of the process, which comes at once.
func readKeys(ctx context.Context, in io.Reader, keys chan<- byte) {
	var b [1]byte
	for {
		if _, err := in.Read(b[:]); err != nil {
			return
		}
		select {
		case keys <- b[0]:
		case <-ctx.Done():
			return
		}
	}
}

// key does what a key asks for and reports whether it was to end.
func (w *topWatch) key(key byte) (end bool) {
	const interrupt, endOfFile = 3, 4 // as a raw terminal has them
	switch key {
	case 'q', 'Q', interrupt, endOfFile:
		return true
	case 'm', 'M':
		w.byMemory = true
	case 'c', 'C':
		w.byMemory = false
	}
	return false
}

// look asks the server.
func (w *topWatch) look(ctx context.Context) error {
	workers, err := w.server.Workers(ctx, false)
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrNotExist) {
		return errors.New("the server has stopped")
	}
	if err != nil {
		return err
	}
	w.update(time.Now(), workers)
	return nil
}

// A topWatch is what is known of the workers.
type topWatch struct {
	server   *admin.Client
	byMemory bool

	at   time.Time
	seen map[string]admin.Worker // by execution id
	rows []topRow
}
