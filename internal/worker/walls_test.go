package worker

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/confine"
	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
)

// oddDeno is this program under another name: a Deno that executes a file which
// nobody knows about.
const oddDeno = "odd-deno"

func beDeno() {
	real, err := os.Readlink(os.Args[0] + ".real")
	if err == nil {
		err = syscall.Exec(real, append([]string{"deno"}, os.Args[1:]...), os.Environ())
	}
	fmt.Println("this Deno needs more:", err)
	os.Exit(1)
}

func makeOddDeno(t *testing.T) string {
	t.Helper()
	path := filepath.Join(denotest.TempDir(t), oddDeno)
	denotest.Open(t, filepath.Dir(path))
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Skip("it takes Linux to know where this program lies")
	}
	defer self.Close()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, self); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(denotest.OpenBinary(t), path+".real"); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFitWallsOfTheUsualDeno(t *testing.T) {
	s := newStand(t)
	before := s.Confiner.Layers()
	if said := s.FitWalls(t.Context()); len(said) > 0 || !slices.Equal(before, s.Confiner.Layers()) {
		t.Errorf("said %q; layers %+v", said, s.Confiner.Layers())
	}
}

func TestFitWallsLeavesOutWhatDenoDoesNotStartBehind(t *testing.T) {
	s := newStand(t)
	if !s.Confiner.On(confine.Landlock) {
		t.Skip("there is no Landlock")
	}
	s.Runtime.Binary = makeOddDeno(t)
	said := strings.Join(s.FitWalls(t.Context()), "\n")
	for _, want := range []string{"landlock is off", s.Runtime.Binary, "this Deno needs more: permission denied"} {
		if !strings.Contains(said, want) {
			t.Errorf("said %q without %q", said, want)
		}
	}
	for _, l := range s.Confiner.Layers() {
		if l.Name == confine.Landlock && (l.On || !strings.Contains(l.Detail, "does not start behind it")) {
			t.Errorf("%+v", l)
		}
		if l.Name == confine.Seccomp && l.On != confine.New().On(confine.Seccomp) {
			t.Errorf("more was left out than needed: %+v", l)
		}
	}
	if got := s.load(t, `Deno.serve(() => new Response("served"));`).get(t, "/", ""); got != "served" {
		t.Error(got)
	}
}

// TestFitWallsKeepsThemForABrokenDeno has one that starts nowhere.
func TestFitWallsKeepsThemForABrokenDeno(t *testing.T) {
	s := newStand(t)
	before := s.Confiner.Layers()
	s.Runtime.Binary = makeOddDeno(t)
	if err := os.Remove(s.Runtime.Binary + ".real"); err != nil {
		t.Fatal(err)
	}
	if said := s.FitWalls(t.Context()); len(said) > 0 || !slices.Equal(before, s.Confiner.Layers()) {
		t.Errorf("said %q; layers %+v", said, s.Confiner.Layers())
	}
}

func TestFitWallsSaysWhatAScriptWeakens(t *testing.T) {
	s := newStand(t)
	if !s.Confiner.On(confine.Landlock) {
		t.Skip("there is no Landlock")
	}
	script := filepath.Join(denotest.TempDir(t), "deno")
	denotest.Open(t, filepath.Dir(script))
	if err := os.WriteFile(script, []byte("#!/bin/sh\nexec "+denotest.OpenBinary(t)+" \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.Runtime.Binary = script
	said := strings.Join(s.FitWalls(t.Context()), "\n")
	if !strings.Contains(said, "is a script") || !s.Confiner.On(confine.Landlock) {
		t.Errorf("said %q", said)
	}
	for _, l := range s.Confiner.Layers() {
		if l.Name == confine.Landlock && !strings.Contains(l.Detail, "is a script") {
			t.Errorf("%+v", l)
		}
	}
}
