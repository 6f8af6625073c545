package config

import (
	"io/fs"
	"runtime"
	"testing"
)

func TestAutoPrestart(t *testing.T) {
	cpus := runtime.GOMAXPROCS(0)
	for _, c := range []struct {
		command Command
		memory  int64
		want    int
	}{
		{Serve, 0, min(16*cpus, 32)},
		{Serve, 64 << 30, min(16*cpus, 32)},
		{Serve, 1 << 30, 2}, // 3 % of 1 GiB is room for one; two are the least
		{Serve, 4 << 30, min(16*cpus, 7)},
		{Dev, 64 << 30, min(max(2*cpus, 2), 32)},
	} {
		if got := autoPrestart(c.command, c.memory); got != c.want {
			t.Errorf("%s with %d bytes: %d, want %d", c.command, c.memory, got, c.want)
		}
	}
}

func TestMemoryLimit(t *testing.T) {
	const meminfo = "MemTotal:       24000000 kB\nMemFree:  1 kB\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"machine":              {map[string]string{"/proc/meminfo": meminfo}, 24000000 << 10},
		"cgroup v2":            {map[string]string{"/proc/meminfo": meminfo, "/sys/fs/cgroup/memory.max": "536870912\n"}, 512 << 20},
		"cgroup v2, no limit":  {map[string]string{"/proc/meminfo": meminfo, "/sys/fs/cgroup/memory.max": "max\n"}, 24000000 << 10},
		"cgroup v1":            {map[string]string{"/proc/meminfo": meminfo, "/sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n"}, 1 << 30},
		"cgroup v1, no limit":  {map[string]string{"/proc/meminfo": meminfo, "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 24000000 << 10},
		"nothing can be read":  {nil, 0},
		"nonsense in the file": {map[string]string{"/proc/meminfo": "MemTotal: much\n"}, 0},
	} {
		got := memoryLimit(func(path string) ([]byte, error) {
			if s, ok := c.files[path]; ok {
				return []byte(s), nil
			}
			return nil, fs.ErrNotExist
		})
		if got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
