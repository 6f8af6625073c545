package deno

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

const secret = "0123456789abcdef0123456789abcdef"

func frame(level Level, id, text string) string {
	return fmt.Sprintf("\x1e%s %d %s %d\n%s\n", secret, level, id, len(text), text)
}

// parse gives stream to a Frames in the parts that cut says, each up to the
// returned number of bytes.
func parse(stream []byte, key string, next func() int) []Record {
	var got []Record
	f := NewFrames(func(r Record) { got = append(got, r) })
	if key != "" {
		f.SetSecret(key)
	}
	for len(stream) > 0 {
		n := min(len(stream), max(1, next()))
		if m, err := f.Write(stream[:n]); m != n || err != nil {
			panic(fmt.Sprint("Write: ", m, err))
		}
		stream = stream[n:]
	}
	f.Flush()
	return got
}

func TestSignsOfLife(t *testing.T) {
	t.Parallel()
	alive := "\x1e" + secret + " alive\n"
	stream := []byte(alive + "raw" + alive + " line\n" + frame(LevelInfo, "-", "said") + alive +
		"\x1e" + secret + " alivex\n" + "\x1e" + strings.ToUpper(secret) + " alive\n" + frame(LevelInfo, "-", alive))
	for _, size := range []int{1, 7, len(stream)} {
		var signs int
		var got []string
		f := NewFrames(func(r Record) { got = append(got, r.Text) })
		f.OnAlive = func() { signs++ }
		f.SetSecret(secret)
		for part := range slices.Chunk(stream, size) {
			f.Write(part)
		}
		want := []string{"raw line", "said", "\x1e" + secret + " alivex", "\x1e" + strings.ToUpper(secret) + " alive", alive}
		if signs != 3 || !slices.Equal(got, want) {
			t.Errorf("in parts of %d: %d signs, %q", size, signs, got)
		}
	}
}

func whole() int { return 1 << 30 }

func TestFrames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("y", MaxRecord)
	raw := func(text string) Record { return Record{Level: LevelInfo, Text: text, Raw: true} }
	for name, c := range map[string]struct {
		stream string
		want   []Record
	}{
		"nothing":             {"", nil},
		"a frame":             {frame(LevelError, "id-1", "a text"), []Record{{Level: LevelError, RequestID: "id-1", Text: "a text"}}},
		"no request":          {frame(LevelDebug, "-", "a"), []Record{{Level: LevelDebug, Text: "a"}}},
		"empty text":          {frame(LevelInfo, "-", ""), []Record{{Level: LevelInfo}}},
		"lines in a text":     {frame(LevelInfo, "-", "a\n\nb\n"), []Record{{Level: LevelInfo, Text: "a\n\nb\n"}}},
		"a frame in a text":   {frame(LevelInfo, "-", frame(LevelError, "x", "y")), []Record{{Level: LevelInfo, Text: frame(LevelError, "x", "y")}}},
		"two frames":          {frame(LevelInfo, "-", "a") + frame(LevelWarn, "-", "b"), []Record{{Level: LevelInfo, Text: "a"}, {Level: LevelWarn, Text: "b"}}},
		"raw lines":           {"a\r\n\nb\n", []Record{raw("a"), raw("b")}},
		"raw without an end":  {"a\nb", []Record{raw("a"), raw("b")}},
		"raw before a frame":  {"raw" + frame(LevelInfo, "-", "a") + "rest\n", []Record{raw("raw"), {Level: LevelInfo, Text: "a"}, raw("rest")}},
		"another's secret":    {strings.ReplaceAll(frame(LevelInfo, "-", "a"), "0123", "0124"), []Record{raw("\x1e" + strings.Replace(secret, "0123", "0124", 2)[:0] + strings.ReplaceAll(secret, "0123", "0124") + " 1 - 1"), raw("a")}},
		"mark alone":          {"\x1e", []Record{raw("\x1e")}},
		"two marks":           {"\x1e\x1e\x1e\n", []Record{raw("\x1e\x1e\x1e")}},
		"mark, then a frame":  {"\x1e" + frame(LevelInfo, "-", "a"), []Record{raw("\x1e"), {Level: LevelInfo, Text: "a"}}},
		"cut in the head":     {frame(LevelInfo, "-", "a")[:20], []Record{raw("\x1e" + secret[:19])}},
		"cut in the text":     {frame(LevelInfo, "-", "abc")[:len(frame(LevelInfo, "-", "abc"))-3], []Record{{Level: LevelInfo, Text: "a"}}},
		"cut at the text":     {"\x1e" + secret + " 1 - 5\n", []Record{{Level: LevelInfo}}},
		"no level":            {"\x1e" + secret + " x - 1\na\n", []Record{raw("\x1e" + secret + " x - 1"), raw("a")}},
		"level too high":      {"\x1e" + secret + " 4 - 1\na\n", []Record{raw("\x1e" + secret + " 4 - 1"), raw("a")}},
		"a field too many":    {"\x1e" + secret + " 1 - - 1\na\n", []Record{raw("\x1e" + secret + " 1 - - 1"), raw("a")}},
		"negative length":     {"\x1e" + secret + " 1 - -1\na\n", []Record{raw("\x1e" + secret + " 1 - -1"), raw("a")}},
		"greatest length":     {"\x1e" + secret + " 1 - 9223372036854775807\na\n", []Record{raw("\x1e" + secret + " 1 - 9223372036854775807"), raw("a")}},
		"length out of range": {"\x1e" + secret + " 1 - 9223372036854775808\na\n", []Record{raw("\x1e" + secret + " 1 - 9223372036854775808"), raw("a")}},
		"head without an end": {"\x1e" + secret + " " + strings.Repeat("x", 300) + "\n", []Record{raw("\x1e" + secret + " " + strings.Repeat("x", 300))}},
		"longest text":        {frame(LevelInfo, "-", long), []Record{{Level: LevelInfo, Text: long}}},
		"too long a text":     {frame(LevelInfo, "-", long+"zz"), []Record{{Level: LevelInfo, Text: long, Cut: 2}}},
		"longest line":        {long + "\n", []Record{raw(long)}},
		"too long a line":     {long + "zz\nnext\n", []Record{{Level: LevelInfo, Text: long, Raw: true, Cut: 2}, raw("next")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for label, next := range map[string]func() int{
				"whole":       whole,
				"single":      func() int { return 1 },
				"by thirteen": func() int { return 13 },
			} {
				if got := parse([]byte(c.stream), secret, next); !slices.Equal(got, c.want) {
					t.Errorf("%s: %.300q\nwant %.300q", label, fmt.Sprint(got), fmt.Sprint(c.want))
				}
			}
		})
	}
}

