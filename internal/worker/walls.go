package worker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/selvedge-dev/selvedge/internal/confine"
	"github.com/selvedge-dev/selvedge/internal/deno"
)

// tryPatience bounds a start that is made to see whether there can be any.
const tryPatience = 10 * time.Second

// leaveOut are the layers that an unusual Deno may not start behind, in the
// order in which they are suspected.
var leaveOut = [][]string{
	{confine.OwnUser}, {confine.Landlock}, {confine.Seccomp}, {confine.Capabilities},
	{confine.OwnUser, confine.Landlock}, {confine.Landlock, confine.Seccomp},
	{confine.Landlock, confine.Seccomp, confine.Capabilities},
	{confine.OwnUser, confine.Landlock, confine.Seccomp, confine.Capabilities},
}

// FitWalls starts a process, and where that is in vain because of some of the
// system's layers, has the host go without them: functions that are held less
// are better than none, as long as it is said. It returns what has to be said,
// a sentence each. It must be called before functions run, so that none of them
// can bring it about.
func (h *Host) FitWalls(ctx context.Context) []string {
	all := h.Confiner
	var said []string
	if all.On(confine.Landlock) && h.script() {
		note := fmt.Sprintf("%s is a script, and what it runs cannot be told: workers may read and execute every file that the server may", h.Runtime.Binary)
		h.Confiner = all.Noting(confine.Landlock, "but "+note)
		said = append(said, "the walls around workers are weaker: "+note+"; name the Deno binary itself with --deno")
		all = h.Confiner
	}
	if !slices.ContainsFunc(leaveOut[len(leaveOut)-1], all.On) {
		return said
	}
	err := h.try(ctx)
	if !atOnce(err) {
		return said // what else is wrong shows when somebody is waiting
	}
	for _, layers := range leaveOut {
		if !slices.ContainsFunc(layers, all.On) {
			continue
		}
		weaker := all
		why := fmt.Sprintf("%s does not start behind it: %v", h.Runtime.Binary, err)
		for _, layer := range layers {
			if all.On(layer) {
				weaker = weaker.Without(layer, why)
			}
		}
		h.Confiner = weaker
		if h.try(ctx) != nil {
			continue
		}
		if err := deno.ShareCacheDir(h.Runtime.CacheDir, h.group()); err != nil {
			said = append(said, err.Error())
		}
		// Once more as at first: it may have failed for another reason.
		h.Confiner = all
		if !atOnce(h.try(ctx)) {
			return said
		}
		h.Confiner = weaker
		return append(said, fmt.Sprintf("the walls around workers are weaker: %s is off, since %s does not start behind it (%v); use the pinned Deno, or one that needs no files of other places",
			strings.Join(layers, " and "), h.Runtime.Binary, err))
	}
	h.Confiner = all
	return said
}

// errNoStart is the end of a process before its bootstrap was up.
var errNoStart = errors.New("deno ended while starting")

// atOnce reports whether a start failed in a way in which walls make it fail.
// That one takes too long, or that there is no memory, says nothing about them.
func atOnce(err error) bool { return errors.Is(err, errNoStart) || errors.Is(err, fs.ErrPermission) }

func (h *Host) try(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tryPatience)
	defer cancel()
	w, err := h.Start(ctx, deno.Profile{MemoryMB: 256})
	if err == nil {
		w.Stop()
	}
	return err
}
