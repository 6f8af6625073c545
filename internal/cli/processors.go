package cli

import (
	"math"
	"os"
	"runtime"

	"github.com/selvedge-dev/selvedge/internal/machine"
)

// limitCPUs has the program run on no more processors than the ECS task has,
// as Go does by itself for a control group's limit: two at least, or a short
// wait for one would stop all.
func limitCPUs(here machine.Limit) {
	if n := max(2, int(math.Ceil(here.TaskCPUs))); here.TaskCPUs > 0 && n < runtime.GOMAXPROCS(0) && os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(n)
	}
}

// leaveCPUs has a server run on half of the processors, but on two at least,
// once all that counts them has done so. What functions need of them is not the
// gateway's to take: it uses half of what a request costs. With one, all requests
// would wait while a process is forked, which keeps it for milliseconds without
// Go's scheduler knowing.
func leaveCPUs() {
	if os.Getenv("GOMAXPROCS") != "" {
		return
	}
	all := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(max(min(all, 2), (all+1)/2))
}
