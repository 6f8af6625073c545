package bundle

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/selvedge-dev/selvedge/internal/function"
)

// A sourceFault is what the bundler said about a source it could not build.
type sourceFault struct{ output string }

func (e *sourceFault) Error() string { return e.output }

// final are messages that running from source would only repeat.
var final = []string{
	"SyntaxError", "Module not found", "Cannot read file", "No matching export", "Could not find constraint",
	"failed to load", "not a dependency", "Import '", "integrity", "lockfile", bundlerPackage,
}

// bundlerPackage is what Deno downloads from npm at the first bundling.
const bundlerPackage = "@esbuild/"

// mayRunUnbundled reports whether it was the bundler that could not cope, as
// with native add-ons, rather than the source that is wrong.
func (e *sourceFault) mayRunUnbundled() bool {
	for _, s := range final {
		if strings.Contains(e.output, s) {
			return false
		}
	}
	return true
}

// isVague reports whether the bundler kept the reason to itself, such as a
// package's wrong checksum; Deno without it says more.
func (e *sourceFault) isVague() bool { return strings.Contains(e.output, "Could not resolve") }

// position finds where an error is. A path may hold spaces, which a file URL
// has percent-encoded.
var position = regexp.MustCompile(`file://([^\s]+):(\d+):(\d+)`)

// bootError says in the user's terms what is wrong, with an excerpt.
func (e *sourceFault) bootError(f *function.Function) *function.BootError {
	text := e.trimmed()
	base := filepath.Dir(f.Root)
	out := &function.BootError{Slug: f.Slug, Stage: "bundle", Err: e}
	first, _, _ := strings.Cut(text, "\n")
	first = shorten(first, base)
	out.Message = strings.TrimPrefix(strings.TrimPrefix(first, "error: "), "SyntaxError: ")
	if strings.Contains(first, "SyntaxError") {
		out.Message = "Syntax error: " + out.Message
	}
	m := position.FindStringSubmatch(text)
	if m == nil {
		out.Detail = text
		return out
	}
	path, err := url.PathUnescape(m[1])
	if err != nil {
		path = m[1]
	}
	shown := path
	if within(base, path) {
		shown, _ = filepath.Rel(base, path)
	}
	line, _ := strconv.Atoi(m[2])
	column, _ := strconv.Atoi(m[3])
	line, column = e.locate(path, line, column)
	out.Message += fmt.Sprintf(" (%s:%d:%d)", shown, line, column)
	out.Detail = excerpt(path, line, column)
	if rest := shorten(text, base); strings.Count(rest, "error:") > 1 || out.Detail == "" {
		out.Detail = strings.TrimSpace(out.Detail + "\n" + rest)
	}
	if hint := e.hint(); hint != "" {
		out.Detail += "\nhint: " + hint
	}
	return out
}

// trimmed drops what the bundler says about itself.
func (e *sourceFault) trimmed() string {
	text, _, _ := strings.Cut(e.output, "\nStack backtrace:")
	text = strings.ReplaceAll(text, "\nerror: bundling failed", "")
	return strings.TrimSpace(text)
}

// hint is what to do next about the faults people have most.
func (e *sourceFault) hint() string {
	switch {
	case strings.Contains(e.output, bundlerPackage):
		return "Deno's bundler is downloaded once from the npm registry: check the network, HTTPS_PROXY, certificates (SSL_CERT_FILE, DENO_CERT), and the registry in .npmrc or npm_config_registry"
	case strings.Contains(e.output, "not a dependency"):
		return `declare it in the function's deno.json: { "imports": { "NAME": "npm:NAME@VERSION" } }, or import "npm:NAME@VERSION" directly`
	case strings.Contains(e.output, "Could not find constraint"):
		return "check the package's name and version, and the registry in .npmrc or npm_config_registry"
	case strings.Contains(e.output, "dns error"), strings.Contains(e.output, "error sending request"), strings.Contains(e.output, "failed to load"):
		return "the module has to be downloaded once: check the network and HTTPS_PROXY; afterwards it comes from the cache"
	case strings.Contains(e.output, "Module not found"), strings.Contains(e.output, "Cannot read file"):
		return "check the path; local imports need their file extension"
	}
	return ""
}

// shorten names files as they lie in the project.
func shorten(text, base string) string {
	return strings.NewReplacer(fileURL(base+"/"), "", "file://"+base+"/", "", base+"/", "").Replace(text)
}

// specifier is what an import that was not resolved names.
var specifier = regexp.MustCompile(`(?:Import|resolve) ["']([^"'\s]+)["']`)

// locate corrects a position. In a syntax error a tab counts as two columns;
// what the bundler itself could not resolve is given as it lies in the
// JavaScript made of the source, with columns from zero.
func (e *sourceFault) locate(path string, line, column int) (int, int) {
	src, err := os.ReadFile(path)
	if err != nil {
		return line, column
	}
	lines := strings.Split(string(src), "\n")
	if m := specifier.FindStringSubmatch(e.output); m != nil {
		for i, text := range lines {
			for _, quote := range []string{`"`, `'`} {
				if at := strings.Index(text, quote+m[1]+quote); at >= 0 {
					return i + 1, utf8.RuneCountInString(text[:at]) + 1
				}
			}
		}
	}
	if line < 1 || line > len(lines) {
		return line, column
	}
	text := []rune(lines[line-1])
	isQuote := func(column int) bool {
		return column >= 1 && column <= len(text) && strings.ContainsRune("\"'`", text[column-1])
	}
	if strings.Contains(e.output, "SyntaxError") {
		for i, shown := 0, 1; i < len(text) && shown < column; i++ {
			shown++
			if text[i] == '\t' {
				shown++
				column--
			}
		}
	} else if !isQuote(column) && isQuote(column+1) {
		column++
	}
	return line, column
}

// excerpt shows the line at fault between its neighbours.
func excerpt(path string, line, column int) string {
	src, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	lines := bytes.Split(src, []byte("\n"))
	if line < 1 || line > len(lines) {
		return ""
	}
	var out strings.Builder
	for n := max(1, line-2); n <= min(len(lines), line+1); n++ {
		text := strings.TrimRight(string(lines[n-1]), "\r")
		if len(text) > 200 {
			text = text[:200] + "…"
		}
		mark := " "
		if n == line {
			mark = ">"
		}
		fmt.Fprintf(&out, "%s %4d | %s\n", mark, n, text)
		if n == line && column <= 200 {
			// Tabs stay tabs, so that the mark stands under the column.
			indent := []rune(text)[:min(max(0, column-1), utf8.RuneCountInString(text))]
			for i, c := range indent {
				if c != '\t' {
					indent[i] = ' '
				}
			}
			fmt.Fprintf(&out, "       | %s^\n", string(indent))
		}
	}
	return strings.TrimRight(out.String(), "\n")
}
