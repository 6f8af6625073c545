// Package wholefile writes files that others see whole or not at all: under
// another name in the same folder, and then renamed.
package wholefile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Options say how a file is written.
type Options struct {
	// Mode is the file's, whatever the umask.
	Mode fs.FileMode
	// Temp is the pattern of the other name, as os.CreateTemp has it. What is
	// interrupted leaves such a file behind.
	Temp string
	// Sync has the content on the disk before the file has its name.
	Sync bool
}

// Write makes the file at path, or replaces it, with what write writes. Where it
// fails, path is as it was.
func Write(path string, o Options, write func(io.Writer) error) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), o.Temp)
	if err != nil {
		return err
	}
	err = errors.Join(write(tmp), tmp.Chmod(o.Mode))
	if err == nil && o.Sync {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
	}
	return err
}

// Bytes writes b.
func Bytes(b []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	}
}
