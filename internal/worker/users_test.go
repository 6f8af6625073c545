package worker

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/confine"
	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
)

func needUsers(t *testing.T, s *stand) {
	t.Helper()
	if s.Users == nil {
		for _, l := range s.Confiner.Layers() {
			if l.Name == confine.OwnUser {
				t.Skip("workers have no users of their own: ", l.Detail)
			}
		}
	}
}

func ownerOf(t *testing.T, path string) (user, group uint32, mode os.FileMode) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	return st.Uid, st.Gid, info.Mode()
}

func TestWorkersHaveUsersOfTheirOwn(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	needUsers(t, s)
	a, b := s.load(t, `Deno.serve(() => new Response(String(Deno.uid())));`), s.load(t, `Deno.serve(() => new Response(String(Deno.uid())));`)
	if a.get(t, "/", "") != fmt.Sprint(a.user) || b.get(t, "/", "") != fmt.Sprint(b.user) || a.user == b.user {
		t.Errorf("users %d and %d", a.user, b.user)
	}
	for _, w := range []*subject{a, b} {
		for _, path := range []string{"", deno.TempDir, deno.ServeSocket} {
			user, group, mode := ownerOf(t, filepath.Join(w.dir, path))
			if user != w.user || group != w.user || path != deno.ServeSocket && mode.Perm() != 0o700 {
				t.Errorf("%q is %v of %d:%d, not of %d", path, mode, user, group, w.user)
			}
		}
		if own, ok := w.Memory(); !ok || own == 0 {
			t.Error("its memory is not known")
		}
		if pss, ok := w.PSS(); !ok || pss == 0 {
			t.Error("its proportional set size is not known")
		}
	}
	user := a.user
	a.Stop()
	if s.Users.taken[user] || !s.Users.taken[b.user] {
		t.Errorf("taken: %v", s.Users.taken)
	}
}

// What V8 has compiled is kept by all workers together.
func TestWorkersShareTheCodeCache(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	needUsers(t, s)
	size := func() (n int64) {
		files, _ := filepath.Glob(filepath.Join(s.Runtime.CacheDir, deno.CodeCache+"*"))
		for _, file := range files {
			if info, err := os.Stat(file); err == nil {
				n += info.Size()
			}
			if _, group, mode := ownerOf(t, file); group != firstUser || mode.Perm() != 0o660 {
				t.Errorf("%s is %v of group %d", file, mode, group)
			}
		}
		return n
	}
	for i := range 3 {
		before := size()
		w := s.load(t, fmt.Sprintf("globalThis.n = %d; %s", i, strings.Repeat("globalThis.f = (x) => x * x;\n", 200))+`Deno.serve(() => new Response(""));`)
		w.get(t, "/", "")
		eventually(t, "more in the code cache", func() bool { return size() > before })
		w.Stop()
	}
}

// TestUsersSeparateWorkers leaves out all other walls.
func TestUsersSeparateWorkers(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	needUsers(t, s)
	for _, layer := range []string{confine.Landlock, confine.Seccomp, confine.Capabilities} {
		s.Confiner = s.Confiner.Without(layer, "for the test")
	}
	victim := s.load(t, `Deno.writeTextFileSync(Deno.env.get("TMPDIR") + "/secret", "x"); Deno.serve(() => new Response("victim"));`)
	attacker := s.start(t)
	confine.SeeAs(attacker.user, func() {
		for _, path := range []string{filepath.Join(victim.dir, deno.TempDir, "secret"), victim.dir, s.RunDir, fmt.Sprintf("/proc/%d/environ", victim.PID()), s.Runtime.CacheDir} {
			if _, err := os.ReadFile(path); err == nil || !strings.Contains(err.Error(), "permission denied") && !strings.Contains(err.Error(), "is a directory") {
				t.Errorf("%s: %v", path, err)
			}
			if f, err := os.Open(path); err == nil {
				f.Close()
				t.Errorf("%s can be opened", path)
			}
		}
		if c, err := net.Dial("unix", filepath.Join(victim.dir, deno.ServeSocket)); err == nil {
			c.Close()
			t.Error("its socket can be connected to")
		}
	})
	if got := victim.get(t, "/", ""); got != "victim" {
		t.Error(got)
	}
}

