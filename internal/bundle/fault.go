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

	"github.com/selvedge-dev/selvedge/internal/function"
)

// A sourceFault is what the bundler said about a source it could not build.
type sourceFault struct{ output string }

func (e *sourceFault) Error() string { return e.output }

// final are messages that running from source would only repeat.
var final = []string{
	"SyntaxError", "Module not found", "No matching export", "Could not find constraint",
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

// position finds where an error is. A path may hold spaces, which a file URL
// has percent-encoded.
var position = regexp.MustCompile(`file://([^\s]+):(\d+):(\d+)`)

// bootError says in the user's terms what is wrong, with an excerpt.
func (e *sourceFault) bootError(f *function.Function) *function.BootError {
	text := e.trimmed()
	base := filepath.Dir(f.Root)
	out := &function.BootError{Slug: f.Slug, Stage: "bundle", Err: e}
	first, _, _ := strings.Cut(text, "\n")
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
	case strings.Contains(e.output, "not a dependency and not in import map"):
		return `declare it in the function's deno.json: { "imports": { "NAME": "npm:NAME@VERSION" } }, or import "npm:NAME@VERSION" directly`
	case strings.Contains(e.output, "Could not find constraint"):
		return "check the package's name and version, and the registry in .npmrc or npm_config_registry"
	case strings.Contains(e.output, "dns error"), strings.Contains(e.output, "error sending request"), strings.Contains(e.output, "failed to load"):
		return "the module has to be downloaded once: check the network and HTTPS_PROXY; afterwards it comes from the cache"
	case strings.Contains(e.output, "Module not found"):
		return "check the path; local imports need their file extension"
	}
	return ""
}

func shorten(text, base string) string {
	return strings.ReplaceAll(text, "file://"+filepath.ToSlash(base)+"/", "")
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
			fmt.Fprintf(&out, "       | %s^\n", strings.Repeat(" ", max(0, column-1)))
		}
	}
	return strings.TrimRight(out.String(), "\n")
}
