package config

import (
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
