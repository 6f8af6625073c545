package confine

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// needed are the capabilities that it takes to start processes of other users,
// give them files, and look after them. Containers have them by default.
var needed = []struct {
	number int
	name   string
}{
	{unix.CAP_SETUID, "SETUID"}, {unix.CAP_SETGID, "SETGID"}, {unix.CAP_KILL, "KILL"},
	{unix.CAP_CHOWN, "CHOWN"}, {unix.CAP_DAC_OVERRIDE, "DAC_OVERRIDE"},
}

// tryUsers says why processes cannot be given users of their own, nil if they
// can.
func tryUsers() error {
	if os.Geteuid() != 0 {
		return errors.New("the server does not run as root")
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	if err := unix.Capget(&header, &have[0]); err != nil {
		return err
	}
	var missing []string
	for _, c := range needed {
		if have[c.number/32].Effective&(1<<(c.number%32)) == 0 {
			missing = append(missing, c.name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("the server lacks the capabilities %s, which containers that run as root have unless they are taken away", strings.Join(missing, ", "))
	}
	if raw, err := os.ReadFile("/proc/self/setgroups"); err == nil && strings.TrimSpace(string(raw)) == "deny" {
		return errors.New("the server's user namespace lets nobody change groups")
	}
	return nil
}

// Mapped reports whether the users and groups from first to last are there in
// the server's user namespace, which may have few.
func Mapped(first, last uint32) bool {
	for _, file := range []string{"/proc/self/uid_map", "/proc/self/gid_map"} {
		raw, err := os.ReadFile(file)
		if err != nil || !covers(string(raw), first, last) {
			return false
		}
	}
	return true
}

// covers reads a map of user_namespaces(7): lines of first inside, first
// outside, how many.
func covers(lines string, first, last uint32) bool {
	for line := range strings.Lines(lines) {
		var inside, outside, count uint64
		if n, _ := fmt.Sscan(line, &inside, &outside, &count); n == 3 && inside <= uint64(first) && uint64(last) < inside+count {
			return true
		}
	}
	return false
}

// UserBusy reports whether there is a process of the user. It takes 1 µs where
// there is none.
func UserBusy(user uint32) bool {
	_, err := unix.Getpriority(unix.PRIO_USER, int(user))
	return !errors.Is(err, unix.ESRCH)
}

const (
	endRounds = 50
	endPause  = 2 * time.Millisecond
)

// EndUser ends all processes of the user, and reports whether none is left. A
// worker whose engine is broken could leave some that are no part of its
// process group.
func EndUser(user uint32) bool {
	for range endRounds {
		if !UserBusy(user) {
			return true
		}
		entries, err := os.ReadDir("/proc")
		if err != nil {
			return false
		}
		for _, e := range entries {
			pid, err := strconv.Atoi(e.Name())
			if err != nil {
				continue
			}
			var st unix.Stat_t
			if unix.Stat("/proc/"+e.Name(), &st) == nil && st.Uid == user {
				_ = unix.Kill(pid, unix.SIGKILL)
				// In a container the server may be who is left orphans.
				_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
			}
		}
		time.Sleep(endPause)
	}
	return !UserBusy(user)
}

// LimitFiles lowers the bound on open files of a process of the user, 0 for the
// server's own.
func LimitFiles(pid int, user uint32, most uint64) {
	_ = lower(pid, user, unix.RLIMIT_NOFILE, most) // it has ended, which is seen elsewhere
}

// lower lowers a limit of a process.
func lower(pid int, user uint32, resource int, most uint64) (err error) {
	set := func() {
		var now unix.Rlimit
		if err = unix.Prlimit(pid, resource, nil, &now); err == nil {
			most = min(most, now.Max)
			err = unix.Prlimit(pid, resource, &unix.Rlimit{Cur: most, Max: most}, nil)
		}
	}
	if user == 0 {
		set()
		return err
	}
	// The kernel asks for the real user, not for that of a root which lacks
	// SYS_RESOURCE. For this moment processes of the user could send this thread
	// a signal; there are none yet but the one that is limited, and no function
	// is in it.
	if aerr := as(user, real, set); aerr != nil {
		return aerr
	}
	return err
}

// SeeAs calls look on a thread that has the user's sight of files: it sees what
// /proc shows of a process to the process's own user, and to a root that has
// SYS_PTRACE. Nobody can send it signals for that. For user 0 it only calls look.
func SeeAs(user uint32, look func()) {
	if user == 0 {
		look()
		return
	}
	_ = as(user, sight, look)
}

// LowerPriority has all threads of a process of the user, and those that they
// will make, wait for others where processors are short. nice is that of nice(2);
// user is 0 for the server's own.
func LowerPriority(pid int, user uint32, nice int) {
	eachThread(pid, user, func(id int) { _ = unix.Setpriority(unix.PRIO_PROCESS, id, nice) }) // it has ended
}

// Batch has all threads of a process of the user, and those that they will make,
// take no processor from a thread that has one only because they were woken
// (SCHED_BATCH, see sched(7)); with on false they do so again. It changes neither
// their priority nor their share.
func Batch(pid int, user uint32, on bool) {
	policy := uint32(unix.SCHED_NORMAL)
	if on {
		policy = unix.SCHED_BATCH
	}
	eachThread(pid, user, func(id int) {
		attr, err := unix.SchedGetAttr(id, 0)
		if err != nil {
			return // it has ended
		}
		attr.Policy = policy
		_ = unix.SchedSetAttr(id, attr, 0)
	})
}

// eachThread calls set for each thread of a process of the user. Threads that
// are made later have what their maker has.
func eachThread(pid int, user uint32, set func(id int)) {
	all := func() {
		for range 2 { // a thread may have made one meanwhile
			threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
			for _, e := range threads {
				if id, err := strconv.Atoi(e.Name()); err == nil {
					set(id)
				}
			}
		}
	}
	if user == 0 {
		all()
		return
	}
	// A root that lacks SYS_NICE may do so only as who the process is.
	_ = as(user, effective, all)
}

// A part of what a thread is: its users and groups, of which as changes one.
type part struct {
	setUser, setGroup uintptr
	at                int // the argument
}

var (
	sight     = part{unix.SYS_SETFSUID, unix.SYS_SETFSGID, 0}
	real      = part{unix.SYS_SETRESUID, unix.SYS_SETRESGID, 0}
	effective = part{unix.SYS_SETRESUID, unix.SYS_SETRESGID, 1}
)

// ownUser and ownGroup are what all threads have but those of as, which is for
// servers that are root in every part.
var ownUser, ownGroup = os.Getuid(), os.Getgid()

// as calls do on a thread of which a part is another user's. The thread is not
// given back to Go before it is what it was.
func as(user uint32, p part, do func()) error {
	const same = ^uintptr(0)
	set := func(call, id uintptr) syscall.Errno {
		args := [3]uintptr{same, same, same}
		args[p.at] = id
		_, _, err := unix.RawSyscall(call, args[0], args[1], args[2])
		return err
	}
	become := func(u, g uintptr) bool {
		e1 := set(p.setGroup, g)
		e2 := set(p.setUser, u)
		if p == sight { // it has no errors, and says what was
			was, _, _ := unix.RawSyscall(p.setUser, same, same, same)
			wasGroup, _, _ := unix.RawSyscall(p.setGroup, same, same, same)
			return was == u && wasGroup == g
		}
		return e1 == 0 && e2 == 0
	}
	failed := make(chan bool)
	go func() {
		runtime.LockOSThread()
		ok := become(uintptr(user), uintptr(user))
		if ok {
			do()
		}
		if become(uintptr(ownUser), uintptr(ownGroup)) && os.Getuid() == ownUser && os.Getgid() == ownGroup &&
			os.Geteuid() == ownUser && os.Getegid() == ownGroup {
			runtime.UnlockOSThread() // or else the thread ends with this goroutine
		}
		failed <- !ok
	}()
	if <-failed {
		return fmt.Errorf("become user %d: %w", user, syscall.EPERM)
	}
	return nil
}
