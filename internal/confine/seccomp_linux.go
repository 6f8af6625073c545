package confine

import (
	"errors"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// refused are system calls that neither Deno nor V8 makes, and that are of use
// to those who want out: looking into and changing other processes, mounting,
// namespaces, loading programs into the kernel, its keys, clocks and modules.
// io_uring does its work past this filter.
func refused() []uint32 {
	return append([]uint32{
		unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_KCMP, unix.SYS_PIDFD_GETFD, unix.SYS_PROCESS_MADVISE,
		unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE,
		unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR,
		unix.SYS_UNSHARE, unix.SYS_SETNS,
		unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD,
		unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
		unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE,
		unix.SYS_REBOOT, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT, unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD, unix.SYS_NFSSERVCTL,
		unix.SYS_SYSLOG, unix.SYS_VHANGUP, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME,
		unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_CLOCK_ADJTIME, unix.SYS_ADJTIMEX,
		unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
		unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_FANOTIFY_INIT, unix.SYS_LOOKUP_DCOOKIE,
		unix.SYS_MIGRATE_PAGES, unix.SYS_MOVE_PAGES, unix.SYS_REMAP_FILE_PAGES, unix.SYS_PERSONALITY, unix.SYS_IOPRIO_SET,
	}, refusedHere...)
}

// ownOnly are system calls that a process may make about itself only: it could
// take open files, processors and priority away from the server, whose user it
// is. The arguments that say whom they are about must be 0, which is the caller.
var ownOnly = []struct {
	number    uint32
	arguments []uint32
}{
	{unix.SYS_PRLIMIT64, []uint32{dataArg0}},
	{unix.SYS_SETPRIORITY, []uint32{dataArg0, dataArg1}}, // of processes, not of users
	{unix.SYS_SCHED_SETPARAM, []uint32{dataArg0}},
	{unix.SYS_SCHED_SETSCHEDULER, []uint32{dataArg0}},
	{unix.SYS_SCHED_SETATTR, []uint32{dataArg0}},
	{unix.SYS_SCHED_SETAFFINITY, []uint32{dataArg0}},
}

// families are the kinds of sockets that there may be. Netlink is how the C
// library learns of network interfaces.
var families = []uint32{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}

// newNamespaces are the flags of clone(2) that make any.
const newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// Where a filter finds what it looks at (struct seccomp_data). Both
// architectures are little-endian: the lower half of an argument comes first.
const (
	dataNumber = 0
	dataArch   = 4
	dataArg0   = 16
	dataArg1   = 24
	dataArg2   = 32
)

// newFilter assembles the filter: what is refused gets EPERM, all else passes.
func newFilter() ([]unix.SockFilter, error) {
	if auditArch == 0 {
		return nil, errors.New("there is no filter for " + runtime.GOARCH)
	}
	const (
		load = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		eq   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		ge   = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
		set  = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		and  = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
		ret  = unix.BPF_RET | unix.BPF_K
	)
	no := func(errno unix.Errno) unix.SockFilter {
		return unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ERRNO | uint32(errno)}
	}
	yes := unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW}
	f := []unix.SockFilter{
		// Numbers mean other calls on other architectures, and in the x32 ABI.
		{Code: load, K: dataArch},
		{Code: eq, K: auditArch, Jt: 1},
		{Code: ret, K: unix.SECCOMP_RET_KILL_PROCESS},
		{Code: load, K: dataNumber},
		{Code: ge, K: 0x40000000, Jf: 1},
		no(unix.ENOSYS),
	}
	for _, nr := range refused() {
		f = append(f, unix.SockFilter{Code: eq, K: nr, Jf: 1}, no(unix.EPERM))
	}
	for _, call := range ownOnly {
		n := uint8(len(call.arguments))
		f = append(f, unix.SockFilter{Code: eq, K: call.number, Jf: 2*n + 2})
		for i, argument := range call.arguments {
			f = append(f, unix.SockFilter{Code: load, K: argument},
				unix.SockFilter{Code: eq, K: 0, Jf: 2*(n-1-uint8(i)) + 1})
		}
		f = append(f, yes, no(unix.EPERM))
	}
	f = append(f,
		// Its flags are in memory, where no filter looks; the C library falls
		// back to clone.
		unix.SockFilter{Code: eq, K: unix.SYS_CLONE3, Jf: 1}, no(unix.ENOSYS),
		unix.SockFilter{Code: eq, K: unix.SYS_CLONE, Jf: 4},
		unix.SockFilter{Code: load, K: dataArg0},
		unix.SockFilter{Code: set, K: newNamespaces, Jf: 1}, no(unix.EPERM), yes,
		unix.SockFilter{Code: eq, K: unix.SYS_SOCKET, Jt: 1}, yes,
		unix.SockFilter{Code: load, K: dataArg0},
	)
	for i, family := range families {
		f = append(f, unix.SockFilter{Code: eq, K: family, Jt: uint8(len(families) - i)})
	}
	return append(f, no(unix.EAFNOSUPPORT),
		// Netlink's sockets are called raw, and the others' protocols mean nothing
		// to it.
		unix.SockFilter{Code: eq, K: unix.AF_NETLINK, Jf: 1}, yes,
		unix.SockFilter{Code: load, K: dataArg1},
		unix.SockFilter{Code: and, K: 0xf},
		unix.SockFilter{Code: eq, K: unix.SOCK_RAW, Jf: 1}, no(unix.EPERM),
		// No others: Landlock does not know of MPTCP that it is TCP.
		unix.SockFilter{Code: load, K: dataArg2},
		unix.SockFilter{Code: eq, K: 0, Jt: 3},
		unix.SockFilter{Code: eq, K: unix.IPPROTO_TCP, Jt: 2},
		unix.SockFilter{Code: eq, K: unix.IPPROTO_UDP, Jt: 1}, no(unix.EPROTONOSUPPORT), yes), nil
}

// loadFilter puts the calling thread, and what it starts, behind the filter.
func loadFilter(filter []unix.SockFilter) error {
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return errno
	}
	return nil
}