func TestFramesBeforeTheSecret(t *testing.T) {
	t.Parallel()
	var got []Record
	f := NewFrames(func(r Record) { got = append(got, r) })
	_, _ = f.Write([]byte("\x1e 1 - 1\na\nunfinished"))
	f.SetSecret(secret)
	_, _ = f.Write([]byte(frame(LevelInfo, "-", "b")))
	f.Flush()
	f.Flush()
	want := []Record{{Level: LevelInfo, Text: "\x1e 1 - 1", Raw: true}, {Level: LevelInfo, Text: "a", Raw: true}, {Level: LevelInfo, Text: "unfinished", Raw: true}, {Level: LevelInfo, Text: "b"}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

// What is kept must not grow with what is written.
func TestFramesKeepLittle(t *testing.T) {
	t.Parallel()
	chunk := bytes.Repeat([]byte("x"), 1<<20)
	for name, start := range map[string]string{"a line": "", "a frame": "\x1e" + secret + " 1 - 999999999\n", "a head": "\x1e" + secret + " "} {
		f := NewFrames(func(Record) {})
		f.SetSecret(secret)
		_, _ = f.Write([]byte(start))
		for range 64 {
			_, _ = f.Write(chunk)
		}
		if kept := cap(f.line) + cap(f.body) + cap(f.head); kept > 4*MaxRecord {
			t.Errorf("%s: %d bytes are kept", name, kept)
		}
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte("raw\n"+frame(LevelError, "id", "text")+"more"), uint64(1))
	f.Add([]byte("\x1e"+secret+" 1 - 3\nabc\n\x1e\x1e"+secret), uint64(2))
	f.Add([]byte("\x1e"+secret+" 9 - 3\n"+frame(LevelWarn, "-", "a\nb")), uint64(3))
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		want := parse(stream, secret, whole)
		random := rand.New(rand.NewPCG(seed, 1))
		if got := parse(stream, secret, func() int { return 1 + random.IntN(40) }); !slices.Equal(got, want) {
			t.Errorf("split %q\nwhole %q", fmt.Sprint(got), fmt.Sprint(want))
		}
		// The mark of a frame is the byte before the secret: without this very
		// sequence nothing may pass for a frame.
		if !bytes.Contains(stream, []byte("\x1e"+secret+" ")) {
			for _, r := range want {
				if !r.Raw {
					t.Errorf("a record without the secret: %+v", r)
				}
			}
		}
		for _, r := range want {
			if len(r.Text) > MaxRecord || r.Level < LevelDebug || r.Level > LevelError || r.Cut < 0 {
				t.Errorf("%+v", r)
			}
		}
	})
}
