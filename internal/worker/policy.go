package worker

import (
	"net"
	"os"
	"path/filepath"
	"slices"
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

// mostTasks bounds the threads of a worker that has a user of its own. Deno has
// some 15, and five for each Web Worker.
const mostTasks = 1024

// policy is that of a worker that is about to be started.
func (h *Host) policy(w *Worker) confine.Policy {
	p := h.Policy(w.Profile, w.dir)
	if w.user != 0 {
		p.User, p.Groups, p.Tasks = w.user, []uint32{h.group()}, mostTasks
	}
	return p
}

// ownUsers reports whether each worker has a user of its own.
func (h *Host) ownUsers() bool { return h.Users != nil && h.Confiner.On(confine.OwnUser) }

// group is what all workers are in, 0 for none.
func (h *Host) group() uint32 {
	if !h.ownUsers() {
		return 0
	}
	return h.Users.group()
}

// libraries are looked up once: Deno does not move while the server runs.
func (h *Host) libraries() (read, run []string) {
	h.once.Do(func() { h.read, h.run = confine.Libraries(h.Runtime.Binary) })
	return h.read, h.run
}

// script reports whether the binary is one, so that what it runs is not known.
func (h *Host) script() bool {
	read, _ := h.libraries()
	return slices.Contains(read, "/")
}
