// Package cgroup gives processes control groups (version 2) of their own below
// that of the server, where the server may write to it: bounds that hold by the
// kernel's own account, whatever the server's does.
package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Names of the groups below the server's own. A group that has groups with
// controllers below it may hold no processes, so the server moves into one.
const (
	serverGroup  = "selvedge-server"
	workersGroup = "selvedge-workers"
)

// needed are the controllers without which the rest is of no use; wanted are
// used where they are there.
var (
	needed = []string{"memory", "pids"}
	wanted = []string{"cpu"}
)

// Limits bound the processes of a group; 0 is no bound.
type Limits struct {
	// Memory is in bytes. It counts all of it: what the kernel keeps for the
	// processes, and files in memory.
	Memory int64
	// Tasks counts processes and threads.
	Tasks int
}

// A Tree is the server's own control group with those of workers below it.
type Tree struct {
	files   files
	base    string // the server's own group, as it was at first
	workers string
	moved   bool // the server went into a group below base
	joined  bool // it found itself in such a group, of another server
	pid     int
	next    atomic.Int64
}

// Open finds the server's control group and prepares it. The error says why
// workers have none of their own.
func Open() (*Tree, error) { return open(system{}, os.Getpid()) }

func open(files files, pid int) (*Tree, error) {
	own, err := ownGroup(files)
	if err != nil {
		return nil, err
	}
	t := &Tree{files: files, base: own, pid: pid}
	if path.Base(own) == serverGroup {
		t.base, t.joined = path.Dir(own), true
	}
	t.workers = path.Join(t.base, workersGroup)
	if err := t.checkControllers(); err != nil {
		return nil, err
	}
	// The root of all groups has no type, and may hold processes.
	if _, err := files.read(path.Join(own, "cgroup.type")); err == nil && own == t.base {
		if err := t.moveServer(); err != nil {
			return nil, err
		}
	}
	if err := t.enable(t.base); err != nil {
		err = t.explain(err)
		t.moveBack()
		return nil, err
	}
	err = files.mkdir(t.workers)
	if err == nil || errors.Is(err, fs.ErrExist) {
		err = t.enable(t.workers)
	}
	if err != nil {
		t.Close()
		return nil, fmt.Errorf("make a control group for workers: %w", err)
	}
	if t.moved {
		_ = files.write(path.Join(t.base, serverGroup, "cpu.weight"), serverWeight) // not there without the controller
	}
	t.removeDead()
	return t, nil
}

// ownGroup returns the folder of the group that the server is in.
func ownGroup(files files) (string, error) {
	raw, err := files.read("/proc/self/cgroup")
	if err != nil {
		return "", errors.New("the system has no control groups")
	}
	at, found := "", false
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			at, found = rest, true
		}
	}
	if !found {
		return "", errors.New("the system has control groups of version 1 only")
	}
	raw, err = files.read("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(raw)) {
		before, after, _ := strings.Cut(line, " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if len(left) < 5 || len(right) < 1 || right[0] != "cgroup2" {
			continue
		}
		root, point := left[3], left[4]
		if rest, ok := strings.CutPrefix(at, strings.TrimSuffix(root, "/")); ok && (rest == "" || rest[0] == '/') {
			return path.Join(point, rest), nil
		}
	}
	return "", errors.New("no file system of control groups, version 2, is mounted that has the server's own")
}

func (t *Tree) checkControllers() error {
	raw, err := t.files.read(path.Join(t.base, "cgroup.controllers"))
	if err != nil {
		return err
	}
	have := strings.Fields(string(raw))
	var missing []string
	for _, c := range needed {
		if !slices.Contains(have, c) {
			missing = append(missing, c)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("the server's control group %s has no controller for %s: version 1 may have it, or the group above does not hand it down (with systemd: Delegate=yes)", t.base, strings.Join(missing, " and "))
	}
	return nil
}

func (t *Tree) moveServer() error {
	leaf := path.Join(t.base, serverGroup)
	if err := t.files.mkdir(leaf); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("the server may not write to its control group %s: %w", t.base, cause(err))
	}
	if err := t.files.write(path.Join(leaf, "cgroup.procs"), strconv.Itoa(t.pid)); err != nil {
		_ = t.files.rmdir(leaf)
		return fmt.Errorf("the server may not move into a control group below %s: %w", t.base, cause(err))
	}
	t.moved = true
	return nil
}

// serverWeight is the server's share of the processors where they are short; all
// workers together have 100, and each of them the same.
const serverWeight = "200"

// moveBack undoes moveServer.
func (t *Tree) moveBack() {
	if t.moved {
		_ = t.files.write(path.Join(t.base, "cgroup.procs"), strconv.Itoa(t.pid))
		_ = t.files.rmdir(path.Join(t.base, serverGroup)) // another server may be in it
		t.moved = false
	}
}

