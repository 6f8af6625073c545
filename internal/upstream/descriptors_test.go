//go:build unix

package upstream

import (
	"errors"
	"net/http/httptest"
	"path/filepath"
	"syscall"
	"testing"
)

// A gateway that is out of descriptors must not blame the worker for it.
func TestNoDescriptorIsNotTheWorkersFault(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 3
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	c := New(filepath.Join(t.TempDir(), "s"))
	defer c.Close()
	_, err := c.Forward(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), Options{Path: "/"})
	if e := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); e != nil {
		t.Fatal(e)
	}
	if !errors.Is(err, ErrNoDescriptor) || c.Refused() {
		t.Errorf("got %v", err)
	}
}
