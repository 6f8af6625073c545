package confine

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// someUser is one that no system has given to anybody.
const someUser = 1_899_999_999

// onlyUsers has no wall but that of users.
func onlyUsers(t *testing.T) *Confiner {
	t.Helper()
	c := New()
	need(t, c, OwnUser)
	for _, l := range []string{Capabilities, Landlock, Seccomp} {
		c = c.Without(l, "for the test")
	}
	return c
}

// open lets all users enter a test's folder.
func open(t *testing.T, dir string) {
	t.Helper()
	for ; dir != filepath.Clean(os.TempDir()); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// ownProgram is the test's program where all users may run it.
func ownProgram(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	open(t, dir)
	raw, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "program")
	if err := os.WriteFile(path, raw, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// asUser has a process of a user do something and returns what it printed.
func asUser(t *testing.T, c *Confiner, p Policy, what, arg string) string {
	t.Helper()
	cmd := exec.Command(ownProgram(t))
	cmd.Env = []string{"CONFINED=" + what, "CONFINED_ARG=" + arg, "GORACE=atexit_sleep_ms=0"}
	cmd.Dir = "/"
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	process, err := c.Start(cmd, p)
	if err != nil {
		t.Fatal(err)
	}
	<-process.Ended
	_ = cmd.Wait()
	return strings.TrimSpace(out.String())
}

// TestOwnUser shows what a user of its own holds without any other wall.
func TestOwnUser(t *testing.T) {
	c := onlyUsers(t)
	dir := t.TempDir()
	open(t, dir)
	secret, theirs := filepath.Join(dir, "secret"), filepath.Join(dir, "theirs")
	if err := os.WriteFile(secret, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(theirs, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(theirs, someUser, someUser); err != nil {
		t.Fatal(err)
	}
	p := Policy{User: someUser, Groups: []uint32{someUser - 1}}
	for what, tries := range map[string][]string{
		"read":     {secret, fmt.Sprintf("/proc/%d/environ", os.Getpid()), "/etc/shadow"},
		"write":    {secret, filepath.Join(dir, "new")},
		"list":     {fmt.Sprintf("/proc/%d/fd", os.Getpid())},
		"kill":     {""},
		"limit":    {fmt.Sprint(os.Getpid())},
		"priority": {fmt.Sprint("0 ", os.Getpid())},
		"ptrace":   {""},
	} {
		for _, arg := range tries {
			if got := asUser(t, c, p, what, arg); !strings.HasPrefix(got, "refused: ") || !strings.Contains(got, "permi") {
				t.Errorf("%s %s: %s", what, arg, got)
			}
		}
	}
	if got := asUser(t, c, p, "read", theirs); got != "done" {
		t.Errorf("its own file: %s", got)
	}
	status := asUser(t, c, p, "status", "")
	for _, want := range []string{
		fmt.Sprintf("Uid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", someUser), fmt.Sprintf("Gid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", someUser), fmt.Sprintf("Groups:\t%d \n", someUser-1),
		"CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n", "CapAmb:\t0000000000000000\n",
	} {
		if !strings.Contains(status, want) {
			t.Errorf("no %q in %s", want, status)
		}
	}
	if got := asUser(t, c.Without(OwnUser, "for the test"), p, "read", secret); got != "done" {
		t.Errorf("the server's own user: %s", got)
	}
}

// TestOwnUserWithAllWalls has them all, for they get in each other's way: the
// capabilities are gone before the process becomes the user.
func TestOwnUserWithAllWalls(t *testing.T) {
	c := New()
	need(t, c, OwnUser)
	p := base()
	p.User = someUser
	p.Run = append(p.Run, "/tmp", os.TempDir())
	if got := asUser(t, c, p, "status", ""); !strings.Contains(got, fmt.Sprintf("Uid:\t%[1]d\t%[1]d", someUser)) ||
		c.On(Capabilities) && !strings.Contains(got, "CapBnd:\t0000000000000000") {
		t.Error(got)
	}
}

func TestOwnUserLimits(t *testing.T) {
	c := New()
	need(t, c, OwnUser)
	program := ownProgram(t)
	p := base()
	p.User, p.Files, p.Tasks = someUser, 64, 100
	p.Run = append(p.Run, program)
	cmd := exec.Command(program)
	cmd.Env, cmd.Dir = []string{"CONFINED=sleep"}, "/"
	process, err := c.Start(cmd, p)
	if err != nil {
		t.Fatal(err)
	}
	check := func(resource int, want uint64) {
		t.Helper()
		var l unix.Rlimit
		var err error
		if aerr := as(someUser, real, func() { err = unix.Prlimit(cmd.Process.Pid, resource, nil, &l) }); aerr != nil || err != nil || l.Cur != want || l.Max != want {
			t.Errorf("resource %d: %+v %v %v", resource, l, err, aerr)
		}
	}
	check(unix.RLIMIT_CORE, 0)
	check(unix.RLIMIT_NOFILE, 64)
	check(unix.RLIMIT_NPROC, 100)
	LimitFiles(cmd.Process.Pid, someUser, 32)
	check(unix.RLIMIT_NOFILE, 32)
	LowerPriority(cmd.Process.Pid, someUser, 7)
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", cmd.Process.Pid))
	if err != nil || len(threads) == 0 {
		t.Error(err)
	}
	for _, thread := range threads {
		id, _ := strconv.Atoi(thread.Name())
		if n, err := unix.Getpriority(unix.PRIO_PROCESS, id); n != 20-7 || err != nil { // the call's own way to say 7
			t.Errorf("thread %d: %d %v", id, n, err)
		}
	}
	for _, on := range []bool{true, false} {
		Batch(cmd.Process.Pid, someUser, on)
		for _, thread := range threads {
			id, _ := strconv.Atoi(thread.Name())
			attr, err := unix.SchedGetAttr(id, 0)
			if err != nil || (attr.Policy == unix.SCHED_BATCH) != on || attr.Nice != 7 {
				t.Errorf("thread %d, batch %t: %+v %v", id, on, attr, err)
			}
		}
	}
	if !UserBusy(someUser) {
		t.Error("nobody sees its process")
	}
	seen := false
	SeeAs(someUser, func() {
		_, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", cmd.Process.Pid))
		seen = err == nil
	})
	if !seen {
		t.Error("its files cannot be seen")
	}
	go func() { _ = cmd.Wait() }()
	if !EndUser(someUser) || UserBusy(someUser) {
		t.Error("it does not end")
	}
	<-process.Ended
}

// TestThreadsStayTheServers looks at all threads after some were others'.
func TestThreadsStayTheServers(t *testing.T) {
	need(t, New(), OwnUser)
	sleeper := exec.Command("/bin/sleep", "60")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sleeper.Process.Kill(); _ = sleeper.Wait() }()
	for range 100 {
		LimitFiles(sleeper.Process.Pid, someUser, 100) // in vain: it is another's
		LowerPriority(sleeper.Process.Pid, someUser, 7)
		SeeAs(someUser, func() {
			if _, err := os.ReadFile("/etc/shadow"); err == nil {
				t.Error("it sees what only root may")
			}
		})
	}
	var l unix.Rlimit
	if err := unix.Prlimit(sleeper.Process.Pid, unix.RLIMIT_NOFILE, nil, &l); err != nil {
		t.Fatal(err)
	}
	if n, err := unix.Getpriority(unix.PRIO_PROCESS, sleeper.Process.Pid); n != 20 || err != nil {
		t.Errorf("another user's process has priority %d %v", n, err)
	}
	tasks, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range tasks {
		raw, err := os.ReadFile(file)
		if err == nil && !strings.Contains(string(raw), "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n") {
			t.Errorf("%s", raw)
		}
	}
}

// TestOwnUserDiesWithTheServer ends the thread that a process was started by, as
// the end of the server does.
func TestOwnUserDiesWithTheServer(t *testing.T) {
	c := New()
	need(t, c, OwnUser)
	need(t, c, Capabilities)
	program := ownProgram(t)
	p := base()
	p.User = someUser
	p.Run = append(p.Run, program)
	cmd := exec.Command(program)
	cmd.Env, cmd.Dir = []string{"CONFINED=sleep"}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: &syscall.Credential{Uid: someUser, Gid: someUser}}
	ended := make(chan error)
	go func() {
		runtime.LockOSThread() // and not given back: it ends with this function
		err := c.restrict(p)
		if err == nil {
			err = cmd.Start()
		}
		ended <- err
	}()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	gone := make(chan error, 1)
	go func() { gone <- cmd.Wait() }()
	select {
	case err := <-gone:
		if !strings.Contains(fmt.Sprint(err), "killed") {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		_ = cmd.Process.Kill()
		t.Error("it lives on")
	}
}

func TestCovers(t *testing.T) {
	all := "         0          0 4294967295\n"
	rootless := "         0       1000          1\n         1     100000      65536\n"
	for _, c := range []struct {
		lines       string
		first, last uint32
		want        bool
	}{
		{all, 1_900_000_000, 1_900_065_535, true},
		{rootless, 1_900_000_000, 1_900_065_535, false},
		{rootless, 30_000, 59_999, true},
		{rootless, 30_000, 65_536, true},
		{rootless, 30_000, 65_537, false},
		{rootless, 0, 10, false},
		{"", 1, 2, false},
	} {
		if got := covers(c.lines, c.first, c.last); got != c.want {
			t.Errorf("%d to %d in %q: %t", c.first, c.last, c.lines, got)
		}
	}
}
