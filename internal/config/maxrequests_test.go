package config

import "testing"

func TestAutoMaxRequests(t *testing.T) {
	for _, c := range []struct {
		memory, files int64
		want          int
	}{
		{0, 0, 1_000_000},
		{512 << 20, 1 << 20, 2048},
		{4 << 30, 1 << 20, 16384},
		{24 << 30, 65536, 32640},
		{24 << 30, 1024, 384},
		{24 << 30, 256, 64},
		{16 << 20, 1 << 20, 64},
		{1 << 40, 1 << 30, 1_000_000},
	} {
		if got := autoMaxRequests(c.memory, c.files); got != c.want {
			t.Errorf("%d bytes, %d files: %d, want %d", c.memory, c.files, got, c.want)
		}
	}
	if n := openFiles(); n < 0 {
		t.Errorf("%d files", n)
	}
}
