package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A kernel stands in for the real one: groups are folders that come with files,
// a group with processes hands no controllers down, and one that has processes
// or groups below it cannot be removed.
type kernel struct {
	t        *testing.T
	files    map[string]string // all but those of groups
	groups   map[string]*fakeGroup
	readOnly bool
	root     string // the group that is the root of all, "" for none
}

type fakeGroup struct {
	controllers []string // what it may hand down
	enabled     []string // what it does
	procs       []int
	values      map[string]string
}

func newKernel(t *testing.T, controllers ...string) *kernel {
	return &kernel{t: t,
		files: map[string]string{
			"/proc/self/cgroup":    "12:pids:/x\n0::/system.slice/selvedge.service\n",
			"/proc/self/mountinfo": "24 30 0:22 / /proc rw - proc proc rw\n35 30 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n",
			"/proc/7/comm":         "selvedge\n", "/proc/8/comm": "sh\n",
		},
		groups: map[string]*fakeGroup{
			"/sys/fs/cgroup/system.slice/selvedge.service": {controllers: controllers, procs: []int{7}, values: map[string]string{}},
		},
	}
}

const service = "/sys/fs/cgroup/system.slice/selvedge.service"

func (k *kernel) read(name string) ([]byte, error) {
	if s, ok := k.files[name]; ok {
		return []byte(s), nil
	}
	g := k.groups[path.Dir(name)]
	if g == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	switch path.Base(name) {
	case "cgroup.controllers":
		return []byte(strings.Join(g.controllers, " ") + "\n"), nil
	case "cgroup.procs":
		var b strings.Builder
		for _, pid := range g.procs {
			fmt.Fprintln(&b, pid)
		}
		return []byte(b.String()), nil
	case "cgroup.type":
		if path.Dir(name) != k.root {
			return []byte("domain\n"), nil
		}
	default:
		if v, ok := g.values[path.Base(name)]; ok {
			return []byte(v), nil
		}
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func (k *kernel) write(name, value string) error {
	fail := func(err error) error { return &fs.PathError{Op: "write", Path: name, Err: err} }
	g := k.groups[path.Dir(name)]
	switch {
	case k.readOnly:
		return fail(syscall.EROFS)
	case g == nil:
		return fail(fs.ErrNotExist)
	}
	switch path.Base(name) {
	case "cgroup.procs":
		pid, err := strconv.Atoi(value)
		if err != nil || len(g.enabled) > 0 && path.Dir(name) != k.root {
			return fail(syscall.EBUSY)
		}
		for _, other := range k.groups {
			other.procs = slices.DeleteFunc(other.procs, func(p int) bool { return p == pid })
		}
		g.procs = append(g.procs, pid)
	case "cgroup.subtree_control":
		c := value[1:]
		switch {
		case value[0] == '-':
			g.enabled = slices.DeleteFunc(g.enabled, func(e string) bool { return e == c })
		case !slices.Contains(g.controllers, c):
			return fail(syscall.ENOENT)
		case len(g.procs) > 0 && path.Dir(name) != k.root:
			return fail(syscall.EBUSY)
		case !slices.Contains(g.enabled, c):
			g.enabled = append(g.enabled, c)
		}
		for below, child := range k.groups {
			if path.Dir(below) == path.Dir(name) {
				child.controllers = slices.Clone(g.enabled)
			}
		}
	case "cgroup.kill":
		g.procs = nil
	default:
		controller, _, _ := strings.Cut(path.Base(name), ".")
		if !slices.Contains(g.controllers, controller) {
			return fail(fs.ErrNotExist)
		}
		g.values[path.Base(name)] = value
	}
	return nil
}

func (k *kernel) mkdir(name string) error {
	switch above := k.groups[path.Dir(name)]; {
	case k.readOnly:
		return &fs.PathError{Op: "mkdir", Path: name, Err: syscall.EROFS}
	case k.groups[name] != nil:
		return &fs.PathError{Op: "mkdir", Path: name, Err: fs.ErrExist}
	case above == nil:
		return &fs.PathError{Op: "mkdir", Path: name, Err: fs.ErrNotExist}
	default:
		k.groups[name] = &fakeGroup{controllers: slices.Clone(above.enabled), values: map[string]string{}}
	}
	return nil
}

func (k *kernel) rmdir(name string) error {
	g := k.groups[name]
	if g == nil {
		return fs.ErrNotExist
	}
	below, _ := k.list(name)
	if len(g.procs) > 0 || len(below) > 0 {
		return syscall.EBUSY
	}
	delete(k.groups, name)
	return nil
}

func (k *kernel) list(name string) ([]string, error) {
	var names []string
	for group := range k.groups {
		if path.Dir(group) == name {
			names = append(names, path.Base(group))
		}
	}
	return names, nil
}

func TestTree(t *testing.T) {
	k := newKernel(t, "cpuset", "cpu", "memory", "pids")
	tree, err := open(k, 7)
	if err != nil {
		t.Fatal(err)
	}
	if got := k.groups[service+"/selvedge-server"].procs; !slices.Equal(got, []int{7}) {
		t.Errorf("the server is not in its group: %v", got)
	}
	if got := k.groups[service+"/selvedge-server"].values["cpu.weight"]; got != serverWeight {
		t.Errorf("the server's share of the processors is %q", got)
	}
	if got := k.groups[service+"/selvedge-workers"].enabled; !slices.Equal(got, []string{"memory", "pids", "cpu"}) {
		t.Errorf("workers have %v", got)
	}
	a, err := tree.Make(Limits{Memory: 100 << 20, Tasks: 50})
	if err != nil {
		t.Fatal(err)
	}
	b, err := tree.Make(Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Add(20); err != nil {
		t.Fatal(err)
	}
	if got := k.groups[a.dir]; a.dir == b.dir || !slices.Equal(got.procs, []int{20}) ||
		!maps.Equal(got.values, map[string]string{"memory.max": "104857600", "pids.max": "50", "memory.oom.group": "1", "memory.swap.max": "0"}) {
		t.Errorf("%+v", got)
	}
	if err := a.Limit(Limits{Memory: 1 << 20}); err != nil || k.groups[a.dir].values["memory.max"] != "1048576" || k.groups[b.dir].values["memory.max"] != "max" {
		t.Errorf("%v %+v", err, k.groups[a.dir])
	}
	if a.OutOfMemory() {
		t.Error("it is out of memory")
	}
	k.groups[a.dir].values["memory.events"] = "low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 1\n"
	if !a.OutOfMemory() || b.OutOfMemory() {
		t.Error("it is not known who is out of memory")
	}
	// What is left in it is ended.
	if err := errors.Join(a.Remove(), b.Remove(), b.Remove()); err != nil {
		t.Error(err)
	}
	tree.Close()
	if got := slices.Collect(maps.Keys(k.groups)); len(got) != 1 || !slices.Equal(k.groups[service].procs, []int{7}) {
		t.Errorf("%q are left; in the first are %v", got, k.groups[service].procs)
	}
}

func TestWhyThereIsNone(t *testing.T) {
	for name, c := range map[string]struct {
		controllers string
		change      func(*kernel)
		want        string
	}{
		"no controllers":  {"cpu", func(*kernel) {}, "no controller for memory and pids"},
		"no memory":       {"cpu pids", func(*kernel) {}, "no controller for memory:"},
		"read-only":       {"memory pids", func(k *kernel) { k.readOnly = true }, "may not write to its control group " + service},
		"other processes": {"memory pids", func(k *kernel) { k.groups[service].procs = []int{7, 8} }, "other processes are in the server's control group " + service + " (8 sh)"},
		"version 1":       {"memory pids", func(k *kernel) { k.files["/proc/self/cgroup"] = "3:memory:/x\n" }, "version 1 only"},
		"none":            {"memory pids", func(k *kernel) { delete(k.files, "/proc/self/cgroup") }, "has no control groups"},
		"not mounted":     {"memory pids", func(k *kernel) { k.files["/proc/self/mountinfo"] = "24 30 0:22 / /proc rw - proc proc rw\n" }, "is mounted"},
		"mounted elsewhere": {"memory pids", func(k *kernel) {
			k.files["/proc/self/mountinfo"] = "35 30 0:26 /other.slice /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
		}, "that has the server's own"},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKernel(t, strings.Fields(c.controllers)...)
			c.change(k)
			_, err := open(k, 7)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
			if len(k.groups) != 1 || !slices.Contains(k.groups[service].procs, 7) {
				t.Errorf("something is left: %q", slices.Collect(maps.Keys(k.groups)))
			}
		})
	}
}

// In a container with a name space of its own the server's group is the root
// that it sees.
func TestNamespace(t *testing.T) {
	k := newKernel(t)
	k.files["/proc/self/cgroup"] = "0::/\n"
	k.groups = map[string]*fakeGroup{"/sys/fs/cgroup": {controllers: []string{"memory", "pids"}, procs: []int{7}, values: map[string]string{}}}
	tree, err := open(k, 7)
	if err != nil {
		t.Fatal(err)
	}
	if tree.String() != "/sys/fs/cgroup/selvedge-workers" {
		t.Error(tree)
	}
	// Without a controller for the processor it goes, too.
	if got := k.groups[tree.workers].enabled; !slices.Equal(got, []string{"memory", "pids"}) {
		t.Errorf("%v", got)
	}
}

// The root of all groups may have processes and hand controllers down.
func TestRootOfAll(t *testing.T) {
	k := newKernel(t)
	k.root = "/sys/fs/cgroup"
	k.files["/proc/self/cgroup"] = "0::/\n"
	k.groups = map[string]*fakeGroup{"/sys/fs/cgroup": {controllers: []string{"memory", "pids"}, procs: []int{1, 7, 8}, values: map[string]string{}}}
	tree, err := open(k, 7)
	if err != nil {
		t.Fatal(err)
	}
	if got := k.groups[k.root].procs; !slices.Equal(got, []int{1, 7, 8}) {
		t.Errorf("processes were moved: %v", got)
	}
	tree.Close()
	if len(k.groups) != 1 {
		t.Errorf("%q are left", slices.Collect(maps.Keys(k.groups)))
	}
}

// A second server in the same container finds itself in the first one's group.
func TestTwoServers(t *testing.T) {
	k := newKernel(t, "memory", "pids")
	first, err := open(k, 7)
	if err != nil {
		t.Fatal(err)
	}
	k.groups[service+"/selvedge-server"].procs = append(k.groups[service+"/selvedge-server"].procs, 8)
	k.files["/proc/self/cgroup"] = "0::/system.slice/selvedge.service/selvedge-server\n"
	// One that was killed has left a group, and one that lives has one.
	if err := errors.Join(k.mkdir(first.workers+"/6-1"), k.mkdir(first.workers+"/7-1")); err != nil {
		t.Fatal(err)
	}
	second, err := open(k, 8)
	if err != nil {
		t.Fatal(err)
	}
	if k.groups[first.workers+"/6-1"] != nil || k.groups[first.workers+"/7-1"] == nil {
		t.Errorf("%q", slices.Collect(maps.Keys(k.groups)))
	}
	g, err := second.Make(Limits{Memory: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Remove(); err != nil {
		t.Error(err)
	}
	_ = k.rmdir(first.workers + "/7-1")
	second.Close() // leaves the first one what it has
	if _, err := first.Make(Limits{}); err != nil {
		t.Error(err)
	}
}

// TestReal needs a kernel that has the controllers in version 2, and a process
// that may write to its group: it is run by root in a container or a virtual
// machine of its own.
func TestReal(t *testing.T) {
	tree, err := Open()
	if err != nil {
		t.Skip("there are no control groups to be had here: ", err)
	}
	defer tree.Close()
	g, err := tree.Make(Limits{Memory: 32 << 20, Tasks: 3})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", `read go; sh -c 'sh -c "sh -c : || echo few"; a=x; while :; do a=$a$a; done'`)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := g.Add(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	t.Logf("moved in %s", time.Since(began))
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", cmd.Process.Pid))
	if err != nil || !strings.Contains(string(raw), path.Base(g.dir)) {
		t.Errorf("it is in %s, %v", raw, err)
	}
	if _, err := in.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		if !strings.Contains(fmt.Sprint(err), "killed") || !g.OutOfMemory() {
			t.Errorf("it ended with %v, out of memory: %t; %s", err, g.OutOfMemory(), out.String())
		}
		t.Logf("it said %q", out.String())
	case <-time.After(20 * time.Second):
		_ = cmd.Process.Kill()
		t.Error("nothing ends it")
	}
	// What is left in a group is ended with it.
	left, err := tree.Make(Limits{})
	if err != nil {
		t.Fatal(err)
	}
	sleeper := exec.Command("/bin/sleep", "60")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { done <- sleeper.Wait() }()
	if err := left.Add(sleeper.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(g.Remove(), left.Remove()); err != nil {
		t.Error(err)
	}
	<-done
}
