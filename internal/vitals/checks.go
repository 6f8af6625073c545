package vitals

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// CodeOpenFiles is the code of a lack of descriptors, whoever finds it.
const CodeOpenFiles = "open_files"

const (
	// probeBytes are written to see whether there is room: a disk with less is
	// as good as full.
	probeBytes = 64 << 10
	// spareFiles are opened to see whether that is possible.
	spareFiles = 16
)

// Folder checks that files can be made in a folder. name begins its codes:
// name_full, name_read_only, name_missing and name_unusable; what says what it
// is, hint what to do. needed means that no worker starts without it, though
// one may when it is only full.
func Folder(name, path, what, hint string, needed bool) Check {
	fault := func(code, text string, err error) *Fault {
		return &Fault{name + "_" + code, fmt.Sprintf("%s, %s, %s: %v; %s", what, path, text, err, hint), needed && code != "full"}
	}
	return func() *Fault {
		err := probe(path)
		switch {
		case err == nil:
			return nil
		case noFiles(err):
			return openFiles(err)
		case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
			return fault("full", "is full", err)
		case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
			return fault("read_only", "cannot be written to", err)
		case errors.Is(err, fs.ErrNotExist):
			return fault("missing", "is gone", err)
		default:
			return fault("unusable", "cannot be used", err)
		}
	}
}

// Writable reports whether files can be made in a folder now.
func Writable(path string) bool { return probe(path) == nil }

func probe(dir string) error {
	f, err := os.CreateTemp(dir, ".probe-")
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, probeBytes))
	return errors.Join(err, f.Close(), os.Remove(f.Name()))
}

// Binary checks that a program is there and can be executed. changed, if not
// nil, is called once for each time that it is another than before.
func Binary(name, path, what, hint string, changed func()) Check {
	var seen os.FileInfo
	return func() *Fault {
		info, err := os.Stat(path)
		if err == nil && (!info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0) {
			err = errors.New("it is no program that can be executed")
		}
		switch {
		case noFiles(err):
			return openFiles(err)
		case errors.Is(err, fs.ErrNotExist):
			return &Fault{name + "_missing", fmt.Sprintf("%s, %s, is gone; %s", what, path, hint), true}
		case err != nil:
			return &Fault{name + "_unusable", fmt.Sprintf("%s, %s, cannot be run: %v; %s", what, path, err, hint), true}
		}
		if seen != nil && changed != nil && (!os.SameFile(seen, info) || seen.Size() != info.Size() || !seen.ModTime().Equal(info.ModTime())) {
			changed()
		}
		seen = info
		return nil
	}
}

// OpenFiles checks that some more files can be opened.
func OpenFiles() *Fault {
	var open []*os.File
	defer func() {
		for _, f := range open {
			f.Close()
		}
	}()
	for range spareFiles {
		f, err := os.Open(os.DevNull)
		if err != nil {
			if noFiles(err) {
				return openFiles(err)
			}
			return nil // not what is looked for
		}
		open = append(open, f)
	}
	return nil
}

func noFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

func openFiles(err error) *Fault {
	return &Fault{CodeOpenFiles, fmt.Sprintf("no more files or connections can be opened: %v; raise the limit (ulimit -n), or lower --max-requests", err), false}
}