// A worker that broke its engine could leave processes outside of its group.
func TestUserIsNotUsedAgainWhileItHasProcesses(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	needUsers(t, s)
	w := s.start(t)
	left := exec.Command("/bin/sleep", "600")
	left.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: w.user, Gid: w.user}}
	left.Dir = "/"
	if err := left.Start(); err != nil {
		t.Fatal(err)
	}
	s.Users.next = w.user
	if user, err := s.Users.take(); err != nil || user == w.user {
		t.Errorf("%d is given twice: %v", user, err)
	}
	waited := make(chan error, 1)
	go func() { waited <- left.Wait() }()
	user := w.user
	w.Stop()
	if err := <-waited; err == nil { // killed, and perhaps waited for already
		t.Error("what it left ended by itself")
	}
	if s.Users.taken[user] || confine.UserBusy(user) {
		t.Error("its user is not given back")
	}
}

func TestDeletedFilesOfAnotherUserCount(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	needUsers(t, s)
	w := s.load(t, `const f = Deno.openSync(Deno.env.get("TMPDIR") + "/x", { create: true, write: true });
		f.writeSync(new Uint8Array(8 << 20)); Deno.removeSync(Deno.env.get("TMPDIR") + "/x"); globalThis.f = f;
		Deno.serve(() => new Response(""));`)
	if n, _ := w.Files(1 << 30); n < 8<<20 {
		t.Errorf("%d bytes", n)
	}
}

func TestUsersRunOut(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("there are no users of their own")
	}
	u := NewUsers(1_898_000_000, 1_898_000_003)
	seen := map[uint32]bool{}
	for range 3 {
		user, err := u.take()
		if err != nil || user <= 1_898_000_000 || user > 1_898_000_003 || seen[user] {
			t.Fatalf("%d %v, of %v", user, err, seen)
		}
		seen[user] = true
	}
	if user, err := u.take(); err == nil || !strings.Contains(err.Error(), "--worker-uids") {
		t.Errorf("%d %v", user, err)
	}
	u.leave(1_898_000_002)
	if user, err := u.take(); err != nil || user != 1_898_000_002 {
		t.Errorf("%d %v", user, err)
	}
}

func TestOwnUsersWhereOthersCannotEnter(t *testing.T) {
	s := newStand(t)
	needUsers(t, s)
	dir := denotest.TempDir(t)
	closedDir := filepath.Join(dir, "closed")
	bundles, certificate := filepath.Join(closedDir, "data", "bundles"), filepath.Join(closedDir, "ca.pem")
	if err := errors.Join(os.MkdirAll(bundles, 0o755), os.WriteFile(certificate, nil, 0o644), os.Chmod(closedDir, 0o700)); err != nil {
		t.Fatal(err)
	}
	denotest.Open(t, dir)
	for name, change := range map[string]func(*testing.T, *Host){
		"bundles": func(_ *testing.T, h *Host) { h.Runtime.BundleDir = bundles },
		// Deno says nothing of one of these that it cannot read.
		"certificates": func(t *testing.T, _ *Host) { t.Setenv("NODE_EXTRA_CA_CERTS", certificate) },
	} {
		t.Run(name, func(t *testing.T) {
			h := &Host{Runtime: s.Runtime, RunDir: s.RunDir, Confiner: confine.New()}
			change(t, h)
			if err := h.OwnUsers(NewUsers(firstUser, lastUser)); err != nil {
				t.Fatal(err)
			}
			for _, l := range h.Confiner.Layers() {
				if l.Name == confine.OwnUser && (l.On || !strings.Contains(l.Detail, "no right to "+closedDir+":")) {
					t.Errorf("%+v", l)
				}
			}
		})
	}
}

// TestWithTheRightsOfAContainer runs the tests of this file, and some others,
// with the capabilities that containers have by default, and no more.
func TestWithTheRightsOfAContainer(t *testing.T) {
	if os.Geteuid() != 0 || runtime.GOOS != "linux" {
		t.Skip("it takes root")
	}
	if os.Getenv("SELVEDGE_TEST_CONTAINER") != "" {
		t.Skip("it is such a run")
	}
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		t.Skip("there is no setpriv: ", err)
	}
	const usual = "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw,+sys_chroot,+mknod,+audit_write,+setfcap"
	cmd := exec.Command(setpriv, "--bounding-set", usual, "--inh-caps", "-all", os.Args[0],
		"-test.run=User|Orphan|TestPSS|TestMemory|TestStop|FitWalls", "-test.v")
	cmd.Env = append(os.Environ(), "SELVEDGE_TEST_CONTAINER=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestWorkersHaveUsersOfTheirOwn") {
		t.Errorf("%v\n%s", err, out)
	}
}
