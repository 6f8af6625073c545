package worker

import (
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// turnFor is how long chores go on before they rest.
	turnFor = 300 * time.Microsecond
	// restMost bounds a rest, which is as long as the turn before it.
	restMost = time.Millisecond
)

// A turn is that of a chore: what the server does with the files of its
// workers, counting them and removing them. A worker may have tens of thousands.
// Where Go runs on one processor, who goes from one short system call to the next
// has it for 10 ms before others come to their turn, requests among them. So
// chores rest: one of them runs at a time, and no more than half of the time.
type turn struct {
	h     *Host
	began time.Time
	busy  time.Duration // in earlier turns
}

func (h *Host) beginChore() *turn {
	h.chores.Lock()
	return &turn{h: h, began: time.Now()}
}

// step comes after each file, and gives others their turn when it is time.
func (t *turn) step() {
	took := time.Since(t.began)
	if took < turnFor {
		return
	}
	t.busy += took
	// It takes a sleep: who only yields is next again before anybody looks
	// whether a request has come.
	time.Sleep(min(took, restMost))
	t.h.chores.Unlock()
	t.h.chores.Lock()
	t.began = time.Now()
}

// end returns how long the chore took, without its rests.
func (t *turn) end() time.Duration {
	took := t.busy + time.Since(t.began)
	t.h.chores.Unlock()
	return took
}

// removeAll is os.RemoveAll with rests.
func (h *Host) removeAll(path string) error {
	t := h.beginChore()
	if dir, err := openDir(unix.AT_FDCWD, path); err == nil {
		t.empty(dir, 0)
	}
	t.end()
	return os.RemoveAll(path) // what is left, and what is wrong with it
}

// deepest bounds the folders that empty has open. What lies deeper is left to
// os.RemoveAll.
const deepest = 32

// namesAtOnce is how many names of a folder are read before the first one is looked
// at.
const namesAtOnce = 256

// empty removes what is in a folder, as far as it can, and closes it. Somebody
// may still be exchanging folders for links, so that no path is used.
func (t *turn) empty(dir *os.File, depth int) {
	defer dir.Close()
	for again := true; again; { // some systems pass over names while others go
		again = false
		for {
			names, err := dir.Readdirnames(namesAtOnce)
			for _, name := range names {
				again = t.remove(int(dir.Fd()), name, depth) || again
				t.step()
			}
			if err != nil {
				break
			}
		}
		if _, err := dir.Seek(0, io.SeekStart); err != nil {
			return
		}
	}
}

func (t *turn) remove(parent int, name string, depth int) bool {
	if unix.Unlinkat(parent, name, 0) == nil {
		return true
	}
	if depth == deepest {
		return false
	}
	if sub, err := openDir(parent, name); err == nil { // or there is nothing to be done
		t.empty(sub, depth+1)
		return unix.Unlinkat(parent, name, unix.AT_REMOVEDIR) == nil
	}
	return false
}

func openDir(parent int, name string) (*os.File, error) {
	for {
		fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err == nil {
			return os.NewFile(uintptr(fd), name), nil
		}
		if err != unix.EINTR {
			return nil, err
		}
	}
}
