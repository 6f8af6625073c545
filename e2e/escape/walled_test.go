package escape

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/confine"
	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/worker"
)

// TestAttemptsAgainstTheSystemAlone gives all attempts all of Deno's
// permissions, behind the walls that a worker has. It shows what the system
// holds by itself, attempts of machine code among them, and that nothing is said
// to be held by it that is not.
func TestAttemptsAgainstTheSystemAlone(t *testing.T) {
	walls := confine.New()
	if !walls.On(confine.Landlock) && !walls.On(confine.Seccomp) {
		skip(t, "the system has no walls")
	}
	all := true // as they are on a server that runs as root, on a new kernel
	for n := range layerOf {
		all = all && missing(n, walls) == ""
	}
	makeAttempts(t, trial{
		native: true,
		leave:  func(a attempt) string { return missing(a.system(), walls) },
		make: func(s *stage, a attempt) (held, control string) {
			held = s.open(t, a, true)
			if a.native {
				control = s.open(t, a, false)
			}
			return held, control
		},
		check: func(t *testing.T, a attempt, held, control string) {
			switch {
			case a.native && !escaped(held) && !escaped(control):
				skip(t, fmt.Sprintf("the machine lets nobody %s", a.name))
			case escaped(held) && a.system() != "":
				t.Errorf("it escaped: %s", held)
			case !escaped(held) && a.system() == "" && a.alone == "" && all:
				t.Errorf("the system holds it, too, and the table does not say so: %s", held)
			}
		},
	})
}

// walledFile is the variable that has this program start another one behind the
// walls of a worker: it names what to start.
const walledFile = "SELVEDGE_ESCAPE_WALLED"

// A walled process is one with a worker's walls and all of Deno's permissions.
type walled struct {
	Args    []string
	Environ []string
	Script  string // in the place of the bootstrap, its folder in that of the bundles
	Cache   string
	Dir     string // the private folder
	// Packages is the package cache of one that runs from source, "" for others.
	Packages string
}

// walledCommand starts it by way of this program: walls are put up by a thread
// of its own, which would not be in the network of the test's thread.
func walledCommand(ctx context.Context, w walled) (*exec.Cmd, error) {
	raw, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}
	file := w.Dir + ".json"
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = []string{walledFile + "=" + file, "GORACE=atexit_sleep_ms=0"}
	return cmd, nil
}

// runWalled is that program; it returns the exit code.
func runWalled(file string) int {
	var w walled
	raw, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(raw, &w)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	host := &worker.Host{Runtime: deno.Runtime{Binary: w.Args[0], Bootstrap: w.Script, BundleDir: filepath.Dir(w.Script), CacheDir: w.Cache}}
	var profile deno.Profile
	if w.Packages != "" {
		profile.Unbundled = deno.Unbundled{CacheDir: w.Packages, OwnDir: w.Cache}
	}
	// What one of them downloads into the cache must not be what holds the next,
	// which is another user.
	syscall.Umask(0)
	cmd := exec.Command(w.Args[0], w.Args[1:]...)
	cmd.Dir = filepath.Join(w.Dir, deno.TempDir)
	cmd.Env, cmd.Stdout, cmd.Stderr = w.Environ, os.Stdout, os.Stderr
	policy := host.Policy(profile, w.Dir)
	if err := giveUser(&policy, w); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if _, err := confine.New().Start(cmd, policy); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if err := cmd.Wait(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// giveUser has the process run as a user that nobody else is, where there can be
// one; the private folder is its own.
func giveUser(p *confine.Policy, w walled) error {
	if os.Geteuid() != 0 {
		return nil
	}
	p.User = 1_898_000_000 + uint32(os.Getpid())
	info, err := os.Stat(w.Cache)
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Gid != 0 {
		p.Groups = []uint32{st.Gid} // as workers
	}
	return filepath.WalkDir(w.Dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = os.Lchown(path, int(p.User), int(p.User))
		}
		return err
	})
}
