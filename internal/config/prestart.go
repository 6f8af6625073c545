package config

import (
	"os"
	"runtime"
	"strconv"
	"strings"
)

// What a pre-started process costs while it waits, and what share of the
// machine's memory all of them may take together.
const (
	prestartBytes = 16 << 20 // measured: docs/performance.md, prestart-pss
	prestartShare = 0.03
	prestartMost  = 32
)

// autoPrestart is how many processes wait for a function where nobody said.
//
// A burst of first calls that they cannot serve waits for spawns, each of which
// takes a CPU 25 ms or more. So a server keeps sixteen a CPU, as far as memory
// allows; a developer, who calls one function after the other, two. Both count
// the CPUs and the memory that a container's limits leave to the program. A
// server never keeps more than it has functions; see Config.PrestartAuto.
func autoPrestart(command Command, memory int64) int {
	perCPU := 16
	if command == Dev {
		perCPU = 2
	}
	n := min(perCPU*runtime.GOMAXPROCS(0), prestartMost)
	if memory > 0 {
		n = min(n, int(float64(memory)*prestartShare/prestartBytes))
	}
	return max(n, 2)
}

// memoryLimit is the memory that the program may use, in bytes: the machine's,
// or what a container is given; 0 where it cannot be told.
func memoryLimit(readFile func(string) ([]byte, error)) int64 {
	var limit int64
	if raw, err := readFile("/proc/meminfo"); err == nil {
		for line := range strings.Lines(string(raw)) {
			if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == "MemTotal:" {
				kb, _ := strconv.ParseInt(fields[1], 10, 64)
				limit = kb << 10
			}
		}
	}
	// cgroup v2, then v1; "max" and v1's enormous default are no limits.
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		raw, err := readFile(file)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64); err == nil && n > 0 && (limit == 0 || n < limit) {
			limit = n
		}
	}
	return limit
}

// machineMemory is the limit of this machine.
func machineMemory() int64 { return memoryLimit(os.ReadFile) }
