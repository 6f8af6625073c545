package observe

import (
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/term"
)

// The formats of a log.
const (
	FormatAuto   = "auto" // pretty on a terminal, else JSON
	FormatPretty = "pretty"
	FormatJSON   = "json"
)

// Options say how the log is written.
type Options struct {
	// Out is where it goes, nil for nowhere.
	Out io.Writer
	// Format is one of the Format constants; "" and what is none of them is
	// auto.
	Format string
	// Level is the least level that is written. A function's console.debug
	// passes wherever its console.log does.
	Level slog.Level
	// Color forces colours on or off in the pretty format. Where it is nil,
	// the variables NO_COLOR, FORCE_COLOR and TERM=dumb decide, in this order,
	// and then whether Out is a terminal.
	Color *bool
	// Keep, if not nil, is given each line that is written, as JSON whatever
	// the format.
	Keep Keeper
}

// New returns the server's logger. It is safe for concurrent use.
//
// Writes are synchronous, so that nothing is lost when the process ends, but
// for the lines of requests in JSON: they wait for company, for 10 ms at most,
// and whoever ends the process calls [Flush]. The order of lines is kept.
//
// A write that fails is counted (see [WriteErrors]) and otherwise ignored. So that a
// reader that went away is such a failure and not the end of the process, a
// log that goes to stdout or stderr turns SIGPIPE off in the whole process.
func New(opts Options) *slog.Logger {
	if opts.Out == nil {
		return slog.New(slog.DiscardHandler)
	}
	isTerminal := false
	if file, isFile := opts.Out.(*os.File); isFile {
		isTerminal = inspect(file)
	}
	out := &sink{w: opts.Out}
	if opts.Format == FormatPretty || opts.Format != FormatJSON && isTerminal {
		return slog.New(&prettyHandler{
			out:     out,
			level:   opts.Level,
			color:   useColor(opts.Color, isTerminal),
			columns: &columns{},
			keep:    keepOnly(opts),
		})
	}
	return slog.New(&jsonHandler{out: out, level: opts.Level, keep: opts.Keep})
}

// WriteErrors returns how many records of log could not be written, 0 for a
// log that was not made by New.
func WriteErrors(log *slog.Logger) uint64 {
	if s := sinkOf(log); s != nil {
		return s.failed.Load()
	}
	return 0
}

// Flush writes what waits to be written.
func Flush(log *slog.Logger) {
	if s := sinkOf(log); s != nil {
		s.flush()
	}
}

func sinkOf(log *slog.Logger) *sink {
	if log == nil {
		return nil
	}
	switch h := log.Handler().(type) {
	case *jsonHandler:
		return h.out
	case *prettyHandler:
		return h.out
	}
	return nil
}

// inspect tells whether file is a terminal, and sees to it that writing to a
// standard stream survives its reader.
func inspect(file *os.File) (isTerminal bool) {
	conn, err := file.SyscallConn() // Fd would make the file blocking
	if err != nil {
		return false
	}
	conn.Control(func(fd uintptr) {
		isTerminal = term.IsTerminal(int(fd))
		if fd == 1 || fd == 2 {
			survivePipes()
		}
	})
	return isTerminal
}

// survivePipes asks for SIGPIPE and never looks at it. The Go runtime else ends
// the process on a broken stdout or stderr. Ignoring the signal would do as
// well, but is inherited by every process that is started.
var survivePipes = sync.OnceFunc(func() {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
})

func useColor(asked *bool, isTerminal bool) bool {
	switch {
	case asked != nil:
		return *asked
	case os.Getenv("NO_COLOR") != "":
		return false
	}
	switch os.Getenv("FORCE_COLOR") {
	case "":
		return isTerminal && os.Getenv("TERM") != "dumb"
	case "0", "false":
		return false
	}
	return true
}

// A scratch is what a record is put together in.
type scratch struct {
	b     []byte
	attrs []slog.Attr
}

// maxScratch is the most bytes a scratch keeps between records.
const maxScratch = 64 << 10

var scratches = sync.Pool{New: func() any {
	return &scratch{b: make([]byte, 0, 1024), attrs: make([]slog.Attr, 0, 16)}
}}

func getScratch() *scratch { return scratches.Get().(*scratch) }

func (s *scratch) free() {
	if cap(s.b) > maxScratch {
		return
	}
	clear(s.attrs) // holds on to nothing of the record
	s.b, s.attrs = s.b[:0], s.attrs[:0]
	scratches.Put(s)
}
