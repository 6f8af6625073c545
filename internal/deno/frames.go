package deno

import (
	"bytes"
	"strconv"
)

// Level is a console level as the bootstrap sends it.
type Level int

// The console's levels.
const (
	LevelDebug Level = iota
	LevelInfo
	LevelWarn
	LevelError
)

// A Record is one console call, or one line that something in the worker
// wrote to its output directly.
type Record struct {
	Level Level
	// RequestID is the sb-request-id of the request the call was made for,
	// "" where there is none.
	RequestID string
	Text      string
	// Raw is set for output that did not come through the console: writes
	// to stdout and stderr, and Deno's own crash messages.
	Raw bool
	// Cut is the number of bytes left off Text because it was too long.
	Cut int
}

// MaxRecord is the most bytes of one record that are kept.
const MaxRecord = 64 << 10

// maxHead bounds a frame's head; a longer one is not ours.
const maxHead = 256

// maxBody bounds what a head may announce: V8's longest string has 512 MiB,
// three times that in UTF-8.
const maxBody = 2 << 30

// Frames splits a worker's output into records. Console calls arrive in frames
// marked with a secret that only the bootstrap knows, so that what a function
// prints cannot pass for one. It is not safe for concurrent use.
type Frames struct {
	// OnAlive, if not nil, is called for each sign of life.
	OnAlive func()

	emit   func(Record)
	marker []byte

	line    []byte // raw bytes of an unfinished line
	lineCut int
	head    []byte // of the frame being read, nil outside one
	inHead  bool
	rec     Record
	body    []byte
	want    int // bytes of the frame's body still to come, plus its newline
}

// NewFrames gives each record to emit. secret may be "" until SetSecret.
func NewFrames(emit func(Record)) *Frames { return &Frames{emit: emit} }

// SetSecret sets the mark of the frames to come.
func (f *Frames) SetSecret(secret string) { f.marker = []byte("\x1e" + secret + " ") }

// Write takes the next bytes of output. It never fails.
func (f *Frames) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		switch {
		case f.want > 0:
			p = f.readBody(p)
		case f.inHead:
			p = f.readHead(p)
		default:
			p = f.readRaw(p)
		}
	}
	return n, nil
}

// Flush emits what is unfinished; call it when the output ends.
func (f *Frames) Flush() {
	if f.want > 0 {
		f.finish()
	}
	if f.inHead {
		f.notAHead()
	}
	f.endLine()
}

// readRaw takes bytes up to the end of a line or to a frame's first byte.
func (f *Frames) readRaw(p []byte) []byte {
	i := bytes.IndexAny(p, "\n\x1e")
	if i < 0 {
		f.addRaw(p)
		return nil
	}
	f.addRaw(p[:i])
	if p[i] == '\n' {
		f.endLine()
		return p[i+1:]
	}
	f.inHead = true
	f.head = append(f.head[:0], p[i])
	return p[i+1:]
}

func (f *Frames) addRaw(p []byte) {
	room := MaxRecord - len(f.line)
	if len(p) > room {
		f.lineCut += len(p) - room
		p = p[:room]
	}
	f.line = append(f.line, p...)
}

func (f *Frames) endLine() {
	if len(f.line) == 0 && f.lineCut == 0 {
		return
	}
	f.emit(Record{Level: LevelInfo, Text: string(bytes.TrimRight(f.line, "\r")), Raw: true, Cut: f.lineCut})
	f.line, f.lineCut = f.line[:0], 0
}

// readHead takes a frame's head byte by byte: as soon as it differs from the
// marker it is raw output after all.
func (f *Frames) readHead(p []byte) []byte {
	for i, c := range p {
		if len(f.head) < len(f.marker) {
			if c != f.marker[len(f.head)] {
				f.notAHead()
				return p[i:]
			}
			f.head = append(f.head, c)
			continue
		}
		if len(f.marker) == 0 || len(f.head) > maxHead {
			f.notAHead()
			return p[i:]
		}
		if c != '\n' {
			f.head = append(f.head, c)
			continue
		}
		if !f.begin() {
			f.notAHead()
			f.endLine()
		}
		return p[i+1:]
	}
	return nil
}

// notAHead gives the bytes held back as a head to the raw line.
func (f *Frames) notAHead() {
	f.inHead = false
	f.addRaw(f.head)
	f.head = f.head[:0]
}

// begin takes a whole head, without its newline, unless it is malformed.
func (f *Frames) begin() bool {
	fields := bytes.Split(f.head[len(f.marker):], []byte(" "))
	if len(fields) == 1 && string(fields[0]) == "alive" {
		if f.OnAlive != nil {
			f.OnAlive()
		}
		f.inHead, f.head = false, f.head[:0]
		return true
	}
	if len(fields) != 3 {
		return false
	}
	level, err1 := strconv.Atoi(string(fields[0]))
	size, err2 := strconv.Atoi(string(fields[2]))
	if err1 != nil || err2 != nil || size < 0 || size > maxBody || level < int(LevelDebug) || level > int(LevelError) {
		return false
	}
	f.endLine() // keep the order of raw and framed output
	f.inHead = false
	f.rec = Record{Level: Level(level)}
	if id := string(fields[1]); id != "-" {
		f.rec.RequestID = id
	}
	f.body = f.body[:0]
	f.want = size + 1
	f.head = f.head[:0]
	return true
}

func (f *Frames) readBody(p []byte) []byte {
	take := min(f.want, len(p))
	part := p[:take]
	f.want -= take
	if f.want == 0 {
		part = part[:take-1] // the newline after the text
	}
	room := MaxRecord - len(f.body)
	if len(part) > room {
		f.rec.Cut += len(part) - room
		part = part[:room]
	}
	f.body = append(f.body, part...)
	if f.want == 0 {
		f.finish()
	}
	return p[take:]
}

func (f *Frames) finish() {
	f.rec.Text = string(f.body)
	f.want = 0
	f.emit(f.rec)
}
