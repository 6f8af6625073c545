package aws

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/selvedge-dev/selvedge/e2e/harness"
)

// openTerminal returns a pseudo-terminal: the side of the user and that of the
// program.
func openTerminal() (user, program *os.File, err error) {
	user, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	number, err := unix.IoctlGetInt(int(user.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(user.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(program.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 160})
	}
	if err != nil {
		user.Close()
		return nil, nil, err
	}
	return user, program, nil
}

// onTerminal runs the binary for somebody at a terminal, who types what is
// given when it asks something. What it writes there is the result's stdout.
func (a *account) onTerminal(dir, typed string, args ...string) *result {
	a.t.Helper()
	user, program, err := openTerminal()
	if err != nil {
		a.t.Skipf("skipped: no pseudo-terminal can be had: %v", err)
	}
	defer user.Close()
	r := &running{a: a, result: &result{args: args, from: time.Now()}, cmd: exec.Command(harness.Binary, args...)}
	r.cmd.Dir, r.cmd.Env = dir, a.environ("TERM=xterm")
	r.cmd.Stdin, r.cmd.Stdout, r.cmd.Stderr = program, program, program
	if err := r.cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	program.Close()
	read := make(chan struct{})
	go func() { // ends with the program, whose terminal is gone then
		defer close(read)
		_, _ = io.Copy(&r.stdout, user)
	}()
	if typed != "" {
		harness.Eventually(a.t, time.Minute, "the command asks", func() bool {
			said := r.stdout.String()
			return strings.HasSuffix(said, "? ") || strings.HasSuffix(said, ": ") || strings.HasSuffix(said, "[y/N] ")
		})
		if _, err := io.WriteString(user, typed); err != nil {
			a.t.Fatal(err)
		}
	}
	result := r.wait()
	<-read
	result.stdout = r.stdout.String()
	return result
}
