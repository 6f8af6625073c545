package config

import (
	"runtime"

	"github.com/selvedge-dev/selvedge/internal/machine"
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

// machineMemory is what there is for the server and its workers, in bytes, 0
// where it cannot be told.
func machineMemory() int64 { return machine.Here().Memory }
