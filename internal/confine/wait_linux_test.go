package confine

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Nothing of the server is in a system call that waits while a process runs: it
// would keep a processor of Go's.
func TestWaitKeepsNoProcessor(t *testing.T) {
	if fd, err := unix.PidfdOpen(os.Getpid(), unix.PIDFD_NONBLOCK); err != nil {
		t.Skipf("skipped: this system has no handles of processes: %v", err)
	} else {
		unix.Close(fd)
	}
	if _, err := os.ReadFile("/proc/self/task/" + fmt.Sprint(os.Getpid()) + "/syscall"); err != nil {
		t.Skipf("skipped: the system does not say what threads wait for: %v", err)
	}
	exe, _ := os.Executable()
	cmd := exec.Command(exe)
	cmd.Env = []string{"CONFINED=sleep"}
	process, err := New().Start(cmd, base())
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // for the thread to come to its wait
	threads, _ := filepath.Glob("/proc/self/task/*/syscall")
	for _, file := range threads {
		if raw, _ := os.ReadFile(file); strings.HasPrefix(string(raw), fmt.Sprint(unix.SYS_WAITID, " ")) {
			t.Errorf("a thread waits in waitid: %s", raw)
		}
	}
	select {
	case <-process.Ended:
		t.Error("it has ended, is said")
	default:
	}
	_ = cmd.Process.Kill()
	<-process.Ended
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 {
		t.Errorf("somebody else has reaped it: %v", err)
	}
}

func TestWaitWithoutHandle(t *testing.T) {
	exe, _ := os.Executable()
	cmd := exec.Command(exe)
	cmd.Env = []string{"CONFINED=sleep"}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		waitNoReap(cmd.Process.Pid, nil)
		close(ended)
	}()
	select {
	case <-ended:
		t.Error("it has ended, is said")
	case <-time.After(50 * time.Millisecond):
	}
	_ = cmd.Process.Kill()
	<-ended
	_ = cmd.Wait()
}
