package cli

import (
	"fmt"
	"io"
	"os"
	"regexp"

	"github.com/selvedge-dev/selvedge/internal/function"
)

func printBanner(w io.Writer, srv *server, set *function.Set) {
	fmt.Fprintf(w, "%s serves %s of %s on %s\n\n", paint(w, bold, "Selvedge "+currentVersion()),
		functions(set.Len()), srv.cfg.Functions, paint(w, cyan, srv.url()))
	key := srv.sayKeys(w)
	for i, f := range set.Functions() {
		if i == maxListed {
			fmt.Fprintf(w, "  … and %d more\n", set.Len()-maxListed)
			break
		}
		option := key
		if !f.VerifyJWT {
			option = ""
		}
		fmt.Fprintf(w, "  curl %s/%s%s%s\n", srv.url(), paint(w, cyan, f.Slug), option, sampleBody(f.Entrypoint))
	}
	if set.Len() == 0 {
		fmt.Fprintln(w, "  There is no function yet: make one with `selvedge new hello`")
	}
	if srv.cfg.Inspect != "" {
		fmt.Fprintf(w, "\n  %s is debugged on %s: open chrome://inspect once it was called\n", srv.cfg.Inspect, srv.cfg.InspectAddr)
	}
	if srv.admin != nil {
		fmt.Fprintln(w)
		srv.sayAdmin(w)
	}
	fmt.Fprintf(w, "\n%s\n", paint(w, dim, "Watching for changes; press Ctrl-C to stop"))
}

// readsJSON is how functions that are made from templates read their request.
var readsJSON = regexp.MustCompile(`\breq(?:uest)?\.json\(\)`)

// sampleLimit bounds how much of a function is read to find that out, bytes.
const sampleLimit = 64 << 10

// sampleBody returns what a curl line needs besides for a function that parses
// its request as JSON, which without a body ends in an error: the name that the
// platform's template asks for. It looks at the source only, so it may be wrong;
// then the line is one that has to be edited, as all were.
func sampleBody(entrypoint string) string {
	file, err := os.Open(entrypoint)
	if err != nil {
		return "" // what is wrong with it is said when it is called
	}
	defer file.Close()
	source, err := io.ReadAll(io.LimitReader(file, sampleLimit))
	if err != nil || !readsJSON.Match(source) {
		return ""
	}
	return ` -d '{"name":"Functions"}'`
}
