package wholefile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	broken := errors.New("broken")
	only := func(want string, mode os.FileMode) {
		t.Helper()
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Errorf("%q %v, want %q", got, err, want)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%v %v, want %v", info.Mode(), err, mode)
		}
		if all, err := os.ReadDir(dir); err != nil || len(all) != 1 {
			t.Errorf("%v %v", all, err)
		}
	}
	if err := Write(path, Options{Mode: 0o444, Temp: ".new-*"}, Bytes([]byte("one"))); err != nil {
		t.Fatal(err)
	}
	only("one", 0o444)
	err := Write(path, Options{Mode: 0o600, Temp: ".new-*"}, func(w io.Writer) error {
		_, err := io.WriteString(w, "half")
		return errors.Join(err, broken)
	})
	if !errors.Is(err, broken) {
		t.Error(err)
	}
	only("one", 0o444)
	err = Write(path, Options{Mode: 0o666, Temp: ".new-*", Sync: true}, func(w io.Writer) error {
		had, err := os.ReadFile(path)
		if string(had) != "one" {
			t.Errorf("%q is seen while it is written", had)
		}
		_, werr := io.WriteString(w, "two")
		return errors.Join(err, werr)
	})
	if err != nil {
		t.Fatal(err)
	}
	only("two", 0o666)
	if err := Write(filepath.Join(dir, "f", "g"), Options{Temp: "x"}, Bytes(nil)); err == nil {
		t.Error("a file is no folder")
	}
}
