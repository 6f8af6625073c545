package stack

import "strconv"

// CPUs are the sizes of a Fargate task that the template takes, in units of
// which a virtual processor has 1024.
func CPUs() []int { return []int{256, 512, 1024, 2048, 4096} }

// MemoryFor returns the memory that a task of that CPU may have, in MiB; nil
// for a CPU that there is not. The list is that of
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html
func MemoryFor(cpu int) []int {
	gib := func(from, to int) []int {
		var all []int
		for n := from; n <= to; n++ {
			all = append(all, n*1024)
		}
		return all
	}
	switch cpu {
	case 256:
		return []int{512, 1024, 2048}
	case 512:
		return gib(1, 4)
	case 1024:
		return gib(2, 8)
	case 2048:
		return gib(4, 16)
	case 4096:
		return gib(8, 30)
	}
	return nil
}

// memories are all that a task can have, ascending.
func memories() []int {
	all := []int{512}
	for n := 1; n <= 30; n++ {
		all = append(all, n*1024)
	}
	return all
}

// tmpFor and workersFor divide a task's memory, in MiB. What is in /tmp is
// memory, too: so workers get what is left where /tmp is full, the server and the
// processes that wait have an eighth, and others, the collector, have theirs.
func tmpFor(memory int) int { return min(memory/4, 1024) }

func workersFor(memory, others int) int { return memory - tmpFor(memory) - memory/8 - others }

// workersText is that as SELVEDGE_MAX_MEMORY has it, "auto" where the server's
// own bound is the lower one.
func workersText(memory, others int) string {
	n := workersFor(memory, others)
	if n >= memory*3/4 {
		return "auto"
	}
	return strconv.Itoa(max(128, n)) + "MB"
}

// collectorMemory is what the collector may use, in MiB. A task of 512 MiB has
// no room for it, which a rule says.
const collectorMemory = 256

func numbers(list []int) []string {
	var all []string
	for _, n := range list {
		all = append(all, strconv.Itoa(n))
	}
	return all
}

func texts(list []string) List {
	var all List
	for _, s := range list {
		all = append(all, s)
	}
	return all
}