// enable hands controllers down to the groups below one.
func (t *Tree) enable(group string) error {
	file := path.Join(group, "cgroup.subtree_control")
	for _, c := range needed {
		if err := t.files.write(file, "+"+c); err != nil {
			return err
		}
	}
	for _, c := range wanted {
		_ = t.files.write(file, "+"+c)
	}
	return nil
}

// explain says who is in the way of controllers.
func (t *Tree) explain(err error) error {
	if !errors.Is(err, syscall.EBUSY) {
		return fmt.Errorf("hand controllers down from %s: %w", t.base, cause(err))
	}
	var others []string
	raw, _ := t.files.read(path.Join(t.base, "cgroup.procs"))
	for _, pid := range strings.Fields(string(raw)) {
		name, _ := t.files.read("/proc/" + pid + "/comm")
		others = append(others, strings.TrimSpace(pid+" "+string(name)))
	}
	return fmt.Errorf("other processes are in the server's control group %s (%s), and a group with processes hands no controllers down: start the server as the only process of its container or service", t.base, strings.Join(others, ", "))
}

// removeDead removes the groups that servers have left which were killed.
func (t *Tree) removeDead() {
	names, _ := t.files.list(t.workers)
	for _, name := range names {
		pid, _, ok := strings.Cut(name, "-")
		if !ok || pid == strconv.Itoa(t.pid) {
			continue
		}
		if _, err := t.files.read("/proc/" + pid + "/comm"); errors.Is(err, fs.ErrNotExist) {
			_ = t.files.rmdir(path.Join(t.workers, name))
		}
	}
}

// Close removes what Open has made, unless that was another server's. All groups
// must have been removed.
func (t *Tree) Close() {
	if t.joined || t.files.rmdir(t.workers) != nil {
		return
	}
	for _, c := range slices.Concat(needed, wanted) {
		_ = t.files.write(path.Join(t.base, "cgroup.subtree_control"), "-"+c)
	}
	t.moveBack()
}

// String is where the groups are.
func (t *Tree) String() string { return t.workers }

// A Group is that of one worker.
type Group struct {
	files files
	dir   string
}

// Make makes a group.
func (t *Tree) Make(l Limits) (*Group, error) {
	g := &Group{files: t.files, dir: path.Join(t.workers, fmt.Sprintf("%d-%d", t.pid, t.next.Add(1)))}
	if err := t.files.mkdir(g.dir); err != nil {
		return nil, fmt.Errorf("make a control group: %w", err)
	}
	err := g.Limit(l)
	if err == nil && l.Tasks > 0 {
		err = g.write("pids.max", strconv.Itoa(l.Tasks))
	}
	if err == nil {
		// One process of a worker without the others would be of no use.
		err = g.write("memory.oom.group", "1")
	}
	if err != nil {
		_ = t.files.rmdir(g.dir)
		return nil, fmt.Errorf("make a control group: %w", err)
	}
	_ = g.write("memory.swap.max", "0") // not there without swap
	return g, nil
}

func (g *Group) write(name, value string) error { return g.files.write(path.Join(g.dir, name), value) }

// Limit changes the bound on memory.
func (g *Group) Limit(l Limits) error {
	value := "max"
	if l.Memory > 0 {
		value = strconv.FormatInt(l.Memory, 10)
	}
	return g.write("memory.max", value)
}

// Add moves a process into the group; one that has ended already is no error.
// It takes the kernel some 10 ms.
func (g *Group) Add(pid int) error {
	if err := g.write("cgroup.procs", strconv.Itoa(pid)); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("move process %d into its control group: %w", pid, err)
	}
	return nil
}

// OutOfMemory reports whether the kernel has ended processes of the group
// because of its bound on memory.
func (g *Group) OutOfMemory() bool {
	raw, _ := g.files.read(path.Join(g.dir, "memory.events"))
	for line := range bytes.Lines(raw) {
		if name, count, ok := bytes.Cut(bytes.TrimSpace(line), []byte(" ")); ok && string(name) == "oom_kill" {
			return string(count) != "0"
		}
	}
	return false
}

const (
	removeTries = 100
	removePause = 5 * time.Millisecond
)

// Remove ends what is left in the group, and removes it.
func (g *Group) Remove() error {
	var err error
	for range removeTries {
		if err = g.files.rmdir(g.dir); err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		_ = g.write("cgroup.kill", "1") // since Linux 5.14
		time.Sleep(removePause)
	}
	return fmt.Errorf("remove a control group: %w", err)
}

// cause leaves the path out of an error that names it already.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
