package worker

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/selvedge-dev/selvedge/internal/confine"
	"github.com/selvedge-dev/selvedge/internal/deno"
)

// Users are the users that workers run as, each for one worker at a time. The
// number of a user is that of its group, too.
type Users struct {
	first, last uint32

	mu    sync.Mutex
	next  uint32
	taken map[uint32]bool
}

// NewUsers returns those from first to last. The first one is nobody's user: it
// is the group that all workers are in, for the files that they share.
func NewUsers(first, last uint32) *Users {
	// Two servers that have the same ones begin in different places, and look
	// for processes besides.
	return &Users{first: first, last: last, next: first + 1 + rand.Uint32N(last-first), taken: map[uint32]bool{}}
}

// group is that of all workers, 0 where there are no users.
func (u *Users) group() uint32 {
	if u == nil {
		return 0
	}
	return u.first
}

// take returns a user that has no process, and no worker's folder.
func (u *Users) take() (uint32, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for range u.last - u.first {
		user := u.next
		if u.next++; u.next > u.last {
			u.next = u.first + 1
		}
		if !u.taken[user] && !confine.UserBusy(user) {
			u.taken[user] = true
			return user, nil
		}
	}
	return 0, fmt.Errorf("all users from %d to %d have processes; give workers more with --worker-uids", u.first+1, u.last)
}

// leave gives a user back whose folder is gone. It ends what processes it has
// left; one that keeps some is not used again.
func (u *Users) leave(user uint32) {
	if !confine.EndUser(user) {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.taken, user)
}

// OwnUsers has workers run as users of their own, where the Confiner has that
// layer and such users can reach what they need. Otherwise the layer is off, and
// says why. It must be called before there are workers.
func (h *Host) OwnUsers(u *Users) error {
	if h.Confiner.On(confine.OwnUser) {
		if why := h.closedTo(u); why != "" {
			h.Confiner = h.Confiner.Without(confine.OwnUser, why)
		} else {
			h.Users = u
			h.Confiner = h.Confiner.Noting(confine.OwnUser, fmt.Sprintf("from %d to %d", u.first+1, u.last))
		}
	}
	if h.ownUsers() {
		// Those who know a folder in it may enter, if it is theirs.
		if err := os.Chmod(h.RunDir, 0o711); err != nil {
			return fmt.Errorf("open the folder of the workers: %w", err)
		}
	}
	return deno.ShareCacheDir(h.Runtime.CacheDir, h.group())
}

// closedTo says what keeps other users from the files that all workers need, ""
// for nothing.
func (h *Host) closedTo(u *Users) (why string) {
	if mask, ok := umask(); ok && mask&0o055 != 0 {
		return fmt.Sprintf("the server's umask is %#o, so that other users could not read the functions: start it with 022", mask)
	}
	r := h.Runtime
	confine.SeeAs(u.last, func() {
		for _, file := range append(confine.Certificates(os.LookupEnv), r.Binary, r.Bootstrap) {
			f, err := os.Open(file)
			if err == nil {
				f.Close()
			}
			if why = closed(file, err); why != "" {
				return
			}
		}
		for _, dir := range []string{r.BundleDir, r.PrebuiltDir, filepath.Dir(r.CacheDir), filepath.Dir(h.RunDir)} {
			if dir == "" {
				continue
			}
			_, err := os.Stat(dir + "/.")
			if why = closed(dir, err); why != "" {
				return
			}
		}
	})
	return why
}

// closed says what keeps a user from a path, given what came of trying: the
// first folder on the way to it that cannot be entered.
func closed(path string, err error) string {
	if !errors.Is(err, fs.ErrPermission) {
		return "" // it is missing, or something is wrong that shows elsewhere
	}
	if real, rerr := filepath.EvalSymlinks(path); rerr == nil {
		path = real
	}
	at := path
	for dir := filepath.Dir(path); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir + "/."); errors.Is(err, fs.ErrPermission) {
			at = dir
		}
	}
	return fmt.Sprintf("other users have no right to %s: choose folders that all may enter, such as --data-dir /var/lib/selvedge", at)
}

// umask returns the server's, false where the system does not tell.
func umask() (int64, bool) {
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, false
	}
	_, rest, _ := strings.Cut(string(raw), "\nUmask:")
	line, _, _ := strings.Cut(rest, "\n")
	mask, err := strconv.ParseInt(strings.TrimSpace(line), 8, 32)
	return mask, err == nil
}
