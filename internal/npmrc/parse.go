package npmrc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"
)

// An entry is one key of a file with the line that set it last.
type entry struct {
	key  string
	list []string
	line int
}

// A lineError is a fault of the text; lines count from 1.
type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }

func (e *lineError) Unwrap() error { return e.err }

// parse reads the ini dialect of .npmrc: "key = value", "key" alone for true,
// "key[] = value" for lists, ; and # for comments, quoted strings in JSON's
// notation. Keys below a [section] are not npm's and are left out. Like npm it
// passes over lines that it cannot make sense of; what it refuses is data that
// is no text at all.
func parse(data []byte) ([]entry, error) {
	if bytes.HasPrefix(data, []byte{0xFF, 0xFE}) || bytes.HasPrefix(data, []byte{0xFE, 0xFF}) {
		return nil, &lineError{1, errors.New("the file is UTF-16; save it as UTF-8")}
	}
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))

	var entries []entry
	index := map[string]int{}
	inSection := false
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data))
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		if !utf8.ValidString(line) || strings.ContainsRune(line, 0) {
			return nil, &lineError{number, errors.New("the line is not text; save the file as UTF-8")}
		}
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || trimmed[0] == ';' || trimmed[0] == '#' {
			continue
		}
		if line[0] == '[' && strings.IndexByte(trimmed, ']') == len(trimmed)-1 {
			inSection = true
			continue
		}
		rawKey, rawValue, hasValue := strings.Cut(line, "=")
		key := unquote(rawKey)
		if inSection || rawKey == "" || key == "" {
			continue
		}
		text := "true"
		if hasValue {
			text = unquote(rawValue)
		}
		name, isList := strings.CutSuffix(key, "[]")
		if name == "" {
			name, isList = key, false
		}
		at, seen := index[name]
		if !seen {
			at = len(entries)
			index[name] = at
			entries = append(entries, entry{key: name})
		}
		e := &entries[at]
		e.line = number
		if isList {
			e.list = append(e.list, text)
		} else {
			e.list = []string{text}
		}
	}
	return entries, nil
}

// unquote takes the quotes or the trailing comment off one side of the "=".
func unquote(s string) string {
	s = strings.TrimSpace(s)
	if len(s) >= 2 && s[0] == s[len(s)-1] && (s[0] == '"' || s[0] == '\'') {
		if s[0] == '\'' {
			s = s[1 : len(s)-1]
		}
		var plain string
		if json.Unmarshal([]byte(s), &plain) == nil {
			return plain
		}
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == ';' || c == '#':
			return strings.TrimSpace(b.String())
		case c == '\\' && i+1 < len(s) && strings.IndexByte(`\;#`, s[i+1]) >= 0:
			i++
			b.WriteByte(s[i])
		case c == '\\' && i+1 < len(s):
			// Any other escape stays as written: ${} has one of its own.
			i++
			b.WriteByte(c)
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return strings.TrimSpace(b.String())
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	if len(data) > maxFileSize {
		return nil, fmt.Errorf("the file is larger than %d KiB; is it the right one?", maxFileSize>>10)
	}
	return data, nil
}

// isFile follows links; a folder named .npmrc is none.
func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}
