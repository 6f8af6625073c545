package worker

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/selvedge-dev/selvedge/internal/confine"
	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/function"
)

// ProfileOf is what a process of the function is spawned with.
func ProfileOf(f *function.Function, u deno.Unbundled) deno.Profile {
	p := deno.Profile{MemoryMB: f.Limits.MemoryMB, Unbundled: u}
	switch {
	case f.Net.DryRun:
		p.Net.Watched = true
	case f.Net.Allow != nil:
		p.Net = deno.Net{Limited: true, Allow: strings.Join(f.Net.Allow, ",")}
	}
	return p
}

// Policy is what the system lets a worker do whose private folder is dir.
func (h *Host) Policy(p deno.Profile, dir string) confine.Policy {
	read, run := h.libraries()
	read = append(read[:len(read):len(read)], confine.SystemFiles(os.LookupEnv)...)
	if prebuilt := h.Runtime.PrebuiltDir; prebuilt != "" {
		read = append(read, prebuilt)
	}
	if packages := p.Unbundled.CacheDir; packages != "" {
		read = append(read, filepath.Join(packages, deno.NPMDir))
	}
	policy := confine.Policy{
		Run:   run,
		Read:  append(read, h.Runtime.Bootstrap, h.Runtime.BundleDir),
		Write: []string{dir, h.Runtime.DenoDir(p)},
		Files: function.MaxOpenFiles, // until it is a function, which may have less
	}
	if _, port, err := net.SplitHostPort(p.Inspect); err == nil {
		if n, err := strconv.ParseUint(port, 10, 16); err == nil {
			policy.Listen = []uint16{uint16(n)}
		}
	}
	return policy
}

// libraries are looked up once: Deno does not move while the server runs.
func (h *Host) libraries() (read, run []string) {
	h.once.Do(func() { h.read, h.run = confine.Libraries(h.Runtime.Binary) })
	return h.read, h.run
}
