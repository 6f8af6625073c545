package confine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// system is what was found out once.
type system struct {
	landlock int // its version, 0 for none
	filter   []unix.SockFilter
}

// run does what Start promises, on a thread of its own. The thread is never
// given back: Go ends it with the goroutine, and does not make other threads
// from one that is locked. It has to live as long as the process, since the
// kernel sends the parent-death signal when the thread ends.
func (c *Confiner) run(cmd *exec.Cmd, p Policy, started chan<- error, ended chan<- struct{}) {
	runtime.LockOSThread()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if !c.On(OwnUser) {
		p.User = 0
	}
	if p.User != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: p.User, Gid: p.User, Groups: p.Groups}
	}
	err := c.restrict(p)
	if err == nil {
		err = cmd.Start()
	}
	var handle *os.File
	if err == nil {
		// Not on this thread: the filter lets it limit nobody but itself.
		limited := make(chan error)
		go func() {
			handle = openHandle(cmd.Process.Pid)
			if c.On(Rlimits) {
				limited <- limit(cmd.Process.Pid, p)
			}
			close(limited)
		}()
		if err = <-limited; err != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if handle != nil {
				handle.Close()
			}
		}
	}
	started <- err
	if err == nil {
		waitNoReap(cmd.Process.Pid, handle)
		close(ended)
	}
}

// restrict puts the calling thread, and what it starts, under the policy. The
// order matters: Landlock and the filter ask for no-new-privileges, and what
// they take away the steps before may need.
func (c *Confiner) restrict(p Policy) error {
	if c.On(NoNewPrivileges) {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("no-new-privileges: %w", err)
		}
	}
	if c.On(Landlock) {
		if err := restrictPaths(c.sys.landlock, p); err != nil {
			return fmt.Errorf("landlock: %w", err)
		}
	}
	if c.On(Capabilities) {
		var keep []int
		if p.User != 0 {
			// The process loses them as it becomes the user. This thread, with which
			// it ends, has to be allowed to send it the signal.
			keep = []int{unix.CAP_SETUID, unix.CAP_SETGID, unix.CAP_KILL}
		}
		if err := dropCapabilities(keep...); err != nil {
			return fmt.Errorf("capabilities: %w", err)
		}
	}
	if c.On(Seccomp) {
		if err := loadFilter(c.sys.filter); err != nil {
			return fmt.Errorf("seccomp: %w", err)
		}
	}
	return nil
}

// limit sets the resource limits of a process that was just started.
func limit(pid int, p Policy) error {
	// A core has the function's secrets in it.
	limits := map[int]uint64{unix.RLIMIT_CORE: 0}
	if p.Files > 0 {
		limits[unix.RLIMIT_NOFILE] = p.Files
	}
	if p.User != 0 && p.Tasks > 0 { // it counts those of the user, not of the process
		limits[unix.RLIMIT_NPROC] = p.Tasks
	}
	for resource, most := range limits {
		if err := lower(pid, p.User, resource, most); err != nil {
			return gone(err)
		}
	}
	return nil
}

// gone makes nothing of a process that has ended already.
func gone(err error) error {
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return fmt.Errorf("resource limits: %w", err)
}

// probe tries each layer on a thread that is thrown away.
func probe() ([]Layer, system) {
	type result struct {
		layers []Layer
		sys    system
	}
	found := make(chan result)
	go func() {
		runtime.LockOSThread() // for good, see run
		layers, sys := try()
		found <- result{layers, sys}
	}()
	r := <-found
	return r.layers, r.sys
}

func try() ([]Layer, system) {
	var sys system
	var layers []Layer
	add := func(name string, err error, detail string) {
		l := Layer{Name: name, On: err == nil, Detail: detail}
		if err != nil {
			l.Detail = err.Error()
		}
		layers = append(layers, l)
	}
	err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	add(NoNewPrivileges, err, "set-uid programs and file capabilities give nothing")

	version, verr := landlockVersion()
	if err == nil && verr == nil {
		verr = restrictPaths(version, Policy{Read: []string{"/"}})
	}
	if sys.landlock = version; verr != nil {
		verr = fmt.Errorf("%w; it needs Linux 5.13 or later, with landlock in the kernel's list of security modules, and a container that allows it", verr)
	}
	landlock := Layer{Name: Landlock, On: verr == nil, Detail: landlockDetail(version)}
	if verr != nil {
		landlock.Detail = verr.Error()
	}

	users := tryUsers() // with the capabilities that the server has
	if os.Geteuid() == 0 {
		add(Capabilities, dropCapabilities(), "root keeps none, so that the rights of files hold for it")
	} else {
		add(Capabilities, errors.New("the server does not run as root and has none to give"), "")
	}
	add(OwnUser, users, "each worker has a user and a group of its own")
	layers = append(layers, landlock)

	filter, err := newFilter()
	if err == nil {
		err = loadFilter(filter)
	}
	sys.filter = filter
	add(Seccomp, err, fmt.Sprintf("%d system calls that no function needs are refused", len(refused())))
	add(Rlimits, nil, "open files; no core dumps")
	add(ParentDeath, nil, "the kernel ends workers when the server dies")
	return layers, sys
}

// Libraries are the folders that a program finds its shared libraries in, and
// what has to be executed for it: itself and the loader that it names. What a
// script reads and runs cannot be told, so that is everything.
func Libraries(program string) (read, run []string) {
	loader, err := interpreter(program)
	if err != nil {
		return []string{"/"}, []string{"/"}
	}
	read = append(read, "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/nix/store", "/gnu/store")
	read = append(read, strings.FieldsFunc(os.Getenv("LD_LIBRARY_PATH"), func(r rune) bool { return r == ':' || r == ';' })...)
	if loader != "" {
		run = append(run, loader)
	}
	return read, append(run, program)
}
