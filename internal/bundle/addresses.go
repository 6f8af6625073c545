package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/selvedge-dev/selvedge/internal/egress"
	"github.com/selvedge-dev/selvedge/internal/function"
)

// What a build downloads, it downloads from within the server's network. An
// address that functions may not reach is refused where it is written, and
// where a name or a redirect leads to it, when the connection is made.

// errAddress is the cause of every refusal of an address.
var errAddress = errors.New("an address that functions may not reach")

// errVariable is the cause of refusing a variable in .npmrc.
var errVariable = errors.New("a variable of the server")

// checkAddresses refuses the first import of the function's source that names a
// denied address.
func (a *attempt) checkAddresses(g *graph) error {
	for _, m := range g.Modules {
		importer, local := filePath(m.Specifier)
		if !local || importer != a.main && !a.f.Holds(function.Resolve(importer)) {
			continue
		}
		for _, d := range m.Dependencies {
			if addr, denied := a.deniedURL(d.Code.Specifier); denied {
				at := spot{importer, d.Code.Span.Start.Line + 1, d.Code.Span.Start.Character + 1}
				return a.refuseAddress(fmt.Sprintf("the import of %q", d.Specifier), addr, at)
			}
		}
	}
	return nil
}

// deniedURL reports whether a URL names a denied address outright.
func (a *attempt) deniedURL(raw string) (netip.Addr, bool) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return netip.Addr{}, false
	}
	addr, ok := egress.ParseHost(u.Hostname())
	return addr, ok && a.opts.Deny.Contains(addr)
}

// registryLine is a line of .npmrc that says where packages come from.
var registryLine = regexp.MustCompile(`(?m)^[ \t]*((?:@[^:=\s]+:)?registry)[ \t]*=[ \t]*["']?([^"'\s]+)`)

// variable is how .npmrc names one.
var variable = regexp.MustCompile(`\$\{([^}]*)\}`)

// checkNPMRC refuses what a function's own .npmrc may not say: an address that
// functions may not reach, or a variable of the server that is none for npm,
// which would be sent to a registry of the function's choice. The files above
// it are the project's own.
func (a *attempt) checkNPMRC() error {
	file := a.f.NPMRC
	if file == "" || !within(a.f.Dir, file) {
		return nil
	}
	rc, err := os.ReadFile(file)
	if err != nil {
		return nil // who needs it says so
	}
	for _, m := range variable.FindAllSubmatchIndex(rc, -1) {
		name := strings.TrimSuffix(string(rc[m[2]:m[3]]), "?")
		if forNPM(name) || isComment(rc, m[0]) {
			continue
		}
		e := a.refuse(fmt.Sprintf("it names the variable %s, and a function's own .npmrc may name only those with NPM or REGISTRY in their name", name), spotAt(file, rc, m[0]), errVariable)
		e.Detail += "hint: put the line into the .npmrc of the project's folder, or rename the variable"
		return e
	}
	for _, m := range registryLine.FindAllSubmatchIndex(rc, -1) {
		value := os.Expand(string(rc[m[4]:m[5]]), a.lookup)
		if addr, denied := a.deniedURL(value); denied {
			return a.refuseAddress("the registry", addr, spotAt(file, rc, m[4]))
		}
	}
	return nil
}

func forNPM(name string) bool {
	name = strings.ToUpper(name)
	return strings.Contains(name, "NPM") || strings.Contains(name, "REGISTRY") || name == "NODE_AUTH_TOKEN"
}

// isComment reports whether a place in .npmrc is in a line that is one.
func isComment(rc []byte, at int) bool {
	line := bytes.TrimLeft(rc[bytes.LastIndexByte(rc[:at], '\n')+1:at], " \t")
	return len(line) > 0 && (line[0] == '#' || line[0] == ';')
}

// explainRefusals says which connections of a failed build were refused.
func (a *attempt) explainRefusals(g *graph) error {
	if a.proxy == nil {
		return nil
	}
	refused := a.proxy.Refused()
	if len(refused) == 0 {
		return nil
	}
	r := refused[0]
	names := func(raw string) bool {
		u, err := url.Parse(raw)
		if err != nil {
			return false
		}
		host, _, _ := strings.Cut(r.Host, ":")
		return u.Host == r.Host || u.Hostname() == host
	}
	if g != nil {
		for _, m := range g.Modules {
			importer, local := filePath(m.Specifier)
			for _, d := range m.Dependencies {
				if local && names(d.Code.Specifier) {
					at := spot{importer, d.Code.Span.Start.Line + 1, d.Code.Span.Start.Character + 1}
					return a.refuseAddress(fmt.Sprintf("the import of %q", d.Specifier), r.Addr, at)
				}
			}
		}
	}
	if rc, err := os.ReadFile(a.f.NPMRC); err == nil {
		for _, m := range registryLine.FindAllSubmatchIndex(rc, -1) {
			if names(os.Expand(string(rc[m[4]:m[5]]), a.lookup)) {
				return a.refuseAddress("the registry", r.Addr, spotAt(a.f.NPMRC, rc, m[4]))
			}
		}
	}
	return a.refuseAddress(fmt.Sprintf("a redirect, a registry or a module of another site leads to %s, which", r.Host), r.Addr, spot{})
}

func (a *attempt) refuseAddress(what string, addr netip.Addr, at spot) *function.BootError {
	e := a.refuse(fmt.Sprintf("%s is at %s, an address that functions may not reach", what, addr), at, errAddress)
	e.Detail += "hint: the metadata addresses of clouds are never reached, and those of --deny-net only where the server's own settings name the registry"
	return e
}

func (a *attempt) refuse(message string, at spot, cause error) *function.BootError {
	e := &function.BootError{Slug: a.f.Slug, Stage: "bundle", Message: message, Err: cause}
	if at.line > 0 {
		shown := at.file
		if base := filepath.Dir(a.f.Root); within(base, at.file) {
			shown, _ = filepath.Rel(base, at.file)
		}
		e.Message += fmt.Sprintf(" (%s:%d:%d)", filepath.ToSlash(shown), at.line, at.column)
		if filepath.Base(at.file) != ".npmrc" { // where credentials are
			e.Detail = excerpt(at.file, at.line, at.column) + "\n"
		}
	}
	return e
}

// spotAt returns the place of an offset.
func spotAt(file string, src []byte, at int) spot {
	start := bytes.LastIndexByte(src[:at], '\n') + 1
	return spot{file, 1 + bytes.Count(src[:at], []byte("\n")), 1 + len([]rune(string(src[start:at])))}
}

// chosen returns host:port of the registries that the operator has chosen, by
// the environment or an .npmrc that is not the function's own.
func (a *attempt) chosen() []string {
	urls := []string{a.defaultRegistry(), a.lookup("JSR_URL")}
	files := []string{filepath.Join(a.lookup("HOME"), ".npmrc")}
	if a.f.NPMRC != "" && !within(a.f.Dir, a.f.NPMRC) {
		files = append(files, a.f.NPMRC)
	}
	for _, file := range files {
		rc, err := os.ReadFile(file)
		if err != nil {
			continue // most have none
		}
		for _, m := range registryLine.FindAllSubmatch(rc, -1) {
			urls = append(urls, os.Expand(string(m[2]), a.lookup))
		}
	}
	var hosts []string
	for _, raw := range urls {
		u, err := url.Parse(raw)
		switch {
		case err != nil || u.Host == "":
		case u.Scheme == "https" && u.Port() == "":
			hosts = append(hosts, u.Host+":443")
		default:
			hosts = append(hosts, u.Host)
		}
	}
	return slices.Compact(hosts)
}
