// Package machine finds out what the program may use of the machine it runs on:
// all of it, what a container's control group leaves, or, on ECS, what the task
// was given.
package machine

import (
	"context"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
)

// What a Limit comes from.
const (
	SourceMachine = "the machine"
	SourceCgroup  = "the control group"
	SourceTask    = "the ECS task"
)

// A Limit is what there is for the program.
type Limit struct {
	// Memory is in bytes, 0 where it cannot be told, and MemorySource is where
	// it is known from.
	Memory       int64
	MemorySource string
	// TaskCPUs are the processors of the ECS task, 0 where there is none or it
	// has no limit. The limits of control groups are Go's business.
	TaskCPUs float64
	// Err says why a limit of the task could not be asked for, nil if none had
	// to be.
	Err error
}

// Here is the limit of this process. It is found out once: containers are not
// resized while they run.
var Here = sync.OnceValue(func() Limit {
	return find(context.Background(), os.ReadFile, os.Getenv(MetadataVariable))
})

func find(ctx context.Context, readFile func(string) ([]byte, error), metadata string) Limit {
	l := Limit{Memory: physical(readFile), MemorySource: SourceMachine}
	lower := func(n int64, source string) {
		if n > 0 && (l.Memory == 0 || n < l.Memory) {
			l.Memory, l.MemorySource = n, source
		}
	}
	for _, file := range cgroupFiles(readFile) {
		if raw, err := readFile(file); err == nil {
			// "max" and version 1's enormous default are no limits.
			n, _ := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
			lower(n, SourceCgroup)
		}
	}
	if metadata != "" {
		var memory int64
		memory, l.TaskCPUs, l.Err = task(ctx, metadata)
		lower(memory, SourceTask)
	}
	return l
}

// physical is the memory of the machine.
func physical(readFile func(string) ([]byte, error)) int64 {
	raw, _ := readFile("/proc/meminfo") // there is none but on Linux
	for line := range strings.Lines(string(raw)) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == "MemTotal:" {
			kb, _ := strconv.ParseInt(fields[1], 10, 64)
			return kb << 10
		}
	}
	return 0
}

// cgroupFiles are where the limits of the process's control group and of those
// around it are. In a container the group is usually the root of what it sees.
func cgroupFiles(readFile func(string) ([]byte, error)) []string {
	const v1, v2 = "/sys/fs/cgroup/memory", "/sys/fs/cgroup"
	files := []string{v2 + "/memory.max", v1 + "/memory.limit_in_bytes"}
	raw, _ := readFile("/proc/self/cgroup")
	for line := range strings.Lines(string(raw)) {
		// hierarchy-ID:controllers:path, see cgroups(7)
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		root, name := "", ""
		switch {
		case fields[0] == "0":
			root, name = v2, "memory.max"
		case fields[1] == "memory":
			root, name = v1, "memory.limit_in_bytes"
		default:
			continue
		}
		for group := path.Clean("/" + fields[2]); group != "/"; group = path.Dir(group) {
			files = append(files, path.Join(root, group, name))
		}
	}
	return files
}
