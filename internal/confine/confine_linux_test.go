package confine

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if what := os.Getenv("CONFINED"); what != "" {
		confined(what, os.Getenv("CONFINED_ARG"))
		return
	}
	goleak.VerifyTestMain(m)
}

// confined is what the tests' child process does: it tries one thing and says
// how it went.
func confined(what, arg string) {
	var err error
	switch what {
	case "read":
		_, err = os.ReadFile(arg)
	case "list":
		_, err = os.ReadDir(arg)
	case "write":
		err = os.WriteFile(arg, []byte("x"), 0o600)
	case "exec":
		err = exec.Command(arg).Run()
	case "listen":
		var l net.Listener
		config := &net.ListenConfig{}
		config.SetMultipathTCP(false) // which Landlock does not look at
		if l, err = config.Listen(context.Background(), "tcp", arg); err == nil {
			l.Close()
		}
	case "connect":
		var c net.Conn
		if c, err = net.Dial("tcp", arg); err == nil {
			c.Close()
		}
	case "abstract":
		var c net.Conn
		if c, err = net.Dial("unix", arg); err == nil {
			c.Close()
		}
	case "socket":
		var family, kind, protocol int
		_, _ = fmt.Sscanf(arg, "%d %d %d", &family, &kind, &protocol)
		_, err = unix.Socket(family, kind, protocol)
	case "kill":
		err = unix.Kill(os.Getppid(), 0)
	case "limit":
		err = unix.Prlimit(number(arg), unix.RLIMIT_NOFILE, nil, &unix.Rlimit{})
	case "priority":
		var which, who int
		_, _ = fmt.Sscanf(arg, "%d %d", &which, &who)
		err = unix.Setpriority(which, who, 1)
	case "processors":
		var all unix.CPUSet
		if err = unix.SchedGetaffinity(number(arg), &all); err == nil {
			err = unix.SchedSetaffinity(number(arg), &all)
		}
	case "ptrace":
		err = unix.PtraceSeize(os.Getppid())
	case "unshare":
		err = unix.Unshare(unix.CLONE_NEWUSER)
	case "clone":
		cmd := exec.Command("/proc/self/exe")
		cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}
		err = cmd.Start()
	case "bpf":
		_, _, errno := unix.Syscall(unix.SYS_BPF, 0, 0, 0)
		err = errno
	case "io_uring":
		_, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, 0, 0)
		err = errno
	case "status":
		raw, rerr := os.ReadFile("/proc/self/status")
		fmt.Print(string(raw))
		err = rerr
	case "sleep":
		time.Sleep(time.Hour)
	}
	if err != nil {
		fmt.Println("refused:", err)
		os.Exit(3)
	}
	fmt.Println("done")
}

// base is what the test's own binary needs to run.
func base() Policy {
	exe, _ := os.Executable()
	read, run := Libraries(exe)
	return Policy{Run: run, Read: append(read, "/proc", "/sys/kernel/mm", "/etc", "/dev")}
}

// try has a confined process do something and returns what it printed.
func attempt(t *testing.T, c *Confiner, p Policy, what, arg string) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = []string{"CONFINED=" + what, "CONFINED_ARG=" + arg, "GORACE=atexit_sleep_ms=0"}
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

// need skips the test where the system lacks a layer.
func need(t *testing.T, c *Confiner, name string) {
	t.Helper()
	for _, l := range c.Layers() {
		if l.Name == name && !l.On {
			t.Skipf("there is no %s here: %s", name, l.Detail)
		}
	}
}

