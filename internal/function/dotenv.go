package function

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/joho/godotenv"
)

// maxDotenv bounds a variables file, in bytes. What a process gets at start is
// bounded by the system at about as much.
const maxDotenv = 1 << 20

// envName is what a variable may be called: POSIX's portable names, and the
// dot, which godotenv lets through.
var envName = regexp.MustCompile(`\A[A-Za-z_][A-Za-z0-9_.]*\z`)

// ValidEnvName reports whether name can name a variable.
func ValidEnvName(name string) bool { return envName.MatchString(name) }

// ReadDotenv reads the variables of a file in the dialect of the Supabase CLI,
// which is godotenv's. Errors call the file shown, and name the line at fault
// but never its content, which may be a secret.
func ReadDotenv(file, shown string) (map[string]string, error) {
	src, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read variables from %s: %w", shown, cause(err))
	}
	return ParseDotenv(src, shown)
}

// ParseDotenv parses what ReadDotenv reads.
func ParseDotenv(src []byte, shown string) (map[string]string, error) {
	if len(src) > maxDotenv {
		return nil, fmt.Errorf("%s: the file has %d bytes; variables may have %d together", shown, len(src), maxDotenv)
	}
	src = bytes.TrimPrefix(src, []byte("\ufeff")) // editors on Windows add it
	src = bytes.ReplaceAll(src, []byte("\r\n"), []byte("\n"))
	if i := bytes.IndexByte(src, 0); i >= 0 {
		return nil, fmt.Errorf("%s:%d: there is a NUL byte; save the file as UTF-8 text", shown, lineAt(src, i))
	}
	values, err := godotenv.UnmarshalBytes(src)
	if err != nil {
		line, what := explainDotenv(src, err)
		if line == 0 {
			return nil, fmt.Errorf("%s: %s", shown, what)
		}
		return nil, fmt.Errorf("%s:%d: %s", shown, line, what)
	}
	for name := range values {
		if name == "" {
			// godotenv takes a last line without "=" for the value of no name.
			return nil, fmt.Errorf("%s:%d: %s", shown, lineAt(src, len(bytes.TrimRight(src, " \t\v\f\r\n"))), noEquals)
		}
		if !ValidEnvName(name) {
			line := lineAt(src, bytes.Index(src, []byte(name)))
			return nil, fmt.Errorf("%s:%d: a variable's name may hold only letters, digits and _ and starts with no digit", shown, line)
		}
	}
	return values, nil
}

const (
	noEquals     = "the line has no =; write NAME=value, or start it with # to make it a comment"
	badCharacter = "a variable's name holds a character other than letters, digits and _; write NAME=value, and quote a value of several lines"
	openQuote    = "a quoted value never ends; close the quote, or escape it with \\"
)

// explainDotenv finds the line of an error of godotenv and says what is wrong.
// godotenv gives no line but quotes the rest of the file, with every secret in
// it, so that its text must not be passed on.
func explainDotenv(src []byte, err error) (line int, what string) {
	text := err.Error()
	if _, value, ok := strings.Cut(text, "unterminated quoted value "); ok {
		return lineAt(src, bytes.LastIndex(src, []byte(value))), openQuote
	}
	if head, quoted, ok := strings.Cut(text, " in variable name near "); ok {
		what = badCharacter
		if strings.HasSuffix(head, strconv.Quote("\n")) {
			what = noEquals
		}
		if rest, err := strconv.Unquote(quoted); err == nil && len(rest) <= len(src) {
			line = lineAt(src, len(src)-len(rest))
		}
		return line, what
	}
	return 0, "the variables cannot be parsed; write one NAME=value a line"
}

// lineAt returns the line of an offset, counted from 1; 0 for no offset.
func lineAt(src []byte, offset int) int {
	if offset < 0 || offset > len(src) {
		return 0
	}
	return 1 + bytes.Count(src[:offset], []byte("\n"))
}
