package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/selvedge-dev/selvedge/e2e/harness"
)

// terminal makes a pseudo terminal of 100 columns and 30 lines. What is written
// to master is typed; what is shown comes out of it.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("there are no pseudo terminals here:", err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: 100})
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("there are no pseudo terminals here:", err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// TestTopLive watches the workers in a terminal, sorts them, and leaves the
// terminal as it was.
func TestTopLive(t *testing.T) {
	dir := project(t, map[string]string{"functions/talk/index.ts": talk})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions"), Args: []string{"--prestart", "1"}})
	s.call("POST", "/talk", "x")
	master, slave := terminal(t)
	before, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	top := s.command("top", "--every", "100ms")
	top.Stdin, top.Stdout, top.Stderr = slave, slave, slave
	if err := top.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = top.Process.Kill() }) // no error matters where it has ended
	shown := &harness.Buffer{}
	go func() { // until the terminal is closed, at the end of the test
		var b [4096]byte
		for {
			n, err := master.Read(b[:])
			shown.Write(b[:n])
			if err != nil {
				return
			}
		}
	}()
	last := func() string { // the last whole picture
		all := strings.Split(shown.String(), "\x1b[H")
		return all[max(len(all)-2, 0)]
	}
	shows := func(what ...string) {
		t.Helper()
		eventually(t, 20*time.Second, fmt.Sprintf("%q is shown", what), func() bool {
			for _, w := range what {
				if !strings.Contains(last(), w) {
					return false
				}
			}
			return true
		})
	}
	press := func(key string) {
		t.Helper()
		if _, err := master.WriteString(key); err != nil {
			t.Fatal(err)
		}
	}
	shows("By CPU", "talk", "serving", "prestarted")
	press("m")
	shows("By memory")
	s.call("POST", "/talk", "y")
	shows("  2         ") // requests
	press("c")
	shows("By CPU")
	press("q")
	ended := make(chan error, 1)
	go func() { ended <- top.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("top ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("q does not end it")
	}
	after, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil || *after != *before {
		t.Errorf("the terminal was left as %+v, found as %+v, %v", after, before, err)
	}
	eventually(t, 10*time.Second, "the first screen and the cursor are back", func() bool {
		return strings.HasSuffix(shown.String(), "\x1b[?25h\x1b[?1049l")
	})
}