func TestLandlock(t *testing.T) {
	c := New()
	need(t, c, Landlock)
	dir := t.TempDir()
	for _, sub := range []string{"read", "write", "none"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, sub, "file"), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(dir, "none", "file"), filepath.Join(dir, "write", "link")); err != nil {
		t.Fatal(err)
	}
	abstract, err := net.Listen("unix", fmt.Sprintf("@selvedge-test-%d", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	defer abstract.Close()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	p := base()
	p.Read = append(p.Read, filepath.Join(dir, "read"), filepath.Join(dir, "missing"))
	p.Write = append(p.Write, filepath.Join(dir, "write"))
	p.Listen = []uint16{uint16(port)}
	for _, a := range []struct {
		what, arg string
		held      bool
		since     int // version of Landlock
	}{
		{"read", dir + "/read/file", false, 1},
		{"list", dir + "/read", false, 1},
		{"write", dir + "/read/file", true, 1},
		{"read", dir + "/write/file", false, 1},
		{"write", dir + "/write/new", false, 1},
		{"read", dir + "/write/link", true, 1},
		{"write", dir + "/write/link", true, 1},
		{"read", dir + "/none/file", true, 1},
		{"list", dir + "/none", true, 1},
		{"write", dir + "/none/file", true, 1},
		{"exec", "/bin/true", true, 1},
		{"listen", "127.0.0.1:0", true, 4},
		{"listen", fmt.Sprintf("127.0.0.1:%d", port), false, 4},
		{"connect", tcp.Addr().String(), false, 4},
		{"abstract", abstract.Addr().String(), true, 6},
		{"kill", "", true, 6},
	} {
		if c.sys.landlock < a.since {
			t.Logf("%s %s: needs version %d of Landlock, here is %d", a.what, a.arg, a.since, c.sys.landlock)
			continue
		}
		if got := attempt(t, c, p, a.what, a.arg); strings.HasPrefix(got, "refused:") != a.held || !a.held && got != "done" {
			t.Errorf("%s %s: %s", a.what, a.arg, got)
		}
	}
	// All of it can be done otherwise, so that each refusal above is Landlock's.
	for _, a := range [][2]string{{"read", dir + "/none/file"}, {"list", dir + "/none"}, {"write", dir + "/none/file"}, {"exec", "/bin/true"}, {"listen", "127.0.0.1:0"}, {"abstract", abstract.Addr().String()}, {"kill", ""}} {
		if got := attempt(t, nil, p, a[0], a[1]); got != "done" {
			t.Errorf("unconfined: %s %s: %s", a[0], a[1], got)
		}
	}
}

func TestSeccomp(t *testing.T) {
	c := New()
	need(t, c, Seccomp)
	p := base()
	for _, what := range []string{"ptrace", "unshare", "clone", "bpf", "io_uring"} {
		if got := attempt(t, c, p, what, ""); !strings.HasPrefix(got, "refused:") || !strings.HasSuffix(got, "operation not permitted") {
			t.Errorf("%s: %s", what, got)
		}
	}
	for socket, want := range map[string]string{
		fmt.Sprint(unix.AF_INET, unix.SOCK_STREAM): "done", fmt.Sprint(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC): "done",
		fmt.Sprint(unix.AF_UNIX, unix.SOCK_STREAM): "done", fmt.Sprint(unix.AF_NETLINK, unix.SOCK_RAW): "done",
		fmt.Sprint(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC):      "refused: operation not permitted",
		fmt.Sprint(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_TCP):   "done",
		fmt.Sprint(unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_UDP):    "done",
		fmt.Sprint(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP): "refused: protocol not supported",
		fmt.Sprint(unix.AF_INET6, unix.SOCK_STREAM, unix.IPPROTO_SCTP): "refused: protocol not supported",
		fmt.Sprint(unix.AF_PACKET, unix.SOCK_RAW):                      "refused: address family not supported by protocol",
		fmt.Sprint(unix.AF_VSOCK, unix.SOCK_STREAM):                    "refused: address family not supported by protocol",
		fmt.Sprint(unix.AF_ALG, unix.SOCK_SEQPACKET):                   "refused: address family not supported by protocol",
	} {
		if got := attempt(t, c, p, "socket", socket); got != want {
			t.Errorf("socket %s: %s, want %s", socket, got, want)
		}
	}
}

// TestSeccompOfOthers is about calls that a process may make about itself: the
// same user's other processes can be told apart only by their number.
func TestSeccompOfOthers(t *testing.T) {
	c := New()
	need(t, c, Seccomp)
	pid := fmt.Sprint(os.Getpid())
	for _, own := range [][2]string{{"limit", "0"}, {"priority", "0 0"}, {"processors", "0"}} {
		if got := attempt(t, c, base(), own[0], own[1]); got != "done" {
			t.Errorf("%s of its own: %s", own[0], got)
		}
	}
	for _, other := range [][2]string{{"limit", pid}, {"priority", "0 " + pid}, {"priority", "2 0"}, {"processors", pid}} {
		if got := attempt(t, c, base(), other[0], other[1]); got != "refused: operation not permitted" {
			t.Errorf("%s of %s: %s", other[0], other[1], got)
		}
	}
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

func TestStatus(t *testing.T) {
	c := New()
	got := attempt(t, c, base(), "status", "")
	if c.On(NoNewPrivileges) && !strings.Contains(got, "NoNewPrivs:\t1") {
		t.Error("new privileges can be had")
	}
	if c.On(Seccomp) && !strings.Contains(got, "Seccomp:\t2") {
		t.Error("there is no filter")
	}
	if c.On(Capabilities) {
		for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb"} {
			if !strings.Contains(got, set+":\t0000000000000000") {
				t.Errorf("%s is not empty", set)
			}
		}
	}
	if !strings.Contains(got, "done") {
		t.Errorf("%s", got)
	}
}

func TestLimits(t *testing.T) {
	c := New()
	exe, _ := os.Executable()
	cmd := exec.Command(exe)
	cmd.Env = []string{"CONFINED=sleep"}
	p := base()
	p.Files = 64
	process, err := c.Start(cmd, p)
	if err != nil {
		t.Fatal(err)
	}
	for resource, want := range map[int]uint64{unix.RLIMIT_CORE: 0, unix.RLIMIT_NOFILE: 64} {
		var l unix.Rlimit
		if err := unix.Prlimit(cmd.Process.Pid, resource, nil, &l); err != nil || l.Cur != want || l.Max != want {
			t.Errorf("resource %d: %+v %v", resource, l, err)
		}
	}
	_ = cmd.Process.Kill()
	<-process.Ended
	_ = cmd.Wait()
}

// The restrictions are the child's alone: threads that the server makes later
// must not have them.
func TestServerIsNotConfined(t *testing.T) {
	c := New()
	for range 20 {
		if got := attempt(t, c, base(), "nothing", ""); got != "done" {
			t.Fatal(got)
		}
	}
	done := make(chan error)
	for range 50 {
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			time.Sleep(10 * time.Millisecond) // so that each has a thread
			raw, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/status", unix.Gettid()))
			if err == nil && (strings.Contains(string(raw), "NoNewPrivs:\t1") || strings.Contains(string(raw), "Seccomp:\t2")) {
				err = fmt.Errorf("a thread of the server is confined: %s", raw)
			}
			done <- err
		}()
	}
	for range 50 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestThreadsEnd(t *testing.T) {
	c := New()
	count := func() int {
		tasks, _ := os.ReadDir("/proc/self/task")
		return len(tasks)
	}
	attempt(t, c, base(), "nothing", "")
	before := count()
	for range 30 {
		attempt(t, c, base(), "nothing", "")
	}
	if after := count(); after > before+10 {
		t.Errorf("%d threads became %d", before, after)
	}
}

func TestStartFails(t *testing.T) {
	c := New()
	if _, err := c.Start(exec.Command("/nowhere/at/all"), base()); err == nil || !strings.Contains(err.Error(), "/nowhere/at/all") {
		t.Errorf("%v", err)
	}
}

func TestOff(t *testing.T) {
	for _, l := range Off("somebody said so").Layers() {
		on := l.Name == ParentDeath || l.Name == Rlimits
		if l.On != on || !on && l.Detail != "somebody said so" && l.Name != Capabilities && l.Name != OwnUser {
			t.Errorf("%+v", l)
		}
	}
	if got := attempt(t, Off("x"), Policy{}, "list", "/"); got != "done" {
		t.Error(got)
	}
}

func BenchmarkStart(b *testing.B) {
	for name, c := range map[string]*Confiner{"confined": New(), "plain": nil} {
		b.Run(name, func(b *testing.B) {
			p := base()
			p.Run = append(p.Run, "/bin/true")
			for b.Loop() {
				cmd := exec.Command("/bin/true")
				process, err := c.Start(cmd, p)
				if err != nil {
					b.Fatal(err)
				}
				<-process.Ended
				_ = cmd.Wait()
			}
		})
	}
}

func TestLibraries(t *testing.T) {
	exe, _ := os.Executable()
	if read, run := Libraries(exe); run[len(run)-1] != exe || slices.Contains(read, "/") {
		t.Errorf("%q %q", read, run)
	}
	script := filepath.Join(t.TempDir(), "deno")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nexec /bin/true\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	read, run := Libraries(script)
	cmd := exec.Command(script)
	process, err := New().Start(cmd, Policy{Read: read, Run: run})
	if err != nil {
		t.Fatal(err)
	}
	<-process.Ended
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
